"""https://onnx.ai/onnx/operators, chapter nn: pools."""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    OutputCount,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    mb,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.nn.norms import in_float32, lp_norm
from converter.convert.onnx.ops.nn.windows import Window, spatial_shape
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def MaxPool(
    X: Var,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Integers, which have 8 bits here, go through floats, which hold them."""
    window = Window(X, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode)
    values = X if is_float(X) else cast(X, "fp32")
    pool = _dilated_max if window.is_dilated else _max
    pooled = cast(pool(values, window), dtype_name(X))
    return (pooled,) if outputs == 1 else (pooled, _places(values, window, storage_order))


def _max(X: Var, window: Window) -> Var:
    return mb.max_pool(x=X, **window.way_of_pool())


def _dilated_max(X: Var, window: Window) -> Var:
    """Core ML has no dilated pools: axis by axis the maximum over the kernel's cells."""
    pooled = X
    for axis, places in enumerate(window.cells_inside(spatial_shape(X)), start=2):
        first, *others = (mb.gather(x=pooled, indices=row.astype(np.int32), axis=axis) for row in places)
        pooled = first
        for other in others:
            pooled = mb.maximum(x=pooled, y=other)
    return pooled


def _places(X: Var, window: Window, storage_order: int) -> Var:
    """Where each maximum lies in the flattened input; of equals the first. [N, C, outputs...]"""
    batch, channels, *sizes = shape_of(X)
    numbers = np.arange(prod(sizes), dtype=np.int32)
    indices = numbers.reshape(sizes[::-1]).T if storage_order else numbers.reshape(sizes)
    cells = window.cells_inside(tuple(sizes))
    outputs = tuple(places.shape[1] for places in cells)
    rank = len(sizes)
    grid = [
        places.reshape([side if i in (axis, rank + axis) else 1 for i, side in enumerate((*window.kernel, *outputs))])
        for axis, places in enumerate(cells)
    ]
    count, kernel = prod(outputs), prod(window.kernel)
    # One row for each cell of the kernel, one column for each output.
    seen = numbers.reshape(sizes)[tuple(grid)].reshape(-1)
    told = indices[tuple(grid)].reshape(-1)
    pixels = mb.reshape(x=X, shape=(batch, channels, prod(sizes)))
    windows = mb.reshape(x=mb.gather(x=pixels, indices=seen, axis=2), shape=(batch, channels, kernel, count))
    first = mb.reduce_argmax(x=windows, axis=2, keep_dims=False)
    column = np.arange(count, dtype=np.int32).reshape(1, 1, count)
    flat = mb.add(x=mb.mul(x=first, y=np.int32(count)), y=column)
    place = mb.gather(x=mb.const(val=told), indices=flat, axis=0)
    image = (np.arange(batch * channels, dtype=np.int32) * prod(sizes)).reshape(batch, channels, 1)
    return mb.reshape(x=mb.add(x=place, y=image), shape=(batch, channels, *outputs))


@op
def AveragePool(
    X: Var,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    window = Window(X, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode)
    if window.is_dilated:
        pooled = _summed(X, window, 1 / prod(window.kernel))
    elif not count_include_pad or not any(window.overhang):
        return mb.avg_pool(x=X, exclude_padding_from_average=not count_include_pad, **window.way_of_pool())
    else:
        pooled = mb.avg_pool(x=X, exclude_padding_from_average=False, **window.way_of_pool())
    if not any(window.pad_with_overhang):
        return pooled
    # Padding counts if it shall, what ceil_mode adds beyond it never does.
    counted = window.counted(spatial_shape(X), padding=bool(count_include_pad))
    if (counted == 0).any():
        raise Unsupported("one of its windows holds nothing but padding")
    return mb.mul(x=pooled, y=const(prod(window.kernel) / counted, like=pooled))


def _summed(X: Var, window: Window, weight: float) -> Var:
    """The sum over each window times `weight`: a convolution of each channel by itself."""
    if window.ceil and window.is_flexible:
        raise Unsupported("ceil_mode over a flexible size in this pool")
    channels = shape_of(X)[1] if not isinstance(X.shape[1], int) else int(X.shape[1])
    weights = const(np.full((channels, 1, *window.kernel), weight), like=X)
    return mb.conv(x=X, weight=weights, groups=channels, dilations=window.dilations, **window.way())


@op
def LpPool(
    X: Var,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    window = Window(X, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode)
    if p == 2 and not window.is_dilated and len(window.kernel) < 3:
        return in_float32(lambda x: mb.l2_pool(x=x, **window.way_of_pool()), X)
    return in_float32(lambda x: lp_norm(x, p, lambda powers: _summed(powers, window, 1.0)), X)


@op
def GlobalAveragePool(X: Var) -> Var:
    return _global(mb.reduce_mean, X)


@op
def GlobalMaxPool(X: Var) -> Var:
    return _global(mb.reduce_max, X)


@op
def GlobalLpPool(X: Var, p: int = 2) -> Var:
    return in_float32(lambda x: lp_norm(x, p, lambda powers: _global(mb.reduce_sum, powers)), X)


def _global(reduce: Callable[..., Var], X: Var) -> Var:
    return reduce(x=X, axes=list(range(2, len(X.shape))), keep_dims=True)
