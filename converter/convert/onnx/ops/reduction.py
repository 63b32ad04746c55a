"""https://onnx.ai/onnx/operators, chapter reduction."""

from collections.abc import Callable

from converter.convert.onnx.builder import Ints, Unsupported, Var, cast, is_bool, mb, normal_axis, shape_of
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def ArgMax(data: Var, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Var:
    return _arg(mb.reduce_argmax, data, axis, keepdims, select_last_index)


@op
def ArgMin(data: Var, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Var:
    return _arg(mb.reduce_argmin, data, axis, keepdims, select_last_index)


def _arg(reduce: Callable[..., Var], data: Var, axis: int, keepdims: int, select_last_index: int) -> Var:
    """Of equals Core ML takes the first; the last is the first of the reversed tensor."""
    axis = normal_axis(axis, len(data.shape))
    if not select_last_index:
        return reduce(x=data, axis=axis, keep_dims=bool(keepdims))
    first = reduce(x=mb.reverse(x=data, axes=[axis]), axis=axis, keep_dims=bool(keepdims))
    return mb.sub(x=shape_of(data)[axis] - 1, y=first)


def _reduce(reduce: Callable[..., Var], data: Var, axes: Ints | None, keepdims: int, noop_with_empty_axes: int) -> Var:
    if axes:
        chosen = list(axes)
    elif noop_with_empty_axes:
        raise Unsupported("noop_with_empty_axes without axes")
    else:
        chosen = list(range(len(data.shape)))
    if is_bool(data):
        return cast(reduce(x=cast(data, "int32"), axes=chosen, keep_dims=bool(keepdims)), "bool")
    return reduce(x=data, axes=chosen, keep_dims=bool(keepdims))


@op
def ReduceL1(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_l1_norm, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceL2(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_l2_norm, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceLogSum(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_log_sum, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceLogSumExp(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_log_sum_exp, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMax(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_max, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMean(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_mean, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMin(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_min, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceProd(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_prod, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceSum(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_sum, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceSumSquare(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    return _reduce(mb.reduce_sum_square, data, axes, keepdims, noop_with_empty_axes)
