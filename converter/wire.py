"""Messages of Protocol Buffers field by field, where protobuf itself would copy too much or be slow to import.

https://protobuf.dev/programming-guides/encoding
"""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """A field whose tag is at `start` and whose value lies from `begin` to `stop`."""

    number: int
    kind: int
    start: int
    begin: int
    stop: int


def fields(data: mmap.mmap | memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message from `start` to `end`. Raises ValueError or IndexError where it is none."""
    at = start
    while at < end:
        tag, begin = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            stop = _varint(data, begin)[1]
        elif kind == BYTES:
            size, begin = _varint(data, begin)
            stop = begin + size
        elif kind in (FIXED64, FIXED32):
            stop = begin + (8 if kind == FIXED64 else 4)
        else:
            raise ValueError(f"a field of wire type {kind} at byte {at}")
        if stop > end:
            raise ValueError(f"the field at byte {at} ends behind its message")
        yield Field(tag >> 3, kind, at, begin, stop)
        at = stop


def _varint(data: mmap.mmap | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number without an end at byte {at}")
