"""https://onnx.ai/onnx/operators, chapter tensor: elements chosen by place."""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_bool,
    is_float,
    is_var,
    mb,
    normal_axis,
    precision,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def Gather(data: Var, indices: Operand, axis: int = 0) -> Var:
    axis = normal_axis(axis, len(data.shape))
    if is_var(indices):
        return mb.gather(x=data, indices=from_the_end(indices, data, axis), axis=axis)
    if (indices < 0).any():
        indices = np.where(indices < 0, indices + shape_of(data)[axis], indices)
    if indices.ndim:
        return mb.gather(x=data, indices=const(indices), axis=axis)
    begin, end, others = [0] * len(data.shape), [0] * len(data.shape), [True] * len(data.shape)
    begin[axis], end[axis], others[axis] = int(indices), int(indices) + 1, False
    # Without squeeze_mask, which a NeuralNetwork knows from iOS14 on.
    one = mb.slice_by_index(x=data, begin=begin, end=end, begin_mask=others, end_mask=others)
    return mb.squeeze(x=one, axes=[axis])


def from_the_end(indices: Var, data: Var, axis: int) -> Var:
    """Computed indices with the negative ones counted from the front: from iOS17 on Core ML takes no others."""
    size = (
        mb.gather(x=mb.shape(x=data), indices=axis, axis=0) if not _static(data.shape[axis]) else int(data.shape[axis])
    )
    negative = mb.less(x=indices, y=0)
    return mb.select(cond=negative, a=mb.add(x=indices, y=size), b=indices)


def _static(dim: object) -> bool:
    return isinstance(dim, int | np.integer)


@op
def Slice(data: Var, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None) -> Var:
    rank = len(data.shape)
    axes = tuple(normal_axis(a, rank) for a in axes) if axes is not None else tuple(range(len(starts)))
    steps = steps if steps is not None else (1,) * len(starts)
    begin, end, stride = [0] * rank, [0] * rank, [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        size = data.shape[axis]
        if not _static(size):
            raise Unsupported("it slices a flexible dimension")
        a, b, _ = slice(first, last, step).indices(int(size))
        if len(range(a, b, step)) == 0:
            raise Unsupported("its result is empty, which Core ML cannot hold")
        begin[axis], end[axis], stride[axis] = a, max(b, 0), step
        begin_mask[axis], end_mask[axis] = False, b < 0 or (step > 0 and b == size)
    if all(begin[a] == 0 and stride[a] == 1 and end_mask[a] for a in range(rank)):
        return data
    return mb.slice_by_index(x=data, begin=begin, end=end, stride=stride, begin_mask=begin_mask, end_mask=end_mask)


@op
def GatherElements(data: Var, indices: Operand, axis: int = 0) -> Var:
    axis = normal_axis(axis, len(data.shape))
    return mb.gather_along_axis(x=data, indices=_in_front(indices, data, axis), axis=axis)


@op
def GatherND(data: Var, indices: Operand, batch_dims: int = 0) -> Var:
    depth = int(indices.shape[-1])
    sizes = np.array(shape_of(data)[batch_dims : batch_dims + depth], np.int32)
    if is_var(indices):
        negative = mb.less(x=indices, y=0)
        places = mb.select(cond=negative, a=mb.add(x=indices, y=const(sizes)), b=indices)
    else:
        places = const(np.where(indices < 0, indices + sizes, indices))
    # Only from iOS16 on does the operation know batch_dims at all.
    return mb.gather_nd(x=data, indices=places, batch_dims=batch_dims or None)


def _in_front(indices: Operand, data: Var, axis: int) -> Var:
    if is_var(indices):
        return from_the_end(indices, data, axis)
    return const(np.where(indices < 0, indices + shape_of(data)[axis], indices))


@op
def OneHot(indices: Var, depth: int, values: Array, axis: int = -1) -> Var:
    """`values` is [off, on]; an index outside [-depth, depth) gives a row of off."""
    indices = cast(indices, "int32")
    indices = mb.select(cond=mb.less(x=indices, y=0), a=mb.add(x=indices, y=depth), b=indices)
    rank = len(indices.shape) + 1
    axis = normal_axis(axis, rank)
    places = np.arange(depth, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(rank)])
    hot = mb.equal(x=mb.expand_dims(x=indices, axes=[axis]), y=const(places))
    off, on = values.reshape(-1)
    if values.dtype.kind == "f":
        like = cast(hot, precision.get())
        return mb.add(x=mb.mul(x=like, y=float(on) - float(off)), y=float(off))
    return mb.add(x=mb.mul(x=cast(hot, "int32"), y=int(on) - int(off)), y=int(off))


@op
def Trilu(input: Var, k: int = 0, upper: int = 1) -> Var:
    rows, columns = shape_of(input)[-2:]
    ones = np.ones((rows, columns), bool)
    mask = const(np.triu(ones, k) if upper else np.tril(ones, k))
    if is_bool(input):
        return mb.logical_and(x=input, y=mask)
    return mb.select(cond=mask, a=input, b=const(0.0, like=input) if is_float(input) else 0)


@op
def Where(condition: Var, X: Var, Y: Var) -> Var:
    """MIL takes the result's shape from X and Y alone, so X must have all of it."""
    x = X
    if np.broadcast_shapes(tuple(X.shape), tuple(Y.shape)) != np.broadcast_shapes(
        tuple(condition.shape), tuple(X.shape), tuple(Y.shape)
    ):
        if is_bool(X):
            x = mb.logical_or(x=mb.logical_and(x=condition, y=False), y=X)
        else:
            zeros = mb.mul(x=cast(condition, dtype_name(X)), y=0.0 if is_float(X) else 0)
            x = mb.add(x=zeros, y=X)
    return mb.select(cond=condition, a=x, b=Y)
