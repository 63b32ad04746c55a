"""Which other files an ONNX file keeps its weights in, read from its bytes: importing onnx takes longer than a look.

https://protobuf.dev/programming-guides/encoding and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# message -> the fields that lead to tensors, by number
_WAYS: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}


def external_files(path: Path) -> list[str]:
    """The locations that the file's tensors name, relative to its folder; none of a file that is no ONNX file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(b"location") < 0:  # the key of an entry that names a file
            return []
        try:
            return sorted(set(_locations(data, 0, len(data), "Model")))
        except (ValueError, IndexError, RecursionError):
            return []


def _locations(data: mmap.mmap, start: int, end: int, kind: str) -> Iterator[str]:
    if kind == "Entry":
        entry = {number: data[begin:stop] for number, begin, stop in _fields(data, start, end)}
        if entry.get(1) == b"location":
            yield entry.get(2, b"").decode("utf-8")
        return
    ways = _WAYS[kind]
    for number, begin, stop in _fields(data, start, end):
        if number in ways:
            yield from _locations(data, begin, stop, ways[number])


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of every field that holds bytes."""
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            yield tag >> 3, at, at + size
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("this is no message")
    if at != end:
        raise ValueError("a message that is cut off")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("this is no number")
