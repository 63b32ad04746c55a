"""From a manifest's `publish:` entry to the publisher that serves it."""

from pathlib import Path

from converter.errors import PublishError
from converter.manifest.publish import DirectoryPublish, PublishTarget
from converter.manifest.s3 import S3Publish
from converter.publish import Publisher
from converter.publish.directory import Directory
from converter.publish.s3 import S3


def publisher(target: PublishTarget, folder: Path) -> Publisher:
    """The publisher of a target; `folder` is the manifest's, to which paths are relative."""
    if isinstance(target, S3Publish):
        return S3(target.s3)
    if not isinstance(target, DirectoryPublish):
        raise PublishError("this target is not served yet", fix="publish to a directory")
    return Directory(folder / target.directory)
