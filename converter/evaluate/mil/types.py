"""MIL's types, and how torch carries them: https://github.com/apple/coremltools/blob/main/mlmodel/format/MIL.proto"""

from dataclasses import dataclass
from typing import Any, Literal, NewType

import torch

from converter.errors import EvaluationError
from converter.evaluate.limits import check_size
from converter.evaluate.proto import MIL_pb2

# The result of an op that chooses its own data type; of all others it is that of the op's first input of that kind.
Typed = NewType("Typed", torch.Tensor)
# The result of an op whose inputs are of several kinds: the program's declaration says which of them it has.
Declared = NewType("Declared", torch.Tensor)

Kind = Literal["float", "int", "bool", "string"]


@dataclass(frozen=True)
class DataType:
    """A MIL data type: `name` as MIL's ops spell it; torch has no (full) uint16, uint32 and sub-byte types."""

    name: str
    kind: Kind
    bits: int
    carrier: torch.dtype | None
    signed: bool = True

    def fit(self, tensor: torch.Tensor) -> torch.Tensor:
        """Round or wrap `tensor` to this type, which is of its kind."""
        if self.kind == "int" and not self.signed and self.carrier != torch.uint8:
            return (tensor.to(torch.int64) & ((1 << self.bits) - 1)).to(self.carrier)
        return tensor.to(self.carrier)


_DATA_TYPES = {
    "BOOL": DataType("bool", "bool", 8, torch.bool),
    "STRING": DataType("string", "string", 0, None),
    "FLOAT8E4M3FN": DataType("fp8e4m3fn", "float", 8, torch.float8_e4m3fn),
    "FLOAT8E5M2": DataType("fp8e5m2", "float", 8, torch.float8_e5m2),
    "FLOAT16": DataType("fp16", "float", 16, torch.float16),
    "FLOAT32": DataType("fp32", "float", 32, torch.float32),
    "FLOAT64": DataType("fp64", "float", 64, torch.float64),
    "BFLOAT16": DataType("bf16", "float", 16, torch.bfloat16),
    "INT4": DataType("int4", "int", 4, torch.int8),
    "INT8": DataType("int8", "int", 8, torch.int8),
    "INT16": DataType("int16", "int", 16, torch.int16),
    "INT32": DataType("int32", "int", 32, torch.int32),
    "INT64": DataType("int64", "int", 64, torch.int64),
    "UINT1": DataType("uint1", "int", 1, torch.uint8, signed=False),
    "UINT2": DataType("uint2", "int", 2, torch.uint8, signed=False),
    "UINT3": DataType("uint3", "int", 3, torch.uint8, signed=False),
    "UINT4": DataType("uint4", "int", 4, torch.uint8, signed=False),
    "UINT6": DataType("uint6", "int", 6, torch.uint8, signed=False),
    "UINT8": DataType("uint8", "int", 8, torch.uint8, signed=False),
    "UINT16": DataType("uint16", "int", 16, torch.int32, signed=False),
    "UINT32": DataType("uint32", "int", 32, torch.int64, signed=False),
    "UINT64": DataType("uint64", "int", 64, torch.int64),
}
BY_NAME = {data_type.name: data_type for data_type in _DATA_TYPES.values()}


@dataclass(frozen=True)
class TensorType:
    """A tensor's data type and shape; None is a dimension known only when the model runs, or a whole shape."""

    data_type: DataType
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.data_type.name} of any shape"
        return f"{self.data_type.name} [{', '.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True)
class OtherType:
    """A list, tuple, dictionary or state; `element` is what a list or a state holds."""

    name: str
    element: TensorType | None = None

    def __str__(self) -> str:
        return self.name


def data_type(number: int) -> DataType:
    try:
        return _DATA_TYPES[MIL_pb2.DataType.Name(number)]
    except (ValueError, KeyError) as error:
        raise EvaluationError(f"unknown data type {number}") from error


def value_type(message: Any) -> TensorType | OtherType:
    """The type that a ValueType message says."""
    which = message.WhichOneof("type")
    if which == "tensorType":
        tensor = message.tensorType
        if tensor.rank != len(tensor.dimensions):
            raise EvaluationError(f"a type of rank {tensor.rank} has {len(tensor.dimensions)} dimensions")
        if any(d.unknown.variadic for d in tensor.dimensions):
            return TensorType(data_type(tensor.dataType), None)
        shape = tuple(d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in tensor.dimensions)
        kind = TensorType(data_type(tensor.dataType), shape)
        check_size([d or 1 for d in shape], kind.data_type.bits)
        return kind
    if which == "listType":
        return OtherType("list", _element(message.listType.type))
    if which == "stateType":
        return OtherType("state", _element(message.stateType.wrappedType))
    if which in ("dictionaryType", "tupleType"):
        return OtherType(which.removesuffix("Type"))
    raise EvaluationError("a value has no type")


def _element(message: Any) -> TensorType | None:
    element = value_type(message)
    return element if isinstance(element, TensorType) else None
