"""Random distributions.

The numbers are drawn from the named distribution with the given seed, so that a run repeats; they are not Core ML's
own, whose generator is not documented.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from converter.evaluate.layers.table import integers, layers


@layers.op
def randomNormalLike(x: Tensor, seed: int = 0, mean: float = 0.0, stdDev: float = 0.0) -> Tensor:
    return _normal(x.shape, seed, mean, stdDev)


@layers.op
def randomNormalStatic(
    seed: int = 0, mean: float = 0.0, stdDev: float = 0.0, outputShape: tuple[int, ...] = ()
) -> Tensor:
    return _normal(outputShape, seed, mean, stdDev)


@layers.op
def randomNormalDynamic(shape: Tensor, seed: int = 0, mean: float = 0.0, stdDev: float = 0.0) -> Tensor:
    return _normal(integers(shape), seed, mean, stdDev)


@layers.op
def randomUniformLike(x: Tensor, seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0) -> Tensor:
    return _uniform(x.shape, seed, minVal, maxVal)


@layers.op
def randomUniformStatic(
    seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0, outputShape: tuple[int, ...] = ()
) -> Tensor:
    return _uniform(outputShape, seed, minVal, maxVal)


@layers.op
def randomUniformDynamic(shape: Tensor, seed: int = 0, minVal: float = 0.0, maxVal: float = 0.0) -> Tensor:
    return _uniform(integers(shape), seed, minVal, maxVal)


@layers.op
def randomBernoulliLike(x: Tensor, seed: int = 0, prob: float = 0.0) -> Tensor:
    return _bernoulli(x.shape, seed, prob)


@layers.op
def randomBernoulliStatic(seed: int = 0, prob: float = 0.0, outputShape: tuple[int, ...] = ()) -> Tensor:
    return _bernoulli(outputShape, seed, prob)


@layers.op
def randomBernoulliDynamic(shape: Tensor, seed: int = 0, prob: float = 0.0) -> Tensor:
    return _bernoulli(integers(shape), seed, prob)


@layers.op
def categoricalDistribution(
    x: Tensor,
    seed: int = 0,
    numSamples: int = 0,
    isLogits: bool = False,
    eps: float = 1e-10,
    temperature: float = 1.0,
) -> Tensor:
    """[.., D] to [.., numSamples] class numbers."""
    logits = x if isLogits else (x + eps).log()
    probabilities = torch.softmax(logits / temperature, -1).reshape(-1, x.shape[-1])
    drawn = torch.multinomial(probabilities, numSamples, replacement=True, generator=_generator(seed))
    return drawn.reshape((*x.shape[:-1], numSamples)).float()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(shape: Sequence[int], seed: int, mean: float, deviation: float) -> Tensor:
    return mean + deviation * torch.randn(*shape, generator=_generator(seed))


def _uniform(shape: Sequence[int], seed: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=_generator(seed))


def _bernoulli(shape: Sequence[int], seed: int, probability: float) -> Tensor:
    return torch.full((math.prod(shape),), probability).bernoulli(generator=_generator(seed)).reshape(shape)
