"""https://onnx.ai/onnx/operators, chapter tensor: elements chosen by place."""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Ints,
    Operand,
    Sizes,
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
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import Size, is_static, size_of, vector

op = ai_onnx.op


@op
def Gather(data: Var, indices: Operand, axis: int = 0) -> Var:
    axis = normal_axis(axis, len(data.shape))
    if is_var(indices):
        counts_back = target_is("iOS15") and not target_is("iOS17")  # documented of MIL's `gather`, not of its kin
        return taken(data, indices if counts_back else from_the_end(indices, data, axis), axis)
    if is_static(data.shape[axis]):
        indices = np.where(indices < 0, indices + int(data.shape[axis]), indices)
    if indices.ndim and (indices < 0).any():
        size = mb.mul(x=size_of(data, axis), y=const((indices < 0).astype(np.int32)))
        return taken(data, mb.add(x=size, y=const(indices)), axis)
    if indices.ndim:
        return taken(data, const(indices), axis)
    begin, end, others = [0] * len(data.shape), [0] * len(data.shape), [True] * len(data.shape)
    begin[axis], end[axis], others[axis] = int(indices), int(indices) + 1, False
    to_the_end = [other or int(indices) == -1 for other in others]
    masks = {"begin_mask": others, "end_mask": to_the_end}
    if target_is("iOS15"):
        return mb.slice_by_index(x=data, begin=begin, end=end, squeeze_mask=[not other for other in others], **masks)
    return mb.squeeze(x=mb.slice_by_index(x=data, begin=begin, end=end, **masks), axes=[axis])


def taken(x: Var, places: Var, axis: int) -> Var:
    """`gather`, of truth values too, which Core ML's does not take."""
    if is_bool(x):
        return cast(mb.gather(x=cast(x, "int32"), indices=places, axis=axis), "bool")
    return mb.gather(x=x, indices=places, axis=axis)


def from_the_end(indices: Var, data: Var, axis: int) -> Var:
    """Computed indices with the negative ones counted from the front."""
    size = size_of(data, axis)
    if is_var(size):
        size = mb.squeeze(x=size, axes=[0])
    negative = mb.less(x=indices, y=0)
    return mb.select(cond=negative, a=mb.add(x=indices, y=size), b=indices)


@op
def Slice(data: Var, starts: Sizes, ends: Sizes, axes: Ints | None = None, steps: Ints | None = None) -> Var:
    rank = len(data.shape)
    axes = tuple(normal_axis(a, rank) for a in axes) if axes is not None else tuple(range(len(starts)))
    steps = steps if steps is not None else (1,) * len(starts)
    begin, end, stride = [0] * rank, [0] * rank, [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    computed: dict[int, tuple[Size, Size, int]] = {}
    for axis, first, last, step in zip(axes, starts, ends, steps, strict=True):
        size = data.shape[axis]
        if not is_static(size) or is_var(first) or is_var(last):
            computed[axis] = (first, last, step)
            continue
        a, b, _ = slice(first, last, step).indices(int(size))
        if len(range(a, b, step)) == 0:
            raise Unsupported("its result is empty, which Core ML cannot hold")
        begin[axis], end[axis], stride[axis] = a, max(b, 0), step
        begin_mask[axis], end_mask[axis] = False, b < 0 or (step > 0 and b == size)
    if not all(begin[a] == 0 and stride[a] == 1 and end_mask[a] for a in range(rank)):
        data = mb.slice_by_index(x=data, begin=begin, end=end, stride=stride, begin_mask=begin_mask, end_mask=end_mask)
    return _sliced(data, computed)


def _sliced(data: Var, cuts: dict[int, tuple[Size, Size, int]]) -> Var:
    """Start, end and step of axes that are flexible, or are cut where only the running model knows."""
    rank = len(data.shape)
    begin: list[Size] = [0] * rank
    end: list[Size] = [0] * rank
    stride, begin_mask, end_mask = [1] * rank, [True] * rank, [True] * rank
    for axis, (first, last, step) in cuts.items():
        stride[axis] = step
        first_masked = not is_var(first) and (first == 0 if step > 0 else first in (-1, _LAST))
        last_masked = not is_var(last) and (last >= _LAST if step > 0 else last <= -_LAST)
        if step < 0 and not (first_masked and last_masked):
            raise Unsupported("it slices a flexible dimension backwards, and not from end to end")
        begin_mask[axis], end_mask[axis] = first_masked, last_masked
        begin[axis] = 0 if first_masked else within(first, data, axis)
        end[axis] = 0 if last_masked else within(last, data, axis)
    if all(begin_mask[a] and end_mask[a] and stride[a] == 1 for a in range(rank)):
        return data
    return mb.slice_by_index(
        x=data, begin=vector(begin), end=vector(end), stride=stride, begin_mask=begin_mask, end_mask=end_mask
    )


def within(place: Size, data: Var, axis: int) -> Size:
    """A place along an axis, from -size to size: what lies beyond stands for the first or the last."""
    size = size_of(data, axis)
    if not is_var(place) and place in (0, 1, -1):  # no axis is empty
        return place
    if is_var(place) or place > 0:
        place = mb.minimum(x=place, y=size) if is_var(place) or is_var(size) else min(place, size)
    if is_var(place) or place < 0:
        place = mb.maximum(x=place, y=mb.mul(x=size, y=-1) if is_var(size) else -size)
    return place


_LAST = (1 << 31) - 1  # and beyond: to the end


@op
def GatherElements(data: Var, indices: Operand, axis: int = 0) -> Var:
    """Of the other axes as much as the indices have, which Core ML wants to be all."""
    axis = normal_axis(axis, len(data.shape))
    others = [a for a in range(len(data.shape)) if a != axis]
    if any(is_static(data.shape[a]) and data.shape[a] != indices.shape[a] for a in others):
        ends = tuple(int(indices.shape[a]) for a in others)
        data = Slice(data, (0,) * len(others), ends, tuple(others))
    places = from_the_end(indices, data, axis) if is_var(indices) else const(_from_front(indices, shape_of(data)[axis]))
    if is_bool(data):
        return cast(mb.gather_along_axis(x=cast(data, "int32"), indices=places, axis=axis), "bool")
    return mb.gather_along_axis(x=data, indices=places, axis=axis)


@op
def GatherND(data: Var, indices: Operand, batch_dims: int = 0) -> Var:
    if batch_dims and not target_is("iOS16"):
        raise Unsupported("batch_dims are known from iOS16 on")
    depth = int(indices.shape[-1])
    sizes = [size_of(data, axis) for axis in range(batch_dims, batch_dims + depth)]
    if is_var(indices) or any(is_var(size) for size in sizes):
        own = indices if is_var(indices) else const(indices)
        ends = vector(sizes) if any(is_var(size) for size in sizes) else const(np.array(sizes, np.int32))
        places = mb.select(cond=mb.less(x=own, y=0), a=mb.add(x=own, y=ends), b=own)
    else:
        places = const(_from_front(indices, np.array(sizes, np.int32)))
    numbers = cast(data, "int32") if is_bool(data) else data
    return cast(mb.gather_nd(x=numbers, indices=places, batch_dims=batch_dims or None), dtype_name(data))


def _from_front(indices: Array, sizes: Array | int) -> Array:
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
def ReverseSequence(input: Var, sequence_lens: Var, batch_axis: int = 1, time_axis: int = 0) -> Var:
    return mb.reverse_sequence(x=input, lengths=sequence_lens, seq_axis=time_axis, batch_axis=batch_axis)


@op
def Trilu(input: Var, k: int = 0, upper: int = 1) -> Var:
    mask = _triangle(input, k, bool(upper))
    if is_bool(input):
        return mb.logical_and(x=input, y=mask)
    return mb.select(cond=mask, a=input, b=const(0.0, like=input) if is_float(input) else 0)


def _triangle(x: Var, k: int, upper: bool) -> Var:
    """Where the last two axes are kept: the column less the row is k or more in an upper triangle."""
    rank = len(x.shape)
    if is_static(x.shape[-2]) and is_static(x.shape[-1]):
        ones = np.ones((int(x.shape[-2]), int(x.shape[-1])), bool)
        return const(np.triu(ones, k) if upper else np.tril(ones, k))
    rows, columns = (_counted(size_of(x, rank + axis)) for axis in (-2, -1))
    below = mb.sub(x=mb.expand_dims(x=columns, axes=[0]), y=mb.expand_dims(x=rows, axes=[1]))
    return mb.greater_equal(x=below, y=k) if upper else mb.less_equal(x=below, y=k)


def _counted(size: Size) -> Var:
    """[0, 1, ... size - 1]"""
    if not is_var(size):
        return const(np.arange(size, dtype=np.int32))
    return mb.range_1d(start=0, end=mb.squeeze(x=size, axes=[0]), step=1)


@op
def Where(condition: Var, X: Var, Y: Var) -> Var:
    return chosen(condition, X, Y)


def _covers(condition: Var, x: Var, y: Var) -> bool:
    """Whether x and y, broadcast, surely have every axis of the condition."""
    rank = max(len(v.shape) for v in (condition, x, y))
    full = ((*[1] * (rank - len(v.shape)), *v.shape) for v in (condition, x, y))
    if len(condition.shape) > max(len(x.shape), len(y.shape)):
        return False
    return all(
        (is_static(c) and c == 1) or any(c == d or (is_static(d) and d > 1) for d in (a, b))
        for c, a, b in zip(*full, strict=True)
    )


def chosen(condition: Var, x: Var, y: Var) -> Var:
    """MIL's `select`, which takes its result's shape from x and y alone, so that x must have all of it."""
    if not _covers(condition, x, y):
        if is_bool(x):
            x = mb.logical_or(x=mb.logical_and(x=condition, y=False), y=x)
        else:
            zeros = mb.mul(x=cast(condition, dtype_name(x)), y=0.0 if is_float(x) else 0)
            x = mb.add(x=zeros, y=x)
    return mb.select(cond=condition, a=x, b=y)
