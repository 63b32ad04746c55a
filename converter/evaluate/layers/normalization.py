"""Normalization."""

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.geometry import folded, unfolded
from converter.evaluate.layers.table import layers
from converter.evaluate.layers.weights import Weights


@layers.op
def batchnorm(
    x: Tensor,
    gamma: Weights,
    beta: Weights,
    channels: int = 0,
    computeMeanVar: bool = False,
    instanceNormalization: bool = False,
    epsilon: float = 1e-5,
    mean: Weights | None = None,
    variance: Weights | None = None,
) -> Tensor:
    """Along axis -3; with computeMeanVar the statistics are the input's own, for each instance or for the batch."""
    batch = folded(x)
    scale, offset = gamma.shaped(channels), beta.shaped(channels)
    # torch.nn.functional refuses statistics of one number, as training's; here they are the number itself and 0.
    if computeMeanVar and instanceNormalization:
        y = torch.instance_norm(batch, scale, offset, None, None, True, 0.0, epsilon, False)
    elif computeMeanVar:
        y = torch.batch_norm(batch, scale, offset, None, None, True, 0.0, epsilon, False)
    elif mean is None or variance is None:
        raise EvaluationError("neither computeMeanVar nor mean and variance are given")
    else:
        y = functional.batch_norm(batch, mean.shaped(channels), variance.shaped(channels), scale, offset, eps=epsilon)
    return unfolded(y, x)


@layers.op
def mvn(x: Tensor, acrossChannels: bool = False, normalizeVariance: bool = False, epsilon: float = 1e-6) -> Tensor:
    axes = (-3, -2, -1) if acrossChannels else (-2, -1)
    centred = x - x.mean(axes, keepdim=True)
    if not normalizeVariance:
        return centred
    return centred / (centred.square().mean(axes, keepdim=True) + epsilon).sqrt()


@layers.op
def l2normalize(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + epsilon).sqrt()


@layers.op
def lrn(x: Tensor, alpha: float = 0.0, beta: float = 0.0, localSize: int = 0, k: float = 1.0) -> Tensor:
    return unfolded(functional.local_response_norm(folded(x), localSize, alpha, beta, k), x)


@layers.op
def layerNormalization(
    x: Tensor, gamma: Weights, beta: Weights, normalizedShape: tuple[int, ...] = (), eps: float = 0.0
) -> Tensor:
    scale, offset = gamma.shaped(*normalizedShape), beta.shaped(*normalizedShape)
    return torch.layer_norm(x, normalizedShape, scale, offset, eps)
