"""Chapter activation."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops


@ops.op
def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(F.leaky_relu(x, alpha), max=beta)


@ops.op
def elu(x: Tensor, alpha: float) -> Tensor:
    return F.elu(x, alpha)


@ops.op
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate={"EXACT": "none", "TANH_APPROXIMATION": "tanh"}[mode])


@ops.op
def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return F.leaky_relu(x, alpha)


@ops.op
def linear_activation(x: Tensor, alpha: float, beta: float) -> Tensor:
    return x * alpha + beta


@ops.op
def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * _per_channel(alpha, x))


@ops.op
def relu(x: Tensor) -> Tensor:
    return torch.relu(x)


@ops.op
def relu6(x: Tensor) -> Tensor:
    return torch.clamp(x, 0, 6)


@ops.op
def scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    return alpha * torch.tanh(beta * x)


@ops.op
def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@ops.op
def sigmoid_hard(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@ops.op
def silu(x: Tensor) -> Tensor:
    return F.silu(x)


@ops.op
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@ops.op
def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


@ops.op
def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    inner = _per_channel(beta, x) * x
    return _per_channel(alpha, x) * torch.logaddexp(inner, torch.zeros_like(inner))


@ops.op
def softsign(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


@ops.op
def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x >= alpha, x, torch.zeros_like(x))


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """`values` [C] (or one for all) along axis 1 of `x`."""
    return values.reshape(-1, *[1] * (x.dim() - 2))
