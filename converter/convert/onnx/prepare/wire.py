"""An ONNX file read without its weights, which stay where they lie on disk and are mapped into memory.

protobuf would copy them three times: into bytes, into messages, and out of these. Only the fields on the way to
`ModelProto.graph.initializer[i].raw_data` are looked at here; everything else is protobuf's to read.
Encoding: https://protobuf.dev/programming-guides/encoding/
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # of ModelProto, GraphProto and TensorProto
_LEN = 2  # wire type
_LARGE_BYTES = 1 << 14  # what is smaller is left to protobuf

Span = tuple[int, int]


def read(path: Path) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model without the raw data of its large initializers, and those as read-only arrays by name.

    Raises OSError, and DecodeError where the file is not protobuf.
    """
    with path.open("rb") as file:
        if path.stat().st_size < _LARGE_BYTES:
            return onnx.ModelProto.FromString(file.read()), {}
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    arrays: dict[str, np.ndarray] = {}
    try:
        model = onnx.ModelProto.FromString(b"".join(_model(data, arrays)))
    except (IndexError, ValueError) as error:  # of a file that ends too early
        raise DecodeError(f"it is no protobuf message, or it is cut short: {error}") from error
    return model, arrays


def _model(data: memoryview, arrays: dict[str, np.ndarray]) -> Iterator[bytes]:
    """The bytes of a ModelProto with a graph that is made anew."""
    for number, field, value in _fields(data, (0, len(data))):
        if number == _GRAPH:
            yield _tagged(_GRAPH, b"".join(_graph(data, value, arrays)))
        else:
            yield bytes(data[slice(*field)])


def _graph(data: memoryview, graph: Span, arrays: dict[str, np.ndarray]) -> Iterator[bytes]:
    for number, field, value in _fields(data, graph):
        large = number == _INITIALIZER and value[1] - value[0] >= _LARGE_BYTES
        yield (_initializer(data, value, arrays) if large else None) or bytes(data[slice(*field)])


def _initializer(data: memoryview, tensor: Span, arrays: dict[str, np.ndarray]) -> bytes | None:
    """The field without its raw data, which is noted; None where numpy cannot look at them where they are."""
    kept, raw = [], None
    for number, field, value in _fields(data, tensor):
        if number == _RAW_DATA:
            raw = value
        else:
            kept.append(bytes(data[slice(*field)]))
    if raw is None or sum(map(len, kept)) > _LARGE_BYTES:
        return None
    proto = onnx.TensorProto.FromString(b"".join(kept))
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type))
    except KeyError:
        return None
    count = math.prod(proto.dims)
    if dtype.kind not in "fiub" or raw[1] - raw[0] != count * dtype.itemsize or proto.name in arrays:
        return None
    arrays[proto.name] = np.frombuffer(data, dtype.newbyteorder("<"), count, raw[0]).reshape(tuple(proto.dims))
    return _tagged(_INITIALIZER, b"".join(kept))


def _tagged(number: int, value: bytes) -> bytes:
    return _written(number << 3 | _LEN) + _written(len(value)) + value


def _written(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _fields(data: memoryview, span: Span) -> Iterator[tuple[int, Span, Span]]:
    """Of each field of a message its number, where it lies with its tag, and where its value lies."""
    place, end = span
    while place < end:
        tag, begin = _varint(data, place)
        match tag & 7:
            case 0:
                stop = _varint(data, begin)[1]
            case 1:
                stop = begin + 8
            case 2:
                length, begin = _varint(data, begin)
                stop = begin + length
            case 5:
                stop = begin + 4
            case kind:
                raise ValueError(f"a field of wire type {kind} at byte {place}")
        if stop > end:
            raise ValueError(f"the field at byte {place} ends behind its message")
        yield tag >> 3, (place, stop), (begin, stop)
        place = stop


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise ValueError(f"a number without an end at byte {place}")
