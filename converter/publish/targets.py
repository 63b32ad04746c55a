"""From a manifest's `publish:` entry to the publisher that serves it."""

from pathlib import Path

from converter.manifest.schema import PublishTarget
from converter.publish import Publisher
from converter.publish.directory import Directory


def publisher(target: PublishTarget, folder: Path) -> Publisher:
    """The publisher of a target; `folder` is the manifest's, to which paths are relative."""
    return Directory(folder / target.directory)
