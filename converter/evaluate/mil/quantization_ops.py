"""Chapter quantization_ops."""

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import BY_NAME, Typed

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "uint4": (0, 15)}


@ops.op
def dequantize_17(*, input: Tensor, zero_point: Tensor | None = None, scale: Tensor, axis: int | None = None) -> Tensor:
    return dequantized(input, zero_point, scale, axis)


@ops.op
def quantize_17(
    *, input: Tensor, zero_point: Tensor | None = None, scale: Tensor, axis: int | None = None, output_dtype: str
) -> Typed:
    """Halves go to the even neighbour."""
    levels = torch.round(input / _along(scale, axis, input))
    levels = levels if zero_point is None else levels + _along(zero_point.float(), axis, input)
    return Typed(BY_NAME[output_dtype].fit(torch.clamp(levels, *_LIMITS[output_dtype])))


def dequantized(data: Tensor, zero_point: Tensor | None, scale: Tensor, axis: int | None) -> Tensor:
    levels = data.float() if zero_point is None else data.float() - _along(zero_point.float(), axis, data)
    return levels * _along(scale, axis, data)


def _along(values: Tensor, axis: int | None, data: Tensor) -> Tensor:
    """A scalar as it is, a vector along `axis` of `data`."""
    if values.dim() == 0:
        return values
    if axis is None:
        raise ValueError("a vector of scales or zero points needs an axis")
    return values.reshape([-1 if i == axis % data.dim() else 1 for i in range(data.dim())])
