"""From a manifest's `publish:` entry to the publisher that serves it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.errors import ManifestError
from converter.manifest import read_manifest
from converter.manifest.publish import TARGETS, GithubPublish, PublishTarget
from converter.manifest.s3 import S3Publish
from converter.model import Plan
from converter.publish import Publisher, planned
from converter.publish.directory import Directory
from converter.publish.github import github
from converter.publish.s3 import S3


def publishers_of(
    *, to: str | None, settings: Sequence[str], manifest: Path | None, plan: Plan | None
) -> Sequence[Publisher]:
    """The publishers that a manifest or a plan names; `to` with its `settings` (KEY=VALUE) where these name none.

    A plan's folders are relative to where one stands: the job that publishes may have no checkout. Raises
    ManifestError.
    """
    if manifest and plan:
        raise ManifestError("--manifest and --plan both say what is published", fix="give one of them")
    if settings and not to:
        raise ManifestError("--set says nothing without --to", fix="add --to github, s3 or directory")
    asked = [publisher(target_of(to, settings_of(settings)), Path())] if to else []
    if manifest:
        named = [publisher(target, manifest.parent) for target in read_manifest(manifest).publish]
        if not named and not asked:
            raise ManifestError(f"{manifest} has no publish targets", fix="add `publish:` to it, or say --to")
        return named or asked
    if plan:
        named = [publisher(target, Path()) for target in planned.targets(plan)]
        if not named and not asked:
            raise ManifestError("the plan has no publish targets", fix="add `publish:` to the manifest, or say --to")
        return named or asked
    if not asked:
        raise ManifestError("say where to", fix="give --to with its --set KEY=VALUE, or --manifest, or --plan")
    return asked


def settings_of(settings: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` arguments; values are read as YAML, so that `true` is one."""
    import yaml

    found: dict[str, Any] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise ManifestError(f"--set {setting}: this is no KEY=VALUE")
        if key in found:
            raise ManifestError(f"--set {key} is given twice")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        found[key] = parsed if isinstance(parsed, bool | dict | list) else value
    return found


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
