"""https://onnx.ai/onnx/operators, chapter tensor: shapes, slices, gathers."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    Unsupported,
    Var,
    const,
    is_var,
    mb,
    normal_axis,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import Shaped, reshape, static_shape, transpose

op = ai_onnx.op


@op
def Reshape(data: Shaped, shape: Ints, allowzero: int = 0) -> Shaped:
    if not all(isinstance(dim, int | np.integer) for dim in data.shape):
        return mb.reshape(x=data, shape=shape)
    given = static_shape(data)
    dims = [given[axis] if dim == 0 and not allowzero else dim for axis, dim in enumerate(shape)]
    if -1 in dims:
        rest = -int(np.prod(dims))
        dims[dims.index(-1)] = int(np.prod(given)) // rest
    return reshape(data, dims)


@op
def Transpose(data: Shaped, perm: Ints | None = None) -> Shaped:
    return transpose(data, perm if perm is not None else tuple(reversed(range(len(data.shape)))))


@op
def Squeeze(data: Shaped, axes: Ints | None = None) -> Shaped:
    shape = tuple(data.shape)
    gone = (
        {normal_axis(a, len(shape)) for a in axes} if axes is not None else {a for a, d in enumerate(shape) if d == 1}
    )
    if not all(isinstance(dim, int | np.integer) for dim in shape):
        return mb.squeeze(x=data, axes=sorted(gone))
    return reshape(data, [dim for axis, dim in enumerate(shape) if axis not in gone])


@op
def Unsqueeze(data: Shaped, axes: Ints) -> Shaped:
    rank = len(data.shape) + len(axes)
    new = {normal_axis(axis, rank) for axis in axes}
    if not all(isinstance(dim, int | np.integer) for dim in data.shape):
        return mb.expand_dims(x=data, axes=sorted(new))
    dims = iter(data.shape)
    return reshape(data, [1 if axis in new else next(dims) for axis in range(rank)])


@op
def Concat(*inputs: Var, axis: int) -> Var:
    return inputs[0] if len(inputs) == 1 else mb.concat(values=inputs, axis=axis)


@op
def Gather(data: Var, indices: Operand, axis: int = 0) -> Var:
    axis = normal_axis(axis, len(data.shape))
    size = data.shape[axis]
    if not is_var(indices) and isinstance(size, int | np.integer):
        indices = np.where(indices < 0, indices + size, indices)
        if indices.ndim == 0:
            begin, end = [0] * len(data.shape), list(data.shape)
            begin[axis], end[axis] = int(indices), int(indices) + 1
            keep = [a != axis for a in range(len(data.shape))]
            return mb.slice_by_index(
                x=data, begin=begin, end=[0 if k else e for k, e in zip(keep, end, strict=True)],
                begin_mask=keep, end_mask=keep, squeeze_mask=[not k for k in keep],
            )  # fmt: skip
    indices = from_the_end(indices, data, axis) if is_var(indices) else const(indices)
    return mb.gather(x=data, indices=indices, axis=axis)


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
