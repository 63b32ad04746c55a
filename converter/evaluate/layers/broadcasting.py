"""Element-wise layers of two inputs, broadcast as in numpy; conditions answer 1.0 and 0.0."""

import torch
from torch import Tensor

from converter.evaluate.layers.table import layers


@layers.op
def equal(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 == (alpha if x2 is None else x2)).float()


@layers.op
def notEqual(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 != (alpha if x2 is None else x2)).float()


@layers.op
def lessThan(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 < (alpha if x2 is None else x2)).float()


@layers.op
def lessEqual(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 <= (alpha if x2 is None else x2)).float()


@layers.op
def greaterThan(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 > (alpha if x2 is None else x2)).float()


@layers.op
def greaterEqual(x1: Tensor, x2: Tensor | None = None, alpha: float = 0.0) -> Tensor:
    return (x1 >= (alpha if x2 is None else x2)).float()


@layers.op
def logicalAnd(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.logical_and(x1, x2).float()


@layers.op
def logicalOr(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.logical_or(x1, x2).float()


@layers.op
def logicalXor(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.logical_xor(x1, x2).float()


@layers.op
def logicalNot(x: Tensor) -> Tensor:
    return torch.logical_not(x).float()


@layers.op
def addBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return x1 + x2


@layers.op
def subtractBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return x1 - x2


@layers.op
def multiplyBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return x1 * x2


@layers.op
def divideBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return x1 / x2


@layers.op
def floorDivBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.div(x1, x2, rounding_mode="floor")


@layers.op
def modBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    """The remainder has the divisor's sign, as in numpy."""
    return torch.remainder(x1, x2)


@layers.op
def powBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.pow(x1, x2)


@layers.op
def maxBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.maximum(x1, x2)


@layers.op
def minBroadcastable(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.minimum(x1, x2)


@layers.op
def whereBroadcastable(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition != 0, x, y)
