"""https://onnx.ai/onnx/operators, chapter math: sums and products of all that came before."""

import numpy as np

from converter.convert.onnx.builder import Var, cast, const, dtype_name, is_float, mb, normal_axis, shape_of
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def CumSum(x: Var, axis: int, exclusive: int = 0, reverse: int = 0) -> Var:
    """In float32: a sum of many grows beyond float16, or no longer feels what is added."""
    wide = cast(x, "fp32") if is_float(x) else x
    axis = normal_axis(axis, len(x.shape))
    return cast(mb.cumsum(x=wide, axis=axis, exclusive=bool(exclusive), reverse=bool(reverse)), dtype_name(x))


@op
def CumProd(x: Var, axis: int, exclusive: int = 0, reverse: int = 0) -> Var:
    """By doubling: each element holds the product of 2, then 4, then 8 of its predecessors and itself; in float32."""
    axis = normal_axis(axis, len(x.shape))
    size = shape_of(x)[axis]
    product = cast(x, "fp32") if is_float(x) else x
    product = mb.reverse(x=product, axes=[axis]) if reverse else product
    if exclusive:
        product = _times_later(product, axis, 1, None)
    span = 1
    while span < size:
        product = _times_later(product, axis, span, product)
        span *= 2
    return cast(mb.reverse(x=product, axes=[axis]) if reverse else product, dtype_name(x))


def _times_later(x: Var, axis: int, places: int, factor: Var | None) -> Var:
    """`x` moved `places` back, with ones before it; times `factor`, if there is one."""
    shape = list(shape_of(x))
    size, shape[axis] = shape[axis], min(places, shape[axis])
    ones = const(np.ones(shape, np.float32 if is_float(x) else np.int32), like=x)
    moved = ones
    if places < size:
        end, masked = [0] * len(shape), [a != axis for a in range(len(shape))]
        end[axis] = size - places
        first = mb.slice_by_index(x=x, begin=[0] * len(shape), end=end, begin_mask=masked, end_mask=masked)
        moved = mb.concat(values=[ones, first], axis=axis)
    return moved if factor is None else mb.mul(x=factor, y=moved)
