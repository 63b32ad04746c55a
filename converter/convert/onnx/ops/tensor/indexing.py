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
        return taken(data, from_the_end(indices, data, axis), axis)
    if (indices < 0).any():
        indices = np.where(indices < 0, indices + shape_of(data)[axis], indices)
    if indices.ndim:
        return taken(data, const(indices), axis)
    begin, end, others = [0] * len(data.shape), [0] * len(data.shape), [True] * len(data.shape)
    begin[axis], end[axis], others[axis] = int(indices), int(indices) + 1, False
    # Without squeeze_mask, which a NeuralNetwork knows from iOS14 on.
    one = mb.slice_by_index(x=data, begin=begin, end=end, begin_mask=others, end_mask=others)
    return mb.squeeze(x=one, axes=[axis])


def taken(x: Var, places: Var, axis: int) -> Var:
    """`gather`, of truth values too, which Core ML's does not take."""
    if is_bool(x):
        return cast(mb.gather(x=cast(x, "int32"), indices=places, axis=axis), "bool")
    return mb.gather(x=x, indices=places, axis=axis)


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
    """Of the other axes as much as the indices have, which Core ML wants to be all."""
    axis = normal_axis(axis, len(data.shape))
    others = [a for a in range(len(data.shape)) if a != axis]
    if any(_static(data.shape[a]) and data.shape[a] != indices.shape[a] for a in others):
        ends = tuple(int(indices.shape[a]) for a in others)
        data = Slice(data, (0,) * len(others), ends, tuple(others))
    places = from_the_end(indices, data, axis) if is_var(indices) else const(_counted(indices, shape_of(data)[axis]))
    if is_bool(data):
        return cast(mb.gather_along_axis(x=cast(data, "int32"), indices=places, axis=axis), "bool")
    return mb.gather_along_axis(x=data, indices=places, axis=axis)


@op
def GatherND(data: Var, indices: Operand, batch_dims: int = 0) -> Var:
    depth = int(indices.shape[-1])
    sizes = np.array(shape_of(data)[batch_dims : batch_dims + depth], np.int32)
    if is_var(indices):
        negative = mb.less(x=indices, y=0)
        places = mb.select(cond=negative, a=mb.add(x=indices, y=const(sizes)), b=indices)
    else:
        places = const(_counted(indices, sizes))
    numbers = cast(data, "int32") if is_bool(data) else data
    # Only from iOS16 on does the operation know batch_dims at all.
    return cast(mb.gather_nd(x=numbers, indices=places, batch_dims=batch_dims or None), dtype_name(data))


def _counted(indices: Array, sizes: Array | int) -> Array:
    """Indices with the negative ones counted from the front."""
    return np.where(indices < 0, indices + sizes, indices)


@op
def OneHot(indices: Var, depth: int, values: Operand, axis: int = -1) -> Var:
    """`values` is [off, on]; an index outside [-depth, depth) gives a row of off."""
    depth = int(depth)
    indices = cast(indices, "int32")
    indices = mb.select(cond=mb.less(x=indices, y=0), a=mb.add(x=indices, y=depth), b=indices)
    rank = len(indices.shape) + 1
    axis = normal_axis(axis, rank)
    places = np.arange(depth, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(rank)])
    hot = mb.equal(x=mb.expand_dims(x=indices, axes=[axis]), y=const(places))
    if not is_var(values):
        off, on = values.reshape(-1)
        if values.dtype == bool:
            numbers = chosen(hot, const(int(on)), const(int(off)))
            return cast(numbers, "bool")
        kind = precision.get() if values.dtype.kind in "fV" else "int32"
        number = cast(hot, kind)
        return number if (off, on) == (0, 1) else chosen(hot, const(on, like=number), const(off, like=number))
    off, on = (mb.slice_by_index(x=values, begin=[place], end=[place + 1]) for place in (0, 1))
    return chosen(hot, on, off)


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
    return chosen(condition, X, Y)


def chosen(condition: Var, x: Var, y: Var) -> Var:
    """MIL's `select`, which takes its result's shape from x and y alone, so that x must have all of it."""
    if np.broadcast_shapes(tuple(x.shape), tuple(y.shape)) != np.broadcast_shapes(
        tuple(condition.shape), tuple(x.shape), tuple(y.shape)
    ):
        if is_bool(x):
            x = mb.logical_or(x=mb.logical_and(x=condition, y=False), y=x)
        else:
            zeros = mb.mul(x=cast(condition, dtype_name(x)), y=0.0 if is_float(x) else 0)
            x = mb.add(x=zeros, y=x)
    return mb.select(cond=condition, a=x, b=y)
