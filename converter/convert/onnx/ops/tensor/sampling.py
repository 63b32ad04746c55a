"""https://onnx.ai/onnx/operators, chapter tensor: tensors read at places that the model computes."""

from collections.abc import Sequence

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    is_float,
    is_var,
    mb,
    prod,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.taps import Taps, arithmetic, gathered
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
    places = cast(grid, "fp32") if is_var(grid) else grid.astype(np.float32)
    sides = tuple(int(side) for side in X.shape[2:])
    if len(sides) == 2 and mode != "cubic" and is_float(X) and target_is("iOS15"):
        reflection = "reflection" if align_corners else "symmetric"
        if padding_mode != "reflection" or 1 not in sides:
            return mb.resample(
                x=X,
                coordinates=places if is_var(places) else const(places),
                sampling_mode={"linear": "bilinear"}.get(mode, mode),
                padding_mode=_PADDING.get(padding_mode, reflection),
                padding_value=0.0,
                coordinates_mode="normalized_minus_one_to_one",
                align_corners=bool(align_corners),
            )
    batch, *count, rank = shape_of(grid)
    points = arithmetic(places)
    rows = points.reshape(x=places, shape=(batch, prod(count), rank))
    columns = points.split(x=rows, num_splits=rank, axis=2) if rank > 1 else (rows,)
    axes = zip(reversed(columns), sides, strict=True)
    taps = [_axis_taps(x, side, mode, padding_mode, bool(align_corners)) for x, side in axes]
    y = gathered(X, np.arange(batch, dtype=np.int32).reshape(-1, 1, 1), taps)
    return reshape(transpose(y, (0, 2, 1)), (batch, shape_of(X)[1], *count))


def _axis_taps(x: Operand, side: int, mode: str, padding_mode: str, align_corners: bool) -> Taps:
    """`x` [batch, points, 1] from -1 to 1."""
    do = arithmetic(x)
    place = do.mul(x=do.add(x=x, y=1.0), y=(side - 1) / 2 if align_corners else side / 2)
    place = place if align_corners else do.sub(x=place, y=0.5)
    place = do.round(x=place) if mode == "nearest" else place  # halves to the even one
    low, high = (0.0, side - 1.0) if align_corners else (-0.5, side - 0.5)
    if padding_mode == "border" and mode != "cubic":  # whose neighbours are clamped, each for itself
        beyond = do.logical_or(x=do.less(x=place, y=low), y=do.greater(x=place, y=high))
        place = do.select(cond=beyond, a=do.clip(x=place, alpha=0.0, beta=side - 1.0), b=place)
    elif padding_mode == "reflection":
        place = _reflected(place, low, high)
    index, weight = place, None
    if mode != "nearest":
        left = do.floor(x=place)
        neighbours = np.arange(2) if mode == "linear" else np.arange(-1, 3)
        index = do.add(x=left, y=neighbours.astype(np.float32).reshape(1, 1, -1))
        weight = _weights(do.sub(x=place, y=left), mode)
    if padding_mode == "zeros":
        inside = do.logical_and(x=do.greater_equal(x=index, y=0.0), y=do.less_equal(x=index, y=side - 1.0))
        inside = do.cast(x=inside, dtype="fp32")
        weight = inside if weight is None else do.mul(x=weight, y=inside)
    elif padding_mode == "reflection":
        index = do.floor(x=_reflected(index, low, high))  # from half a pixel outside it is cut, not rounded
    return Taps(do.cast(x=do.clip(x=index, alpha=0.0, beta=side - 1.0), dtype="int32"), weight)


def _reflected(x: Operand, low: float, high: float) -> Operand:
    """Mirrored at low and high until it lies between them."""
    do, span = arithmetic(x), high - low
    if span == 0:
        return do.add(x=do.mul(x=x, y=0.0), y=low)
    around = do.mod(x=do.sub(x=x, y=low), y=2 * span)
    return do.add(x=do.sub(x=span, y=do.abs(x=do.sub(x=around, y=span))), y=low)


def _weights(ratio: Operand, mode: str) -> Operand:
    """Of the neighbours of a place that lies `ratio` [.., 1] behind the one at its left; cubic is Keys' kernel."""
    do = arithmetic(ratio)
    rest = do.sub(x=1.0, y=ratio)
    if mode == "linear":
        return do.concat(values=[rest, ratio], axis=2)
    a = -0.75
    far, near = (a, -5 * a, 8 * a, -4 * a), (a + 2, -(a + 3), 0.0, 1.0)
    distances = (do.add(x=ratio, y=1.0), ratio, rest, do.add(x=rest, y=1.0))
    values = [_polynomial(x, by) for x, by in zip(distances, (far, near, near, far), strict=True)]
    return do.concat(values=values, axis=2)


def _polynomial(x: Operand, coefficients: Sequence[float]) -> Operand:
    do, (total, *rest) = arithmetic(x), coefficients
    y = do.mul(x=x, y=total)
    for coefficient in rest[:-1]:
        y = do.mul(x=do.add(x=y, y=coefficient) if coefficient else y, y=x)
    return do.add(x=y, y=rest[-1])
