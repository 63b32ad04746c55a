"""Pooling in two and three dimensions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.geometry import Edges, folded, padded, same_edges, unfolded
from converter.evaluate.layers.table import layers


@layers.op
def pooling(
    x: Tensor,
    type: str = "MAX",
    kernelSize: tuple[int, ...] = (3, 3),
    stride: tuple[int, ...] = (1, 1),
    valid: Edges | None = None,
    same: str | None = None,
    includeLastPixel: tuple[int, ...] | None = None,
    avgPoolExcludePadding: bool = False,
    globalPooling: bool = False,
) -> Tensor:
    if globalPooling:
        return _reduced(x, type, (-2, -1))
    batch = folded(x)
    edges: Edges = valid or ((0, 0), (0, 0))
    beyond: Edges = ((0, 0), (0, 0))
    if same is not None:
        edges = same_edges(x.shape[-2:], kernelSize, stride, same)
    if includeLastPixel is not None:
        edges = tuple((amount, amount) for amount in includeLastPixel)
        beyond = _beyond(x.shape[-2:], kernelSize, stride, includeLastPixel)
    return unfolded(_pooled(batch, type, kernelSize, stride, edges, avgPoolExcludePadding, beyond), x)


@layers.op
def pooling3d(
    x: Tensor,
    type: str = "MAX",
    kernelDepth: int = 0,
    kernelHeight: int = 0,
    kernelWidth: int = 0,
    strideDepth: int = 1,
    strideHeight: int = 1,
    strideWidth: int = 1,
    paddingType: str = "CUSTOM",
    customPaddingFront: int = 0,
    customPaddingBack: int = 0,
    customPaddingTop: int = 0,
    customPaddingBottom: int = 0,
    customPaddingLeft: int = 0,
    customPaddingRight: int = 0,
    countExcludePadding: bool = False,
) -> Tensor:
    kernel = (kernelDepth, kernelHeight, kernelWidth)
    stride = (strideDepth, strideHeight, strideWidth)
    edges: Edges = ((0, 0),) * 3
    if paddingType == "CUSTOM":
        edges = (
            (customPaddingFront, customPaddingBack),
            (customPaddingTop, customPaddingBottom),
            (customPaddingLeft, customPaddingRight),
        )
    elif paddingType == "SAME":
        edges = same_edges(x.shape[2:], kernel, stride, "BOTTOM_RIGHT_HEAVY")
    return _pooled(x, type, kernel, stride, edges, countExcludePadding, ((0, 0),) * 3)


@layers.op
def globalPooling3d(x: Tensor, type: str = "MAX") -> Tensor:
    return _reduced(x, type, (-3, -2, -1))


def _reduced(x: Tensor, type: str, axes: tuple[int, ...]) -> Tensor:
    if type == "MAX":
        return x.amax(axes, keepdim=True)
    if type == "AVERAGE":
        return x.mean(axes, keepdim=True)
    return x.square().sum(axes, keepdim=True).sqrt()


def _beyond(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], amounts: Sequence[int]) -> Edges:
    """What the last window needs past the padding so that it holds the last pixel."""
    edges = []
    for n, k, s, amount in zip(size, kernel, stride, amounts, strict=True):
        count = math.ceil((n + 2 * amount - k) / s) + 1
        if any(amounts) and (count - 1) * s >= n + amount:
            count -= 1
        if (count - 1) * s >= n + amount:
            raise EvaluationError(
                f"of {count} windows of {k} every {s} over {n} the last holds no pixel; Core ML's answer is not known"
            )
        edges.append((0, max(0, (count - 1) * s + k - (n + 2 * amount))))
    return tuple(edges)


def _pooled(
    x: Tensor,
    type: str,
    kernel: Sequence[int],
    stride: Sequence[int],
    edges: Edges,
    exclude_padding: bool,
    beyond: Edges,
) -> Tensor:
    """`beyond` lies past the padding, and counts in no average."""
    flat = len(kernel) == 2
    if type == "MAX":
        # Padding never wins, as in MIL's max_pool, which is written with these layers.
        pool = functional.max_pool2d if flat else functional.max_pool3d
        return pool(padded(padded(x, edges, -math.inf), beyond, -math.inf), tuple(kernel), tuple(stride))
    average = functional.avg_pool2d if flat else functional.avg_pool3d
    if type == "L2":
        squares = padded(padded(x.square(), edges), beyond)
        return average(squares, tuple(kernel), tuple(stride), divisor_override=1).sqrt()
    if exclude_padding:
        counted = padded(padded(torch.ones(1, 1, *x.shape[2:]), edges), beyond)
    else:
        counted = padded(padded(torch.ones(1, 1, *x.shape[2:]), edges, 1.0), beyond)
    sums = average(padded(padded(x, edges), beyond), tuple(kernel), tuple(stride), divisor_override=1)
    return sums / average(counted, tuple(kernel), tuple(stride), divisor_override=1)
