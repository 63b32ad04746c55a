"""Zip archives that may be damaged: what Python's zipfile raises for them is of many kinds."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

# BadZipFile is only the commonest: broken names, offsets, flags and streams surface as these (found by flipping bits).
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def names(file: Path | IO[bytes]) -> list[str] | None:
    """The names of the archive's members, or None where it is no zip file or a damaged one."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except DAMAGED:
        return None
