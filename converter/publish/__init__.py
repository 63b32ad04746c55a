"""Put a finished dist folder where people download it. Each place is a module behind one small interface."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from converter.model import Artifact
from converter.package.record import read_record
from converter.publish.directory import Directory


class Publisher(Protocol):
    """A place for finished files."""

    def publish(self, dist: Path, artifacts: list[Artifact]) -> list[str]:
        """Copy the artifacts of dist and its record there; returns where each one is now. Raises PublishError."""


def publish(dist: Path, targets: Sequence[Any], folder: Path) -> list[str]:
    """Publish a finished dist folder to each of a manifest's targets; `folder` is the manifest's.

    Returns where each file is now. Raises PublishError, and OutputError where dist has no record.
    """
    artifacts = [artifact for model in read_record(dist).models for artifact in model.artifacts]
    publishers: list[Publisher] = [Directory(folder / target.directory) for target in targets]
    return [place for publisher in publishers for place in publisher.publish(dist, artifacts)]
