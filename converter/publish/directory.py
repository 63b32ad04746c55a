"""Publish to a folder: flat, as a release page holds files."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from converter.errors import PublishError
from converter.model import Artifact
from converter.package.checksums import sha256
from converter.package.dist import RECORD, REPORT, SUMS, replace_whole


@dataclass(frozen=True)
class Directory:
    """A folder that holds all published files side by side; what is there already, byte for byte, is left alone."""

    folder: Path

    def publish(self, dist: Path, artifacts: list[Artifact]) -> list[str]:
        """Copy each file whole or not at all; the checksums come last, so that they never name what is not there."""
        published = [a for a in artifacts if a.published]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for artifact in published:
                if sha256(dist / artifact.path) != artifact.sha256:
                    raise PublishError(
                        f"{dist / artifact.path} is not what {RECORD} says",
                        fix=f"build {dist} anew; the file was changed",
                    )
            for artifact in published:
                target = self.folder / Path(artifact.path).name
                if not (target.is_file() and sha256(target) == artifact.sha256):
                    _copy(dist / artifact.path, target)
            for name in (RECORD, REPORT, SUMS):
                _copy(dist / name, self.folder / name)
        except OSError as error:
            raise PublishError(
                f"cannot write {error.filename or self.folder}: {error.strerror}", where=("publish to directory",)
            ) from error
        return [os.fspath(self.folder / Path(a.path).name) for a in published]


def _copy(source: Path, target: Path) -> None:
    replace_whole(target, lambda half: shutil.copyfile(source, half))
