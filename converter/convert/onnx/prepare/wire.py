"""An ONNX file read without its weights, which stay where they lie on disk, in it or beside it.

protobuf would copy them three times: into bytes, into messages, and out of these. Only the fields on the way to
`ModelProto.graph.initializer[i].raw_data` are looked at here; everything else is protobuf's to read.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper
from onnx.external_data_helper import ExternalDataInfo

from converter.convert.onnx.mapped import array, mapped
from converter.wire import BYTES, Field, fields

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # of ModelProto, GraphProto and TensorProto
_LARGE_BYTES = 1 << 14  # what is smaller is left to protobuf


def read(path: Path) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model without the raw data of its large initializers, and those as read-only arrays by name.

    Raises OSError, and DecodeError where the file is not protobuf.
    """
    if path.stat().st_size < _LARGE_BYTES:
        return onnx.ModelProto.FromString(path.read_bytes()), {}
    data = mapped(path)
    arrays: dict[str, np.ndarray] = {}
    try:
        model = onnx.ModelProto.FromString(b"".join(_model(data, arrays)))
    except (IndexError, ValueError) as error:  # of a file that ends too early
        raise DecodeError(f"it is no protobuf message, or it is cut short: {error}") from error
    return model, arrays


def external(model: onnx.ModelProto, folder: Path) -> dict[str, np.ndarray]:
    """Large initializers whose data are in files of the folder, as read-only arrays by name.

    The model keeps them without data. What does not plainly lie in such a file is left as it is, for onnx to load or to
    refuse.
    """
    files: dict[str, memoryview] = {}
    arrays: dict[str, np.ndarray] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL or tensor.name in arrays:
            continue
        try:
            info = ExternalDataInfo(tensor)
        except ValueError:
            continue
        path, dtype, begin = folder / info.location, _dtype(tensor), info.offset or 0
        if dtype is None or Path(info.location).name != info.location or not path.is_file() or path.is_symlink():
            continue
        size = math.prod(tensor.dims) * dtype.itemsize
        if size < _LARGE_BYTES or info.length not in (None, size) or begin + size > path.stat().st_size:
            continue
        if info.location not in files:
            files[info.location] = mapped(path)
        arrays[tensor.name] = array(files[info.location], dtype, tensor.dims, begin)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return arrays


def _model(data: memoryview, arrays: dict[str, np.ndarray]) -> Iterator[bytes]:
    """The bytes of a ModelProto with a graph that is made anew."""
    for field in fields(data, 0, len(data)):
        if field.number == _GRAPH:
            yield _tagged(_GRAPH, b"".join(_graph(data, field, arrays)))
        else:
            yield bytes(data[field.start : field.stop])


def _graph(data: memoryview, graph: Field, arrays: dict[str, np.ndarray]) -> Iterator[bytes]:
    for field in fields(data, graph.begin, graph.stop):
        large = field.number == _INITIALIZER and field.stop - field.begin >= _LARGE_BYTES
        yield (_initializer(data, field, arrays) if large else None) or bytes(data[field.start : field.stop])


def _initializer(data: memoryview, tensor: Field, arrays: dict[str, np.ndarray]) -> bytes | None:
    """The field without its raw data, which is noted; None where numpy cannot look at them where they are."""
    kept, raw = [], None
    for field in fields(data, tensor.begin, tensor.stop):
        if field.number == _RAW_DATA:
            raw = field
        else:
            kept.append(bytes(data[field.start : field.stop]))
    if raw is None or sum(map(len, kept)) > _LARGE_BYTES:
        return None
    proto = onnx.TensorProto.FromString(b"".join(kept))
    dtype = _dtype(proto)
    if dtype is None or raw.stop - raw.begin != math.prod(proto.dims) * dtype.itemsize or proto.name in arrays:
        return None
    arrays[proto.name] = array(data, dtype, proto.dims, raw.begin)
    return _tagged(_INITIALIZER, b"".join(kept))


def _dtype(tensor: onnx.TensorProto) -> np.dtype | None:
    """The elements' type, where numpy has it."""
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError:
        return None
    return dtype if dtype.kind in "fiub" else None


def _tagged(number: int, value: bytes) -> bytes:
    return _written(number << 3 | BYTES) + _written(len(value)) + value


def _written(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
