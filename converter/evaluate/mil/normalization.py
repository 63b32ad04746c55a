"""Chapter normalization."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops


@ops.op
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


@ops.op
def instance_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    if math.prod(x.shape[2:]) == 1:  # torch refuses a single pixel, which is its own mean
        return x - x if beta is None else x - x + beta.reshape(-1, *[1] * (x.dim() - 2))
    return F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon)


@ops.op
def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Over the last three axes."""
    return x * torch.rsqrt(x.square().sum(dim=(-3, -2, -1), keepdim=True) + epsilon)


@ops.op
def layer_norm(
    x: Tensor,
    axes: Sequence[int] | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    where = sorted(axis % x.dim() for axis in (range(x.dim()) if axes is None else axes))
    sizes = [x.shape[axis] for axis in where]
    if where == list(range(x.dim() - len(where), x.dim())):
        return F.layer_norm(x, sizes, gamma, beta, epsilon)
    variance, mean = torch.var_mean(x, dim=where, correction=0, keepdim=True)
    result = (x - mean) * torch.rsqrt(variance + epsilon)
    spread = [x.shape[axis] if axis in where else 1 for axis in range(x.dim())]
    result = result if gamma is None else result * gamma.reshape(spread)
    return result if beta is None else result + beta.reshape(spread)


@ops.op
def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Over the third axis from the end: of rank 3 that is not axis 1, as coremltools' own expected values show."""
    if x.dim() == 3:
        return F.local_response_norm(x.unsqueeze(0), size, alpha, beta, k).squeeze(0)
    return F.local_response_norm(x, size, alpha, beta, k)
