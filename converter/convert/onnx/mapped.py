"""Weights that stay in their file: mapped into memory, read where they are used, and given back behind that."""

import math
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def mapped(path: Path) -> memoryview:
    """The bytes of a file, which may not be empty; nothing is read yet. Raises OSError."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def array(data: memoryview, dtype: np.dtype, shape: Sequence[int], begin: int) -> np.ndarray:
    """A read-only little-endian array that lies at `begin`."""
    return np.frombuffer(data, dtype.newbyteorder("<"), math.prod(shape), begin).reshape(tuple(shape))


def give_back(value: np.ndarray) -> None:
    """Let the system have back the memory of an array of `array`; it is read from the file again where it is wanted.

    Pages of a mapped file count as a process's memory once they are read, as long as nobody else needs the memory.
    """
    base = value.base
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, memoryview) or not isinstance(base.obj, mmap.mmap) or not value.flags.c_contiguous:
        return
    start = value.ctypes.data - np.frombuffer(base.obj, np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (start + value.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if stop > first and hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
        base.obj.madvise(mmap.MADV_DONTNEED, first, stop - first)
