"""A file as memory: read where it is used, never copied as a whole."""

import mmap
from pathlib import Path

import numpy as np


class Mapped:
    """The bytes of a file that is not empty (uint8 [size]); OSError or ValueError where there are none.

    They are copy-on-write: torch wants memory that can be written, and the file stays as it is.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.content = np.frombuffer(self._map, np.uint8)
        self._address = self.content.ctypes.data

    def release(self, address: int, size_bytes: int) -> None:
        """Give back the memory of the pages that lie in here from `address` on; the next use reads the file again."""
        first = -(-max(address - self._address, 0) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = min(address - self._address + size_bytes, self.content.size) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)
