"""A file as memory: read where it is used, never copied as a whole."""

import mmap
import os
from pathlib import Path

import numpy as np

from converter.errors import EvaluationError


class Mapped:
    """The bytes of a file that is not empty (uint8 [size]); OSError or ValueError where there are none.

    They are copy-on-write: torch wants memory that can be written, and the file stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._opened = os.fstat(file.fileno())
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._content = np.frombuffer(self._map, np.uint8)
        self._address = self._content.ctypes.data

    @property
    def content(self) -> np.ndarray:
        """The bytes; EvaluationError if the file was written to since: to touch what was cut off ends the process."""
        try:
            now = self._path.stat()
        except OSError:  # what is deleted or moved stays mapped as it was
            return self._content
        before = self._opened
        is_written = (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
        if is_written and os.path.samestat(now, before):
            raise EvaluationError(
                "the file was changed after it was opened", where=[str(self._path)], fix="load it again"
            )
        return self._content

    def release(self, address: int, size_bytes: int) -> None:
        """Give back the memory of the pages that lie in here from `address` on; the next use reads the file again."""
        first = -(-max(address - self._address, 0) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = min(address - self._address + size_bytes, self._content.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
