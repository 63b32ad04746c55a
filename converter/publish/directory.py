"""Publish to a folder: flat, as a release page holds files."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from converter.errors import PublishError
from converter.model import Artifact, Published, PublishedFile, Step
from converter.package.checksums import sha256
from converter.package.dist import replace_whole
from converter.publish import Finished, Progress, hold_whole


@dataclass(frozen=True)
class Directory:
    """A folder that holds all published files side by side; what is there already, byte for byte, is left alone."""

    folder: Path

    def plan(self, finished: Finished) -> Sequence[Step]:
        return [
            Step(action=action, name=target.name, size_bytes=file.size_bytes)
            for file, target, action in self._compared(finished)
        ]

    def publish(self, finished: Finished, progress: Progress) -> Published:
        """Copy each file whole or not at all; the checksums come last, so that they never name what is not there."""
        done = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file, target, action in self._compared(finished):
                if action != "skip":
                    replace_whole(target, partial(shutil.copyfile, finished.path(file)))
                    progress(target.name, file.size_bytes, file.size_bytes)
                done.append(_record(file, target, action))
        except OSError as error:
            raise PublishError(
                f"cannot write {error.filename or self.folder}: {error.strerror}",
                where=("publish to directory",),
                fix="make the folder writable, or name another one",
            ) from error
        return Published(target=f"directory {self.folder}", files=tuple(done))

    def _compared(self, finished: Finished) -> Iterator[tuple[Artifact, Path, str]]:
        hold_whole(finished)
        for file in finished.files:
            target = self.folder / Path(file.path).name
            if not target.exists():
                yield file, target, "upload"
            elif target.is_file() and sha256(target) == file.sha256:
                yield file, target, "skip"
            else:
                yield file, target, "replace"


def _record(file: Artifact, target: Path, action: str) -> PublishedFile:
    return PublishedFile(
        name=target.name,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        url=target.resolve().as_uri(),
        action="skipped" if action == "skip" else "replaced" if action == "replace" else "uploaded",
    )
