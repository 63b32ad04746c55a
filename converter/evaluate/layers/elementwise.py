"""Element-wise layers of one input, and those of many with limited broadcasting."""

from functools import reduce

import torch
from torch import Tensor

from converter.evaluate.layers.table import layers
from converter.evaluate.layers.weights import Weights


@layers.op
def unary(
    x: Tensor,
    type: str = "SQRT",
    alpha: float = 0.0,
    epsilon: float = 1e-6,
    shift: float = 0.0,
    scale: float = 1.0,
) -> Tensor:
    """alpha serves POWER and THRESHOLD; epsilon RSQRT, INVERSE and, as coremltools' tests on Core ML say, LOG."""
    x = x if scale == 1.0 and shift == 0.0 else scale * x + shift
    match type:
        case "SQRT":
            return x.sqrt()
        case "RSQRT":
            return torch.rsqrt(x + epsilon)
        case "INVERSE":
            return torch.reciprocal(x + epsilon)
        case "POWER":
            return x.pow(alpha)
        case "EXP":
            return x.exp()
        case "LOG":
            return (x + epsilon).log()
        case "ABS":
            return x.abs()
        case _:
            return x.clamp(min=alpha)


@layers.op
def add(*inputs: Tensor, alpha: float = 0.0) -> Tensor:
    return inputs[0] + alpha if len(inputs) == 1 else reduce(torch.add, inputs)


@layers.op
def multiply(*inputs: Tensor, alpha: float = 0.0) -> Tensor:
    return inputs[0] * alpha if len(inputs) == 1 else reduce(torch.mul, inputs)


@layers.op
def average(*inputs: Tensor) -> Tensor:
    return reduce(torch.add, inputs) / len(inputs)


@layers.op
def max(*inputs: Tensor) -> Tensor:
    return reduce(torch.maximum, inputs)


@layers.op
def min(*inputs: Tensor) -> Tensor:
    return reduce(torch.minimum, inputs)


@layers.op
def bias(x: Tensor, bias: Weights, shape: tuple[int, ...] = (1,)) -> Tensor:
    return x + _by_channel(bias, shape)


@layers.op
def scale(
    x: Tensor,
    scale: Weights,
    shapeScale: tuple[int, ...] = (1,),
    hasBias: bool = False,
    shapeBias: tuple[int, ...] = (1,),
    bias: Weights | None = None,
) -> Tensor:
    y = x * _by_channel(scale, shapeScale)
    return y + _by_channel(bias, shapeBias) if hasBias and bias else y


@layers.op
def ceil(x: Tensor) -> Tensor:
    return x.ceil()


@layers.op
def floor(x: Tensor) -> Tensor:
    return x.floor()


@layers.op
def round(x: Tensor) -> Tensor:
    return x.round()


@layers.op
def sign(x: Tensor) -> Tensor:
    return x.sign()


@layers.op
def clip(x: Tensor, minVal: float = 0.0, maxVal: float = 0.0) -> Tensor:
    return x.clamp(minVal, maxVal)


@layers.op
def exp2(x: Tensor) -> Tensor:
    return x.exp2()


@layers.op
def sin(x: Tensor) -> Tensor:
    return x.sin()


@layers.op
def cos(x: Tensor) -> Tensor:
    return x.cos()


@layers.op
def tan(x: Tensor) -> Tensor:
    return x.tan()


@layers.op
def asin(x: Tensor) -> Tensor:
    return x.asin()


@layers.op
def acos(x: Tensor) -> Tensor:
    return x.acos()


@layers.op
def atan(x: Tensor) -> Tensor:
    return x.atan()


@layers.op
def sinh(x: Tensor) -> Tensor:
    return x.sinh()


@layers.op
def cosh(x: Tensor) -> Tensor:
    return x.cosh()


@layers.op
def tanh(x: Tensor) -> Tensor:
    return x.tanh()


@layers.op
def asinh(x: Tensor) -> Tensor:
    return x.asinh()


@layers.op
def acosh(x: Tensor) -> Tensor:
    return x.acosh()


@layers.op
def atanh(x: Tensor) -> Tensor:
    return x.atanh()


@layers.op
def erf(x: Tensor) -> Tensor:
    return x.erf()


def _by_channel(weights: Weights, shape: tuple[int, ...]) -> Tensor:
    """[1], [C], [1, H, W] or [C, H, W]; C is axis -3."""
    return weights.shaped(*shape, 1, 1) if len(shape) == 1 else weights.shaped(*shape)
