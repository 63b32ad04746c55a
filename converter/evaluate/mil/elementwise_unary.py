"""Chapter elementwise_unary."""

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import BY_NAME, Typed


@ops.op
def abs(x: Tensor) -> Tensor:
    return torch.abs(x)


@ops.op
def acos(x: Tensor) -> Tensor:
    return torch.acos(x)


@ops.op
def asin(x: Tensor) -> Tensor:
    return torch.asin(x)


@ops.op
def atan(x: Tensor) -> Tensor:
    return torch.atan(x)


@ops.op
def atanh(x: Tensor) -> Tensor:
    return torch.atanh(x)


@ops.op
def cast(x: Tensor, dtype: str) -> Typed:
    """Floats become integers by truncation; between floats, the walker rounds."""
    wanted = BY_NAME[dtype]
    return Typed(x.float() if wanted.kind == "float" else wanted.fit(x))


@ops.op
def ceil(x: Tensor) -> Tensor:
    return torch.ceil(x)


@ops.op
def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(x, alpha, beta)


@ops.op
def cos(x: Tensor) -> Tensor:
    return torch.cos(x)


@ops.op
def cosh(x: Tensor) -> Tensor:
    return torch.cosh(x)


@ops.op
def erf(x: Tensor) -> Tensor:
    return torch.erf(x)


@ops.op
def exp(x: Tensor) -> Tensor:
    return torch.exp(x)


@ops.op
def exp2(x: Tensor) -> Tensor:
    return torch.exp2(x) if x.is_floating_point() else torch.exp2(x.double()).to(x.dtype)


@ops.op
def floor(x: Tensor) -> Tensor:
    return torch.floor(x)


@ops.op
def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    return torch.reciprocal(x + epsilon)


@ops.op
def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    return torch.log(x + epsilon)


@ops.op
def logical_not(x: Tensor) -> Tensor:
    return torch.logical_not(x)


@ops.op
def round(x: Tensor) -> Tensor:
    """Halves go to the even neighbour."""
    return torch.round(x)


@ops.op
def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return torch.rsqrt(x + epsilon)


@ops.op
def sign(x: Tensor) -> Tensor:
    return torch.sign(x)


@ops.op
def sin(x: Tensor) -> Tensor:
    return torch.sin(x)


@ops.op
def sinh(x: Tensor) -> Tensor:
    return torch.sinh(x)


@ops.op
def sqrt(x: Tensor) -> Tensor:
    return torch.sqrt(x)


@ops.op
def square(x: Tensor) -> Tensor:
    return x * x


@ops.op
def tan(x: Tensor) -> Tensor:
    return torch.tan(x)


@ops.op
def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


@ops.op
def threshold(x: Tensor, alpha: float) -> Tensor:
    return torch.clamp(x, min=alpha)
