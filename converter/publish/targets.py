"""From a manifest's `publish:` entry to the publisher that serves it."""

import os
from pathlib import Path

from converter.manifest.publish import GithubPublish, PublishTarget
from converter.manifest.s3 import S3Publish
from converter.publish import Publisher
from converter.publish.directory import Directory
from converter.publish.github import github
from converter.publish.s3 import S3


def publisher(target: PublishTarget, folder: Path) -> Publisher:
    """The publisher of a target; `folder` is the manifest's, to which paths are relative."""
    if isinstance(target, S3Publish):
        return S3(target.s3, os.environ)
    if isinstance(target, GithubPublish):
        return github(target.github, os.environ)
    return Directory(folder / target.directory)
