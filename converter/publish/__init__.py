"""Put a finished dist folder where people download it. Each place is a module behind one small interface."""

from pathlib import Path
from typing import Protocol

from converter.model import Artifact


class Publisher(Protocol):
    """A place for finished files."""

    def publish(self, dist: Path, artifacts: list[Artifact]) -> list[str]:
        """Copy the artifacts of dist and its record there; returns where each one is now. Raises PublishError."""
