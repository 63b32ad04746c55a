"""Made-up values of MIL's types, to compute a program's operations with."""

import math
from typing import Any

import torch

from converter.errors import EvaluationError
from converter.evaluate.mil.reader import Constant, Type
from converter.evaluate.mil.types import OtherType, TensorType, value_type

# A value of which nothing is known: its type leaves sizes open, and what should give it could not be computed.
UNKNOWN = object()

LARGE = 1 << 22  # elements of one value, from which on an operation is computed without numbers


def seed(kind: Type, feature: Any | None) -> Any:
    """A value for an input: floats from 0 to 1, zeros else; open sizes are those of the described default."""
    if isinstance(kind, OtherType):
        return [substitute(kind.element)] if kind.name == "state" and kind.element else UNKNOWN
    default = _default_shape(feature) if feature is not None else []
    shape = kind.shape
    if shape is None or None in shape:
        if shape is not None and len(shape) != len(default):
            return UNKNOWN
        shape = tuple(d if size is None else size for size, d in zip(shape or default, default, strict=True))
    filled = substitute(TensorType(kind.data_type, shape))
    if isinstance(filled, torch.Tensor) and filled.is_floating_point() and filled.device.type != "meta":
        return torch.rand(filled.shape, generator=torch.Generator().manual_seed(0))
    return filled


def substitute(kind: Type | None) -> Any:
    """A value of a type: zeros; UNKNOWN where the type leaves sizes open."""
    if isinstance(kind, OtherType) and kind.name == "state" and kind.element:
        return [substitute(kind.element)]
    if not isinstance(kind, TensorType) or kind.shape is None or None in kind.shape or kind.data_type.carrier is None:
        return UNKNOWN
    shape = [size for size in kind.shape if size is not None]
    carrier = torch.float32 if kind.data_type.kind == "float" else kind.data_type.carrier
    return torch.zeros(shape, dtype=carrier, device="meta" if math.prod(shape) > LARGE else "cpu")


def misfit(value: Any, kind: Type) -> str:
    """Why a result is not of the declared type, in words; empty where it is."""
    if not isinstance(kind, TensorType) or kind.data_type.kind == "string":
        return ""
    if isinstance(value, int):
        return ""
    if not isinstance(value, torch.Tensor):
        return f"is a {type(value).__name__}"
    declared = value.shape if kind.shape is None else kind.shape
    if value.dim() != len(declared) or any(
        d is not None and d != size for d, size in zip(declared, value.shape, strict=True)
    ):
        return f"has the shape {list(value.shape)}"
    own = "bool" if value.dtype == torch.bool else "float" if value.is_floating_point() else "int"
    return f"is of {value.dtype}" if own != kind.data_type.kind else ""


def _default_shape(feature: Any) -> list[int]:
    which = feature.type.WhichOneof("Type")
    if which == "imageType":
        image = feature.type.imageType
        return [1, 1 if image.colorSpace in (10, 40) else 3, image.height, image.width]
    array = feature.type.multiArrayType
    if array.shape:
        return list(array.shape)
    if array.enumeratedShapes.shapes:
        return list(array.enumeratedShapes.shapes[0].shape)
    return [max(1, r.lowerBound) for r in array.shapeRange.sizeRanges]


def resolved(value: Any) -> Any:
    """A constant's value; one that cannot be read has been said, and counts as a value of its type."""
    if not isinstance(value, Constant):
        return value
    try:
        return value.value()
    except (EvaluationError, ValueError, RuntimeError):
        try:
            return substitute(value_type(value.message.type))
        except EvaluationError:
            return UNKNOWN


def typed_only(constant: Constant) -> Any:
    try:
        kind = value_type(constant.message.type)
    except EvaluationError:
        return UNKNOWN
    if not isinstance(kind, TensorType) or kind.data_type.carrier is None or kind.shape is None:
        return resolved(constant)
    carrier = torch.float32 if kind.data_type.kind == "float" else kind.data_type.carrier
    return torch.empty([d or 0 for d in kind.shape], dtype=carrier, device="meta")
