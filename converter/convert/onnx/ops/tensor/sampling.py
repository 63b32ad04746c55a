"""https://onnx.ai/onnx/operators, chapter tensor: tensors read at places that the model computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    is_var,
    mb,
    prod,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op

_PADDING = {"zeros": "constant", "border": "border"}


@op
def AffineGrid(theta: Var, size: Ints, align_corners: int = 0) -> Var:
    """theta [N, 2, 3] or [N, 3, 4]; the grid's last axis counts x, y, z."""
    sides = size[2:]
    lines = [np.linspace(-1, 1, side) if align_corners else (2 * np.arange(side) + 1) / side - 1 for side in sides]
    lines = [np.zeros(1) if align_corners and side == 1 else line for side, line in zip(sides, lines, strict=True)]
    places = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(sides)], -1).reshape(-1, len(sides) + 1)
    grid = mb.matmul(x=const(places[None], like=theta), y=theta, transpose_y=True)
    return reshape(grid, (size[0], *sides, len(sides)))


@op
def GridSample(
    X: Var, grid: Operand, align_corners: int = 0, mode: str = "bilinear", padding_mode: str = "zeros"
) -> Var:
    return GridSample_20(
        X, grid, align_corners, {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode), padding_mode
    )


@op
def GridSample_20(
    X: Var, grid: Operand, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Var:
    """Core ML's resample for images, but for cubic; else a sum of gathered elements. Places are kept in float32."""
    if mode not in ("linear", "nearest", "cubic") or padding_mode not in ("zeros", "border", "reflection"):
        raise Unsupported(f"mode = {mode!r} with padding_mode = {padding_mode!r} is not known")
    if not is_float(X) and mode != "nearest":
        raise Unsupported("the standard does not say how interpolated integers are rounded")
    places = cast(grid, "fp32") if is_var(grid) else const(grid)
    sides = tuple(int(side) for side in X.shape[2:])
    if len(sides) == 2 and mode != "cubic" and is_float(X) and target_is("iOS15"):
        reflection = "reflection" if align_corners else "symmetric"
        if padding_mode != "reflection" or 1 not in sides:
            return mb.resample(
                x=X,
                coordinates=places,
                sampling_mode={"linear": "bilinear"}.get(mode, mode),
                padding_mode=_PADDING.get(padding_mode, reflection),
                padding_value=0.0,
                coordinates_mode="normalized_minus_one_to_one",
                align_corners=bool(align_corners),
            )
    batch, *count, rank = shape_of(places)
    points = reshape(places, (batch, prod(count), rank))
    columns = mb.split(x=points, num_splits=rank, axis=2) if rank > 1 else (points,)
    taps = [
        _axis_taps(x, side, mode, padding_mode, bool(align_corners))
        for x, side in zip(reversed(columns), sides, strict=True)
    ]
    images = const(np.arange(batch).reshape(-1, 1, 1))
    y = gathered(X, images, taps)
    return reshape(transpose(y, (0, 2, 1)), (batch, shape_of(X)[1], *count))


@dataclass(frozen=True)
class Taps:
    """Along one axis the elements [batch, points, taps] that a point is a sum of, and their float32 weights."""

    index: Var
    weight: Var | None  # None: all are 1


def gathered(X: Var, images: Var, taps: Sequence[Taps]) -> Var:
    """X [N, C, sides] at points: [batch, points, C]; `images` [batch, points or 1, 1] are places on X's first axis."""
    flat, weight = joined(X, images, taps)
    batch, points, count = shape_of(flat)
    read = elements(X, flat)
    if weight is None:
        return reshape(read, (batch, points, -1))
    weight = cast(reshape(weight, (batch, points, 1, count)), dtype_name(X))
    return mb.squeeze(x=mb.matmul(x=weight, y=read), axes=[2])


def joined(X: Var, images: Var, taps: Sequence[Taps]) -> tuple[Var, Var | None]:
    """The taps of all axes in one: places in X flattened but for its channels, and their weights."""
    index, weight = images, None
    for side, axis in zip(shape_of(X)[2:], taps, strict=True):
        batch, points, count = shape_of(axis.index)
        outer = mb.expand_dims(x=mb.mul(x=index, y=side), axes=[3])
        before = shape_of(index)[2]
        index = mb.add(x=outer, y=mb.expand_dims(x=axis.index, axes=[2]))
        index = reshape(index, (batch, points, before * count))
        if axis.weight is not None:
            if weight is None:
                weight = axis.weight
            else:
                product = mb.mul(x=mb.expand_dims(x=weight, axes=[3]), y=mb.expand_dims(x=axis.weight, axes=[2]))
                weight = reshape(product, (batch, points, before * count))
    return index, weight


def elements(X: Var, flat: Var) -> Var:
    """[batch, points, taps, C]"""
    size, channels, *sides = shape_of(X)
    order = (0, *range(2, 2 + len(sides)), 1)
    return mb.gather(x=reshape(transpose(X, order), (size * prod(sides), channels)), indices=flat, axis=0)


def _axis_taps(x: Var, side: int, mode: str, padding_mode: str, align_corners: bool) -> Taps:
    """`x` [batch, points, 1] from -1 to 1."""
    place = mb.mul(x=mb.add(x=x, y=1.0), y=(side - 1) / 2) if align_corners else _edges(x, side)
    if mode == "nearest":
        place = mb.round(x=place)  # halves to the even one
    low, high = (0.0, side - 1.0) if align_corners else (-0.5, side - 0.5)
    beyond = place
    if padding_mode == "border":
        inner = mb.clip(x=place, alpha=0.0, beta=side - 1.0)
        out = mb.logical_or(x=mb.less(x=place, y=low), y=mb.greater(x=place, y=high))
        beyond = mb.select(cond=out, a=inner, b=place)
    elif padding_mode == "reflection":
        beyond = _reflected(place, low, high)
    first = beyond if mode == "nearest" else mb.floor(x=beyond)
    offsets = {"nearest": [0], "linear": [0, 1], "cubic": [-1, 0, 1, 2]}[mode]
    index = mb.add(x=first, y=const(np.array(offsets, np.float32).reshape(1, 1, -1))) if mode != "nearest" else first
    weight = None if mode == "nearest" else _weights(mb.sub(x=beyond, y=first), mode)
    if padding_mode == "zeros":
        inside = mb.logical_and(x=mb.greater_equal(x=index, y=0.0), y=mb.less_equal(x=index, y=side - 1.0))
        inside = cast(inside, "fp32")
        weight = inside if weight is None else mb.mul(x=weight, y=inside)
    elif padding_mode == "reflection":
        index = _reflected(index, low, high)
    kept = mb.clip(x=index, alpha=0.0, beta=side - 1.0)
    # Reflected indices between elements are cut, not rounded, where the edges are half a pixel outside.
    return Taps(cast(mb.floor(x=kept) if padding_mode == "reflection" else kept, "int32"), weight)


def _edges(x: Var, side: int) -> Var:
    return mb.sub(x=mb.mul(x=mb.add(x=x, y=1.0), y=side / 2), y=0.5)


def _reflected(x: Var, low: float, high: float) -> Var:
    """Mirrored at low and high until it lies between them."""
    span = high - low
    if span == 0:
        return mb.add(x=mb.mul(x=x, y=0.0), y=low)
    around = mb.mod(x=mb.sub(x=x, y=low), y=2 * span)
    return mb.add(x=mb.sub(x=span, y=mb.abs(x=mb.sub(x=around, y=span))), y=low)


def _weights(ratio: Var, mode: str) -> Var:
    """Of the neighbours of a place that lies `ratio` [.., 1] behind the one at its left."""
    if mode == "linear":
        return mb.concat(values=[mb.sub(x=1.0, y=ratio), ratio], axis=2)
    distance = mb.abs(x=mb.sub(x=ratio, y=const(np.array([-1, 0, 1, 2], np.float32).reshape(1, 1, -1))))
    # Keys' kernel with a = -0.75: near for the inner two, far for the outer two.
    outer, inner = (mb.gather(x=distance, indices=const(np.array(at)), axis=2) for at in ([0, 3], [1, 2]))
    a = -0.75
    near = _polynomial(inner, (a + 2, -(a + 3), 0.0, 1.0))
    far = _polynomial(outer, (a, -5 * a, 8 * a, -4 * a))
    return mb.gather(x=mb.concat(values=[far, near], axis=2), indices=const(np.array([0, 2, 3, 1])), axis=2)


def _polynomial(x: Var, coefficients: Sequence[float]) -> Var:
    first, *rest = coefficients
    total = mb.mul(x=x, y=first)
    for place, coefficient in enumerate(rest):
        total = total if coefficient == 0.0 else mb.add(x=total, y=coefficient)
        total = total if place == len(rest) - 1 else mb.mul(x=total, y=x)
    return total
