"""Borders, paddings and sampling grids of the spatial layers."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from converter.evaluate.layers.table import messages

Edges = tuple[tuple[int, int], ...]
"""For each spatial axis, the amount at its start and at its end."""


@messages.op
def EdgeSizes(startEdgeSize: int = 0, endEdgeSize: int = 0) -> tuple[int, int]:
    return startEdgeSize, endEdgeSize


@messages.op
def BorderAmounts(borderAmounts: Edges = ((0, 0), (0, 0))) -> Edges:
    return borderAmounts


@messages.op
def ValidPadding(paddingAmounts: Edges = ((0, 0), (0, 0))) -> Edges:
    return paddingAmounts


@messages.op
def SamePadding(asymmetryMode: str = "BOTTOM_RIGHT_HEAVY") -> str:
    return asymmetryMode


@messages.op
def ValidCompletePadding(paddingAmounts: tuple[int, ...] = (0, 0)) -> tuple[int, ...]:
    return paddingAmounts


@messages.op
def SamplingMode(samplingMethod: str = "STRICT_ALIGN_ENDPOINTS_MODE") -> str:
    return samplingMethod


@messages.op
def BoxCoordinatesMode(boxMode: str = "CORNERS_HEIGHT_FIRST") -> str:
    return boxMode


def halved(total: int, asymmetry: str) -> tuple[int, int]:
    """An amount split over an axis' two ends: the odd one at the heavy end, a negative one wholly at the end."""
    if total < 0:
        return 0, total
    light = total // 2
    return (light, total - light) if asymmetry == "BOTTOM_RIGHT_HEAVY" else (total - light, light)


def same_edges(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], asymmetry: str) -> Edges:
    """The padding that makes ceil(size / stride) outputs; `kernel` is dilated already."""
    outputs = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    totals = [max(0, (out - 1) * s + k - n) for out, s, k, n in zip(outputs, stride, kernel, size, strict=True)]
    return tuple(halved(total, asymmetry) for total in totals)


def padded(x: Tensor, edges: Sequence[tuple[int, int]], value: float = 0.0, mode: str = "constant") -> Tensor:
    """x with its last axes padded (negative amounts crop)."""
    if not any(any(pair) for pair in edges):
        return x
    amounts = [amount for pair in reversed(edges) for amount in pair]
    return functional.pad(x, amounts, value=value) if mode == "constant" else functional.pad(x, amounts, mode=mode)


def folded(x: Tensor) -> Tensor:
    """[N, C, H, W]: every axis before the last three is batch."""
    return x.reshape(-1, *x.shape[-3:])


def unfolded(y: Tensor, x: Tensor) -> Tensor:
    """`folded` undone: y with the leading axes of x."""
    return y.reshape((*x.shape[:-3], *y.shape[-3:]))


def bilinear(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x's last two axes sampled at fractional rows and columns, which lie within it."""
    for axis, points in ((-2, rows), (-1, columns)):
        low = points.floor()
        share = (points - low).to(x.dtype)
        first = low.long()
        second = (first + 1).clamp(max=x.shape[axis] - 1)
        share = share.unsqueeze(-1) if axis == -2 else share
        x = x.index_select(axis, first) * (1 - share) + x.index_select(axis, second) * share
    return x


def grid(start: float, end: float, count: int, method: str, limit: int) -> Tensor:
    """`count` points sampled from the pixels start..end (both included), clamped to 0..limit-1, in float64.

    Source: SamplingMode in NeuralNetwork.proto.
    """
    span = end - start
    if method == "ALIGN_ENDPOINTS_MODE" and count == 1:
        first, last = start + span / 2, start + span / 2
    elif method in ("STRICT_ALIGN_ENDPOINTS_MODE", "ALIGN_ENDPOINTS_MODE"):
        first, last = start, end
    elif method == "UPSAMPLE_MODE":
        first, last = start, start + (span + 1) - (span + 1) / count
    else:
        spacing = max(1.0, span) / count
        first = start + spacing / 2
        last = first + (count - 1) * spacing
    return torch.linspace(first, last, count, dtype=torch.float64).clamp(0, limit - 1)
