"""The notes that a release should have, from the options, what it says now, and the release before it."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from converter.errors import OutputError, PublishError
from converter.model import BuildRecord
from converter.package.dist import RECORD
from converter.package.record import read_record
from converter.publish import Finished
from converter.publish.github.client import RefusedError
from converter.publish.github.names import LONGEST_BODY, body_length
from converter.publish.github.notes import DRAFT, composed, is_given, section
from converter.publish.github.options import Options
from converter.publish.github.repository import Release, Repository

_LARGEST_RECORD = 64 << 20


def body(
    repository: Repository,
    options: Options,
    finished: Finished,
    release: Release | None,
    releases: Sequence[Release],
) -> str:
    """The release's notes. Raises PublishError where what it says already leaves no room."""
    is_new = release is None or (release.draft and release.body.startswith(DRAFT))
    existing = None if is_new or release is None else release.body
    if is_given(options.notes) or (options.notes == "keep" and existing):
        return composed(options.notes, existing, "")
    previous = _previous(options, release, releases)
    record = _record_of(repository, previous) if previous else None
    tag = previous.tag if previous else ""
    room = LONGEST_BODY
    for _ in range(2):
        table = section(finished, record, tag, room)
        text = composed(options.notes, existing, table)
        if (over := body_length(text) - LONGEST_BODY) <= 0:
            return text
        room = body_length(table) - over
    raise PublishError(
        f"the release's notes leave no room for the table of models, GitHub takes {LONGEST_BODY} characters",
        where=("publish to github", f"{options.repository} {options.tag}"),
        fix="shorten them, or say `notes: keep`",
    )


def _previous(options: Options, release: Release | None, releases: Sequence[Release]) -> Release | None:
    """The last one published before; a pre-release counts only where this is one too."""
    before = release.published_at if release and not release.draft else ""
    earlier = (
        other
        for other in releases
        if not other.draft
        and other.tag != options.tag
        and (options.prerelease or not other.prerelease)
        and (not before or other.published_at < before)
    )
    return max(earlier, key=lambda other: other.published_at, default=None)


def _record_of(repository: Repository, release: Release) -> BuildRecord | None:
    """Its build.json; None where there is none that can be read, as in a release made by hand."""
    asset = next((a for a in repository.assets(release) if a.name == RECORD), None)
    if asset is None or not asset.complete or asset.size_bytes > _LARGEST_RECORD:
        return None
    with TemporaryDirectory() as folder:
        try:
            repository.download(asset, Path(folder) / RECORD)
            return read_record(Path(folder))
        except (OutputError, RefusedError):
            return None
