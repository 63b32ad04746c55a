"""Which other files an ONNX file keeps its weights in, read from its bytes: importing onnx takes longer than a look.

https://protobuf.dev/programming-guides/encoding and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from converter.wire import BYTES, fields

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
        entry = {field.number: data[field.begin : field.stop] for field in fields(data, start, end)}
        if entry.get(1) == b"location":
            yield entry.get(2, b"").decode("utf-8")
        return
    ways = _WAYS[kind]
    for field in fields(data, start, end):
        if field.kind == BYTES and field.number in ways:
            yield from _locations(data, field.begin, field.stop, ways[field.number])
