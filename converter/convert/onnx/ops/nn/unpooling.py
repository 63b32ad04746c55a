"""https://onnx.ai/onnx/operators, chapter nn: pooled values back in their places, and pools over regions."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    is_var,
    mb,
    narrow,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.nn.norms import in_float32
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def MaxUnpool(
    X: Var,
    I: Operand,  # noqa: E741  the standard's name
    output_shape: Ints | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    """The indices count in the shape that kernel, strides and pads say; output_shape adds zeros at the ends."""
    count = len(kernel_shape)
    batch, channels, *sizes = shape_of(X)
    strides = strides or (1,) * count
    pads = pads or (0,) * (2 * count)
    inferred = (
        batch,
        channels,
        *(
            (size - 1) * stride - begin - end + kernel
            for size, stride, begin, end, kernel in zip(
                sizes, strides, pads[:count], pads[count:], kernel_shape, strict=True
            )
        ),
    )
    values = mb.reshape(x=X, shape=(-1,))
    places = mb.reshape(x=I, shape=(-1,)) if is_var(I) else narrow(I.reshape(-1), np.float32)
    zeros = const(np.zeros(prod(inferred)), like=X)
    flat = mb.scatter_along_axis(data=zeros, indices=places, updates=values, axis=0, mode="update")
    y = mb.reshape(x=flat, shape=inferred)
    wanted = tuple(output_shape) if output_shape is not None else inferred
    missing = [more - size for more, size in zip(wanted, inferred, strict=True)]
    if min(missing) < 0:
        raise Unsupported(f"output_shape is {list(wanted)}, smaller than {list(inferred)}, in which its indices count")
    if not any(missing):
        return y
    return mb.pad(x=y, pad=[side for more in missing for side in (0, more)], mode="constant", constant_val=0.0)


_OUTSIDE = -1e38  # is added to what lies outside a bin


@op
def MaxRoiPool(X: Var, rois: Var, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Var:
    """Of each bin the maximum over its rows, then over its columns; an empty bin holds 0, as in onnxruntime."""
    height, width = shape_of(X)[2:]
    rois = cast(rois, "fp32")
    batch, *corners = mb.split(x=rois, num_splits=5, axis=1)
    left, top, right, bottom = (_rounded(mb.mul(x=corner, y=spatial_scale)) for corner in corners)
    rows, some_rows = _bins(top, bottom, pooled_shape[0], height)
    columns, some_columns = _bins(left, right, pooled_shape[1], width)

    def pool(images: Var) -> Var:
        x = mb.gather(x=images, indices=cast(mb.squeeze(x=batch, axes=[1]), "int32"), axis=0)
        x = mb.add(x=mb.expand_dims(x=x, axes=[2]), y=mb.expand_dims(x=rows, axes=[1, 4]))
        x = mb.reduce_max(x=x, axes=[3], keep_dims=False)
        x = mb.add(x=mb.expand_dims(x=x, axes=[3]), y=mb.expand_dims(x=columns, axes=[1, 2]))
        x = mb.reduce_max(x=x, axes=[4], keep_dims=False)
        x = mb.mul(x=x, y=mb.expand_dims(x=some_rows, axes=[1, 3]))
        return mb.mul(x=x, y=mb.expand_dims(x=some_columns, axes=[1, 2]))

    return in_float32(pool, X)


def _rounded(x: Var) -> Var:
    """Halves away from zero."""
    return mb.mul(x=mb.sign(x=x), y=mb.floor(x=mb.add(x=mb.abs(x=x), y=0.5)))


def _bins(start: Var, end: Var, count: int, size: int) -> tuple[Var, Var]:
    """What to add to each place [regions, bins, size], and 1 for each bin that is not empty [regions, bins]."""
    length = mb.maximum(x=mb.add(x=mb.sub(x=end, y=start), y=1.0), y=1.0)
    step = mb.real_div(x=length, y=float(count))
    numbers = np.arange(count, dtype=np.float32)[None]
    firsts = mb.add(x=mb.floor(x=mb.mul(x=step, y=numbers)), y=start)
    lasts = mb.add(x=mb.ceil(x=mb.mul(x=step, y=numbers + 1)), y=start)
    firsts, lasts = (mb.clip(x=edge, alpha=0.0, beta=float(size)) for edge in (firsts, lasts))
    places = np.arange(size, dtype=np.float32)[None, None]
    first, last = (mb.expand_dims(x=edge, axes=[2]) for edge in (firsts, lasts))
    outside = mb.logical_or(x=mb.less(x=places, y=first), y=mb.greater_equal(x=places, y=last))
    return mb.mul(x=cast(outside, "fp32"), y=_OUTSIDE), cast(mb.greater(x=lasts, y=firsts), "fp32")
