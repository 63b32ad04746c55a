"""From a manifest's `publish:` entry to the publisher that serves it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.errors import ManifestError
from converter.manifest.publish import TARGETS, GithubPublish, PublishTarget
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


def target_of(kind: str, settings: Mapping[str, Any]) -> PublishTarget:
    """A target as the command line says it: the keys that a manifest's `publish:` entry has.

    Raises ManifestError with every complaint.
    """
    from pydantic import ValidationError

    value = settings.get("folder") if kind == "directory" else dict(settings)
    if kind == "directory" and set(settings) != {"folder"}:
        raise ManifestError("a directory needs a folder, and nothing else", fix="add --set folder=PATH")
    try:
        target: PublishTarget = TARGETS[kind].model_validate({kind: value})  # type: ignore[assignment]
    except ValidationError as error:
        complaints = [f"--set {'.'.join(map(str, e['loc'][1:])) or kind}: {e['msg']}" for e in error.errors()]
        raise ManifestError("\n".join(complaints), fix=f"see `publish` under {kind} in schema.json") from None
    return target
