"""https://onnx.ai/onnx/operators, chapter reduction."""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import (
    MAX_RANK,
    Ints,
    Unsupported,
    Var,
    cast,
    dtype_name,
    is_bool,
    is_float,
    is_var,
    mb,
    no_epsilon,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.math.elementwise import truncated_quotient
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import size_of
from converter.convert.onnx.views import Shaped, View, reshape, static_shape, tensor, transpose

op = ai_onnx.op

Alone = Callable[[Var], Var]

_MANY = 1024  # float16 loses the last digits of what is added to a sum of more
_SUMS = ("reduce_sum", "reduce_mean")
_WIDE = ("reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp", "reduce_sum_square")
_FRACTIONS = ("reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp")


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
    size = size_of(data, axis)
    if not is_var(size):
        return mb.sub(x=size - 1, y=first)
    last = mb.sub(x=mb.squeeze(x=size, axes=[0]), y=1)
    return mb.sub(x=last, y=first)


def _reduce(
    reduce: str, alone: Alone, data: Shaped, axes: Ints | None, keepdims: int, noop_with_empty_axes: int
) -> Shaped:
    """The MIL op `reduce` over the axes, all where none is given; `alone` is what it does where nothing is reduced."""
    rank = len(data.shape)
    if not rank or (not axes and noop_with_empty_axes):
        return alone(tensor(data))
    chosen = sorted(normal_axis(axis, rank) for axis in axes or range(rank))
    if any(dim == 0 for dim in data.shape):
        raise Unsupported("a tensor without elements has no place in Core ML")
    if rank > MAX_RANK:
        return _reduced_view(reduce, data, chosen, keepdims)
    return _typed(reduce, tensor(data), chosen, bool(keepdims))


def _reduced_view(reduce: str, data: View, axes: list[int], keepdims: int) -> Shaped:
    shape = static_shape(data)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    sizes = prod([shape[axis] for axis in kept]), prod([shape[axis] for axis in axes])
    rows = _typed(reduce, tensor(reshape(transpose(data, [*kept, *axes]), sizes)), [1], False)
    return reshape(rows, [1 if axis in axes else size for axis, size in enumerate(shape) if keepdims or axis in kept])


def _typed(reduce: str, x: Var, axes: list[int], keep_dims: bool) -> Var:
    """In int32 for truth values; in float32 for long sums, and for integers what gives a fraction, which is cut off."""
    kind = dtype_name(x)
    if is_bool(x):
        x = cast(x, "int32")
    elif reduce in (_WIDE if is_float(x) else _FRACTIONS) or (is_float(x) and _is_long_sum(reduce, x, axes)):
        x = cast(x, "fp32")
    if reduce == "reduce_mean" and not is_float(x):
        total = mb.reduce_sum(x=x, axes=axes, keep_dims=keep_dims)
        return truncated_quotient(total, np.array(prod([shape_of(x)[axis] for axis in axes])))
    return cast(getattr(mb, reduce)(x=x, axes=axes, keep_dims=keep_dims), kind)


def _is_long_sum(reduce: str, x: Var, axes: list[int]) -> bool:
    """A flexible axis may be of any length."""
    sizes = [x.shape[axis] for axis in axes]
    return reduce in _SUMS and (not all(isinstance(size, int | np.integer) for size in sizes) or prod(sizes) >= _MANY)


def _same(x: Var) -> Var:
    return x


def _abs(x: Var) -> Var:
    return mb.abs(x=x)


def _square(x: Var) -> Var:
    return mb.mul(x=x, y=x)


def _log(x: Var) -> Var:
    return cast(mb.log(x=x if is_float(x) else cast(x, "fp32"), epsilon=no_epsilon()), dtype_name(x))


@op
def ReduceL1(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_l1_norm", _abs, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceL2(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_l2_norm", _abs, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceLogSum(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_log_sum", _log, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceLogSumExp(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_log_sum_exp", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMax(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_max", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMean(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_mean", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceMin(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_min", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceProd(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_prod", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceSum(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_sum", _same, data, axes, keepdims, noop_with_empty_axes)


@op
def ReduceSumSquare(data: Shaped, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Shaped:
    return _reduce("reduce_sum_square", _square, data, axes, keepdims, noop_with_empty_axes)
