"""A store in a folder: `KEY/record.json` beside the model's files, and `names/NAME`, the newest key of that name.

An entry is written aside and renamed to its place, so that it is there whole or not at all. Its files are read-only:
output folders share their bytes, by clones or else by hard links, where the file system can.
"""

import contextlib
import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from converter.model import ModelRecord
from converter.store.entry import RECORD, DamagedError, StoreError, from_text, hold, to_text
from converter.store.index import Index

KEPT_DAYS = 30
_DAY_S = 86_400
_FICLONE = 0x40049409  # linux/fs.h: share the bytes until one of the two files is written


class FolderStore:
    """`index` knows which files of the store are still what they were."""

    at_once = 1

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self._index = folder, index
        self._half = folder / ".half"
        self._clones = sys.platform == "linux"
        self._new: list[Path] = []

    def find(self, key: str) -> ModelRecord | None:
        try:
            text = (self._entry(key) / RECORD).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refusal(self.folder, error) from None
        with self._dropping(key):
            return from_text(text, key)

    def newest(self, name: str) -> ModelRecord | None:
        try:
            key = (self.folder / "names" / name).read_text(encoding="ascii")
            return from_text((self._entry(key) / RECORD).read_bytes(), key)
        except (OSError, ValueError, StoreError):  # of another release perhaps, which writes other records
            return None

    def fetch(self, record: ModelRecord, folder: Path) -> None:
        entry = self._entry(record.key)
        with self._dropping(record.key):
            for artifact in record.artifacts:
                file = entry / Path(artifact.path).name
                try:
                    is_whole = self._index.sha256(file, shared=True) == artifact.sha256
                except OSError:
                    is_whole = False
                if not is_whole:
                    raise DamagedError(f"entry {record.key[:12]} is damaged: {file.name} is not the file of its record")
                self._share(file, folder / file.name)
        self.used(record.key)

    def put(self, record: ModelRecord, folder: Path) -> None:
        entry = self._entry(record.key)
        try:
            self._half.mkdir(parents=True, exist_ok=True)
            if not self._holds(record):
                with contextlib.suppress(FileNotFoundError):  # there is none, or another run was quicker
                    self._drop(record.key)
                self._put(record, folder, entry)
                self._new += [entry / Path(artifact.path).name for artifact in record.artifacts]
            self._name(record)
        except OSError as error:
            raise _refusal(self.folder, error) from None

    def used(self, key: str) -> None:
        with contextlib.suppress(OSError):
            os.utime(self._entry(key) / RECORD)

    def close(self) -> None:
        """Drop entries that were of no use for 30 days, and what killed runs left; looks once a day."""
        for file in self._new:  # by now most of them are old enough for the index to know
            with contextlib.suppress(OSError):
                self._index.sha256(file, shared=True)
        if not self.folder.is_dir():
            return
        with contextlib.suppress(OSError):
            self._sweep(time.time())

    def _sweep(self, now: float) -> None:
        mark = self._half / "swept"
        if mark.exists() and now - mark.stat().st_mtime < _DAY_S:
            return
        self._half.mkdir(parents=True, exist_ok=True)
        mark.touch()
        for record in self.folder.glob(f"*/*/{RECORD}"):
            with contextlib.suppress(OSError):  # another run was quicker
                if now - record.stat().st_mtime > KEPT_DAYS * _DAY_S:
                    self._drop(record.parent.name)
        for left in self._half.iterdir():
            with contextlib.suppress(OSError):
                if left != mark and now - left.stat().st_mtime > _DAY_S:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        for name in (self.folder / "names").glob("*"):
            with contextlib.suppress(OSError, ValueError):
                if not self._entry(name.read_text(encoding="ascii")).is_dir():
                    name.unlink()

    def _entry(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _holds(self, record: ModelRecord) -> bool:
        """Whether the entry has these bytes; `--no-cache` may give others, where the key does not know all there is."""
        try:
            text = (self._entry(record.key) / RECORD).read_bytes()
            return from_text(text, record.key).artifacts == record.artifacts
        except (OSError, DamagedError):
            return False

    def _name(self, record: ModelRecord) -> None:
        names = self.folder / "names"
        names.mkdir(exist_ok=True)
        handle, half = tempfile.mkstemp(dir=self._half)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(record.key)
        Path(half).replace(names / record.name)

    def _put(self, record: ModelRecord, folder: Path, entry: Path) -> None:
        half = Path(tempfile.mkdtemp(dir=self._half))
        try:
            for artifact in record.artifacts:
                name = Path(artifact.path).name
                if not self._clone(folder / name, half / name):
                    shutil.copyfile(folder / name, half / name)
            hold(record, half)
            for file in half.iterdir():
                file.chmod(0o444)
            (half / RECORD).write_text(to_text(record), encoding="utf-8")
            half.chmod(0o755)
            entry.parent.mkdir(exist_ok=True)
            try:
                half.rename(entry)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another run was quicker, with the same bytes
                    raise
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _share(self, file: Path, target: Path) -> None:
        """Clone, else hard link, else copy."""
        try:
            if self._clone(file, target):
                return
            try:
                os.link(file, target)
            except OSError:  # another file system, or one without links
                shutil.copyfile(file, target)
            else:
                self._index.linked(file, target)
        except OSError as error:
            raise _refusal(target.parent, error) from None

    def _clone(self, file: Path, target: Path) -> bool:
        if not self._clones:
            return False
        import fcntl

        with file.open("rb") as source, target.open("xb") as sink:
            try:
                fcntl.ioctl(sink.fileno(), _FICLONE, source.fileno())
                return True
            except OSError:
                self._clones = False
        target.unlink()
        return False

    @contextlib.contextmanager
    def _dropping(self, key: str) -> Iterator[None]:
        """Take an entry that turns out to be damaged out of the way, so that it can be made anew."""
        try:
            yield
        except DamagedError:
            with contextlib.suppress(OSError):
                self._drop(key)
            raise

    def _drop(self, key: str) -> None:
        self._half.mkdir(parents=True, exist_ok=True)
        gone = Path(tempfile.mkdtemp(dir=self._half))
        try:
            self._entry(key).rename(gone / key)  # gone at once, for whoever looks meanwhile
        finally:
            shutil.rmtree(gone, ignore_errors=True)


def _refusal(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"{folder} cannot be used: {error.strerror}")
