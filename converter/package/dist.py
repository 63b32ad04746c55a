"""The output folder: models placed whole or not at all, and a record that never names what is not there.

A model is built in `.work` and moved to its place in one rename. The record (build.json, SHA256SUMS, both
reports) is written anew after each model: first without it, then the folder is exchanged, then with it; so a run that
is killed at any moment leaves only what is whole and listed. What failed is kept aside in `.failed`, unlisted, for a
closer look.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from converter.errors import OutputError

RECORD = "build.json"
SUMS = "SHA256SUMS"
REPORT = "report.md"
PAGE = "report.html"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the operating system says about writing to a folder into one OutputError."""
    try:
        yield
    except OSError as error:
        raise refusal(error, folder) from error


def is_full_disk(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def refusal(error: OSError, folder: Path) -> OutputError:
    """What the operating system said, as an error for people."""
    if is_full_disk(error):
        return OutputError(
            f"the disk that holds {folder} is full",
            fix="free some space or name another folder with --output; finished models are kept",
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return OutputError(
            f"cannot write {error.filename or folder}: there is a file where a folder is needed",
            fix="name a folder with --output",
        )
    return OutputError(
        f"cannot write {error.filename or folder}: {error.strerror}",
        fix="make the folder writable, or name another one with --output",
    )


class Dist:
    """One run's hold on an output folder; use it as a context manager. Raises OutputError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work = folder / ".work"
        self._lock: int | None = None

    def __enter__(self) -> "Dist":
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign_record()
            self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"another run is writing to {self.folder}", fix="wait for it, or name another folder with --output"
                ) from error
            shutil.rmtree(self._work, ignore_errors=True)  # what a killed run left behind
            self._work.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def workspace(self, name: str) -> Path:
        """A fresh folder to build one model in. Raises OutputError where its place is taken by something else."""
        if not self._may_go(name):
            raise _foreign(self.folder / name)
        with writing(self._work):
            folder = self._work / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        return folder

    def place(self, name: str) -> None:
        """Exchange dist/NAME for what was built."""
        with writing(self.folder):
            self.remove(name)
            (self._work / name).rename(self.folder / name)
            shutil.rmtree(self.folder / ".failed" / name, ignore_errors=True)

    def set_aside(self, name: str) -> None:
        """Keep what failed in dist/.failed/NAME; an earlier dist/NAME goes, as it is not what the source says now."""
        with writing(self.folder):
            self.remove(name)
            failed = self.folder / ".failed" / name
            shutil.rmtree(failed, ignore_errors=True)
            if (self._work / name).is_dir() and any((self._work / name).iterdir()):
                failed.parent.mkdir(exist_ok=True)
                (self._work / name).rename(failed)

    def remove(self, name: str) -> None:
        """Remove an earlier dist/NAME; a folder that no run has made stays."""
        with writing(self.folder):
            old = self.folder / name
            if old.exists() and self._may_go(name):
                gone = self._work / f"{name}.old"
                shutil.rmtree(gone, ignore_errors=True)
                old.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def write(self, texts: Mapping[str, str]) -> None:
        """Write files of the record by name, each whole or not at all."""
        with writing(self.folder):
            for name, text in texts.items():
                replace_whole(self.folder / name, partial(Path.write_text, data=text, encoding="utf-8"))

    def _may_go(self, name: str) -> bool:
        """Whether dist/NAME is free or holds a packaged model: `--output .` must not cost anyone their own folders."""
        place = self.folder / name
        return not os.path.lexists(place) or (place / f"{name}.references.npz").is_file()

    def _refuse_foreign_record(self) -> None:
        if (self.folder / ".lock").exists() or _is_record(self.folder / RECORD):  # hidden files do not always travel
            return
        for name in (RECORD, SUMS, REPORT, PAGE):
            if os.path.lexists(self.folder / name):
                raise _foreign(self.folder / name)


def _is_record(file: Path) -> bool:
    try:
        return "models" in json.loads(file.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _foreign(path: Path) -> OutputError:
    return OutputError(
        f"{path} was not written by an earlier run and is not replaced",
        fix="name another folder with --output, or move it away",
    )


def replace_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, flush it to the disk, and rename it there."""
    half = path.with_name(f".{path.name}.half")
    try:
        write(half)
        with half.open("rb") as file:
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
