"""The sha256 of files, remembered by size and times, so that an unchanged file is not read again.

As in git's own index an entry is trusted while a file's size, inode, mtime and ctime are what they were, and only if
the mtime was clearly older than the moment of reading: a file that was changed twice within a clock's tick looks the
same both times (https://git-scm.com/docs/racy-git). The index is a cache: a broken one is begun anew.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_VERSION = 1
_TICK_NS = 2_000_000_000  # the coarsest clock of a file system in use, FAT's
_KEPT_DAYS = 30
_DAY_S = 86_400

# size, mtime_ns, inode, ctime_ns, when it was read, sha256, day of the last use
_Entry = tuple[int, int, int, int, int, str, int]


class Index:
    """What is known of files on this machine; `file` keeps it between runs, and several processes may share it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._files, self._facts = _read(file)
        self._new_files: dict[str, _Entry] = {}
        self._new_facts: dict[str, list[Any]] = {}
        self._today = int(time.time() // _DAY_S)

    def sha256(self, path: Path, *, shared: bool = False) -> str:
        """The file's sha256, read only if it is not known. Raises OSError.

        Of a `shared` file, of a store or linked out of one, the ctime does not count while nobody may write it: each
        link that is made or removed changes that, while the bytes cannot change unless the mtime does.
        """
        name = os.path.abspath(path)  # noqa: PTH100  resolving links would cost more than the look-up
        found = Path(name).stat()
        entry = self._files.get(name)
        if entry is None or not _stands(entry, found, shared=shared):
            entry = self._hashed(name, found)
        elif entry[6] != self._today:
            entry = self._new_files[name] = (*entry[:6], self._today)
        self._files[name] = entry
        return entry[5]

    def linked(self, file: Path, link: Path) -> None:
        """Know of a hard link what is known of its file. Raises OSError."""
        known, name = self._files.get(os.path.abspath(file)), os.path.abspath(link)  # noqa: PTH100
        if known is not None and _stands(known, Path(name).stat(), shared=True):
            self._files[name] = self._new_files[name] = known

    def moved(self, folder: Path, to: Path) -> None:
        """Know of the files of a folder that was renamed what was known of them."""
        for new in to.iterdir():
            known = self._files.get(os.path.abspath(folder / new.name))  # noqa: PTH100
            if known is not None:
                name = os.path.abspath(new)  # noqa: PTH100
                self._files[name] = self._new_files[name] = known

    def fact(self, name: str, sha256: str, find: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        """What follows from the bytes of a file alone; found once for each sha256."""
        key = f"{name} {sha256}"
        known = self._facts.get(key)
        if known is None or known[0] != self._today:
            known = [self._today, list(find()) if known is None else known[1]]
            self._facts[key] = self._new_facts[key] = known
        return tuple(known[1])

    def save(self) -> None:
        """Write what is new; where that cannot be, files are read again the next time."""
        if not self._new_files and not self._new_facts:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._file.with_name(f"{self._file.name}.lock")):
                files, facts = _read(self._file)  # another process may have written meanwhile
                oldest = self._today - _KEPT_DAYS
                files |= self._new_files
                facts |= self._new_facts
                text = {
                    "version": _VERSION,
                    "files": {name: entry for name, entry in files.items() if entry[6] >= oldest},
                    "facts": {key: known for key, known in facts.items() if known[0] >= oldest},
                }
                _replace(self._file, json.dumps(text, separators=(",", ":")))
            self._new_files, self._new_facts = {}, {}

    def _hashed(self, name: str, found: os.stat_result) -> _Entry:
        moment = time.time_ns()
        with open(name, "rb") as file:  # noqa: PTH123
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
        # one that was written to meanwhile is what was read for now, and read again the next time
        moment = moment if _times(after) == _times(found) else 0
        entry = (*_times(after), moment, digest, self._today)
        self._new_files[name] = entry
        return entry


def _times(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns


def _stands(entry: _Entry, found: os.stat_result, *, shared: bool) -> bool:
    if entry[:3] != (found.st_size, found.st_mtime_ns, found.st_ino) or entry[1] + _TICK_NS >= entry[4]:
        return False
    return entry[3] == found.st_ctime_ns or (shared and not stat.S_IMODE(found.st_mode) & 0o222)


def _read(file: Path) -> tuple[dict[str, _Entry], dict[str, list[Any]]]:
    try:
        text = json.loads(file.read_bytes())
        if text["version"] != _VERSION:
            return {}, {}
        return {name: _entry(value) for name, value in text["files"].items()}, {
            key: [int(day), [str(word) for word in words]] for key, (day, words) in text["facts"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}


def _entry(value: Any) -> _Entry:
    size, mtime, inode, ctime, moment, digest, day = value
    if not isinstance(digest, str) or len(digest) != 64 or not isinstance(moment, int) or not isinstance(day, int):
        raise ValueError("this is no entry")
    return size, mtime, inode, ctime, moment, digest, day


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(file: Path, text: str) -> None:
    handle, half = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".half")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text)
        Path(half).replace(file)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise
