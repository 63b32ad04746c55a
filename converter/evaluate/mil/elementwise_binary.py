"""Chapter elementwise_binary. Operands broadcast; int32 wraps."""

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops


@ops.op
def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


@ops.op
def equal(x: Tensor, y: Tensor) -> Tensor:
    return x == y


@ops.op
def floor_div(x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y, rounding_mode="floor")


@ops.op
def greater(x: Tensor, y: Tensor) -> Tensor:
    return x > y


@ops.op
def greater_equal(x: Tensor, y: Tensor) -> Tensor:
    return x >= y


@ops.op
def less(x: Tensor, y: Tensor) -> Tensor:
    return x < y


@ops.op
def less_equal(x: Tensor, y: Tensor) -> Tensor:
    return x <= y


@ops.op
def logical_and(x: Tensor, y: Tensor) -> Tensor:
    return torch.logical_and(x, y)


@ops.op
def logical_or(x: Tensor, y: Tensor) -> Tensor:
    return torch.logical_or(x, y)


@ops.op
def logical_xor(x: Tensor, y: Tensor) -> Tensor:
    return torch.logical_xor(x, y)


@ops.op
def maximum(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x, y)


@ops.op
def minimum(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(x, y)


@ops.op
def mod(x: Tensor, y: Tensor) -> Tensor:
    return torch.remainder(x, y)


@ops.op
def mul(x: Tensor, y: Tensor) -> Tensor:
    return x * y


@ops.op
def not_equal(x: Tensor, y: Tensor) -> Tensor:
    return x != y


@ops.op
def pow(x: Tensor, y: Tensor) -> Tensor:
    return torch.pow(x, y)


@ops.op
def real_div(x: Tensor, y: Tensor) -> Tensor:
    """Integers give an integer, rounded towards zero."""
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@ops.op
def sub(x: Tensor, y: Tensor) -> Tensor:
    return x - y
