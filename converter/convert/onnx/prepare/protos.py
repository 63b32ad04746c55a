"""Protobuf messages of ONNX as Python values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converter.convert.onnx.graph import TensorType
from converter.errors import SourceError


def array_of(tensor: onnx.TensorProto) -> np.ndarray:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise SourceError(
            f'the data of initializer "{tensor.name}" is in another file, which was not read',
            fix="give the path of the model, or load it with onnx.load(path)",
        )
    return numpy_helper.to_array(tensor)


def dense_array(sparse: onnx.SparseTensorProto) -> np.ndarray:
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def initializers(graph: onnx.GraphProto, known: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """A graph's constants, by name; `known` has the values of those that the graph holds without data."""
    known = known or {}
    constants = {
        t.name: known[t.name] if t.name in known and not t.HasField("raw_data") else array_of(t)
        for t in graph.initializer
    }
    return constants | {sparse.values.name: dense_array(sparse) for sparse in graph.sparse_initializer}


def tensor_type(proto: onnx.TypeProto) -> TensorType:
    """The record of a tensor's TypeProto; a sequence, map or optional is named as its dtype."""
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return TensorType(str(kind).removesuffix("_type"), None)
    tensor = proto.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in tensor.shape.dim)
    return TensorType(dtype_name(tensor.elem_type), dims if tensor.HasField("shape") else None)


def type_proto(type_: TensorType) -> onnx.TypeProto:
    """The TypeProto of a tensor's record."""
    name = {"float32": "FLOAT", "float64": "DOUBLE"}.get(type_.dtype, type_.dtype.upper())
    return helper.make_tensor_type_proto(onnx.TensorProto.DataType.Value(name), type_.shape)


def type_of(value: np.ndarray) -> TensorType:
    return TensorType(dtype_name(helper.np_dtype_to_tensor_dtype(value.dtype)), value.shape)


def dtype_name(elem_type: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def without_elements(proto: onnx.TypeProto) -> np.ndarray | None:
    """The one value of a tensor type of a fixed shape that holds no elements; None for any other type."""
    if proto.WhichOneof("value") != "tensor_type":
        return None
    shape = tensor_type(proto).shape
    if shape is None or 0 not in shape or not all(isinstance(dim, int) for dim in shape):
        return None
    return np.empty(shape, helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type))  # type: ignore[arg-type]


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a Python value: int, float, str, a tuple of them, an array, or a protobuf graph."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, str | int | float | onnx.GraphProto) or not isinstance(value, Iterable | onnx.TensorProto):
        return value
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return tuple(_plain(item) for item in value)
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return array_of(value)
    if isinstance(value, onnx.SparseTensorProto):
        return dense_array(value)
    return value
