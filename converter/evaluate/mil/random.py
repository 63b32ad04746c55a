"""Chapter random. A seed gives the same values each time here, but not Core ML's own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import Typed


@ops.op
def random_bernoulli(shape: Sequence[int], prob: float = 0.5, seed: int = -1) -> Typed:
    return Typed((torch.rand(*shape, generator=_generator(seed)) < prob).float())


@ops.op
def random_categorical(x: Tensor, mode: str = "logits", size: int = 1, seed: int = -1) -> Typed:
    chances = torch.softmax(x, -1) if mode == "logits" else x
    rows = chances.reshape(-1, chances.shape[-1])
    drawn = torch.multinomial(rows, size, replacement=True, generator=_generator(seed))
    return Typed(drawn.reshape((*x.shape[:-1], size)).float())


@ops.op
def random_normal(shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, seed: int = -1) -> Typed:
    return Typed(torch.randn(*shape, generator=_generator(seed)) * stddev + mean)


@ops.op
def random_uniform(shape: Sequence[int], low: float = 0.0, high: float = 1.0, seed: int = -1) -> Typed:
    return Typed(torch.rand(*shape, generator=_generator(seed)) * (high - low) + low)


def _generator(seed: int) -> Any:
    generator = torch.Generator()
    if seed < 0:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
