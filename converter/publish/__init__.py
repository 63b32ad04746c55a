"""Put a finished dist folder where people download it. Each place is a module behind one small interface."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from converter.errors import PublishError
from converter.model import Artifact, BuildRecord, Published, Step
from converter.package.checksums import artifact, sha256, sums
from converter.package.dist import PAGE, RECORD, REPORT, SUMS
from converter.package.record import read_record

Progress = Callable[[str, int, int], None]
"""Called as a file's bytes go out: name, bytes so far, bytes in all."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished output folder: `files` are what is published, by their flat names, the checksums last.

    Of a part (`record.shard`) they are the models' files alone: what closes a release comes once all parts are there.
    """

    folder: Path
    record: BuildRecord
    files: tuple[Artifact, ...]

    def path(self, file: Artifact) -> Path:
        return self.folder / file.path


class Publisher(Protocol):
    """A place for finished files. Both methods raise PublishError, which never holds a secret."""

    def plan(self, finished: Finished) -> Sequence[Step]:
        """What `publish` would do now, from what the place holds; changes nothing."""

    def publish(self, finished: Finished, progress: Progress) -> Published:
        """Put the files there; a second call uploads nothing, and one after a kill completes what was begun."""


def finished(folder: Path) -> Finished:
    """Read a finished output folder and hold each file to its record.

    Raises OutputError where there is no record, PublishError where a model failed or is of another commit and was not
    looked at since, a file is missing or was changed, or two files have the same flat name.
    """
    record = read_record(folder)
    failed = [model.name for model in record.models if not model.passed]
    if failed:
        raise PublishError(
            f"{', '.join(failed)} did not pass, so {folder} is not published",
            fix="see its report.md, and build it again",
        )
    left = [m for m in record.models if m.commit and m.commit != record.commit and not m.reused]
    if left:
        said = ", ".join(f"{model.name} is of {model.commit}" for model in left)
        raise PublishError(
            f"{folder} is of commit {record.commit or 'none'}, but {said}: the last run left that alone",
            fix="convert without --only; what is unchanged is reused",
        )
    built = [a for model in record.models for a in model.artifacts if a.published]
    for file in built:
        path = folder / file.path
        if not path.is_file() or sha256(path) != file.sha256:
            raise PublishError(
                f"{path} is not the file that {RECORD} names", fix=f"build {folder} anew; the file was changed"
            )
    if not (folder / REPORT).is_file() or _text(folder / SUMS) != sums(built):  # the last one that a run writes
        raise PublishError(
            f"{folder / SUMS} or {REPORT} does not belong to {RECORD}",
            fix=f"convert again, as a run that is killed may leave {folder} so; what is unchanged is reused",
        )
    last = [name for name in (REPORT, PAGE, RECORD, SUMS) if (folder / name).is_file()]  # no page before release 1.1
    closing = [artifact(folder / name, folder) for name in last]
    names = Counter(Path(file.path).name.lower() for file in (*built, *closing))
    if twice := sorted(name for name, count in names.items() if count > 1):
        raise PublishError(f"several files are called {', '.join(twice)}", fix="rename a model or an extra file")
    return Finished(folder=folder, record=record, files=tuple(built) if record.shard else (*built, *closing))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def hold_whole(finished: Finished) -> None:
    """Refuse a part where only whole releases can go."""
    if finished.record.shard:
        raise PublishError(
            f"{finished.folder} is part {finished.record.shard} of {finished.record.manifest}, not all of it",
            fix="join all parts by `merge` first; a part alone can go to S3 only",
        )
