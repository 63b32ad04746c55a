"""Tensor allocation and reshaping."""

from collections.abc import Sequence

import torch
from torch import Tensor

from converter.evaluate.layers.table import integers, layers, scalar
from converter.evaluate.layers.weights import Weights


@layers.op
def getShape(x: Tensor) -> Tensor:
    return torch.tensor(x.shape, dtype=torch.float32)


@layers.op
def loadConstant(data: Weights, shape: tuple[int, ...]) -> Tensor:
    """[C, H, W] becomes [1, 1, C, H, W]."""
    return data.shaped(*shape).reshape(1, 1, *shape)


@layers.op
def loadConstantND(data: Weights, shape: tuple[int, ...] = ()) -> Tensor:
    return data.shaped(*shape)


@layers.op
def fillLike(x: Tensor, value: float = 0.0) -> Tensor:
    return torch.full_like(x, value)


@layers.op
def fillStatic(value: float = 0.0, targetShape: tuple[int, ...] = ()) -> Tensor:
    return torch.full(targetShape, value)


@layers.op
def fillDynamic(shape: Tensor, value: float = 0.0) -> Tensor:
    return torch.full(integers(shape), value)


@layers.op
def rangeStatic(endValue: float = 0.0, startValue: float = 0.0, stepSizeValue: float = 1.0) -> Tensor:
    return torch.arange(startValue, endValue, stepSizeValue, dtype=torch.float32)


@layers.op
def rangeDynamic(endValue: Tensor, startValue: Tensor | float = 0.0, stepSizeValue: Tensor | float = 1.0) -> Tensor:
    return torch.arange(scalar(startValue), scalar(endValue), scalar(stepSizeValue), dtype=torch.float32)


@layers.op
def broadcastToLike(x: Tensor, like: Tensor) -> Tensor:
    return x.expand(like.shape)


@layers.op
def broadcastToStatic(x: Tensor, targetShape: tuple[int, ...]) -> Tensor:
    return x.expand(targetShape)


@layers.op
def broadcastToDynamic(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(integers(shape))


@layers.op
def squeeze(x: Tensor, axes: tuple[int, ...] = (), squeezeAll: bool = False) -> Tensor:
    return x.squeeze() if squeezeAll else _squeezed(x, axes)


@layers.op
def expandDims(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The axes are the output's."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@layers.op
def flattenTo2D(x: Tensor, axis: int = 0) -> Tensor:
    """The axes before `axis` are one, and those from it on; x of rank 1 may be cut at its end (axis 1)."""
    cut = axis if axis >= 0 else axis + x.dim()
    rows = int(torch.tensor(x.shape[:cut]).prod())
    return x.reshape(rows, -1)


@layers.op
def reshapeStatic(x: Tensor, targetShape: tuple[int, ...]) -> Tensor:
    return x.reshape(targetShape)


@layers.op
def reshapeLike(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(like.shape)


@layers.op
def reshapeDynamic(x: Tensor, shape: Tensor) -> Tensor:
    return x.reshape(integers(shape))


@layers.op
def rankPreservingReshape(x: Tensor, targetShape: tuple[int, ...]) -> Tensor:
    """0 keeps an axis, one -1 takes what is left."""
    return x.reshape([kept if size == 0 else size for size, kept in zip(targetShape, x.shape, strict=True)])


def _squeezed(x: Tensor, axes: Sequence[int]) -> Tensor:
    lengths = [x.shape[axis] for axis in axes]
    if any(length != 1 for length in lengths):
        raise ValueError(f"the axes {list(axes)} have the lengths {lengths}; only 1 can be squeezed")
    return x.squeeze(tuple(axes))
