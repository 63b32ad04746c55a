"""https://onnx.ai/onnx/operators, chapter tensor: the same elements in another shape or order."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Sizes,
    Unsupported,
    Var,
    is_float,
    is_var,
    mb,
    normal_axis,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import is_flexible, reshaped, size_of
from converter.convert.onnx.views import Shaped, reshape, static_shape, tensor, transpose

op = ai_onnx.op


@op
def Reshape(data: Shaped, shape: Sizes, allowzero: int = 0) -> Shaped:
    if is_flexible(data) or any(is_var(size) for size in shape):
        data = tensor(data)
        return reshaped(
            data, [size_of(data, a) if not is_var(s) and s == 0 and not allowzero else s for a, s in enumerate(shape)]
        )
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
    if is_flexible(data):
        return mb.squeeze(x=data, axes=sorted(gone)) if gone else data
    return reshape(data, [dim for axis, dim in enumerate(shape) if axis not in gone])


@op
def Unsqueeze(data: Shaped, axes: Ints) -> Shaped:
    rank = len(data.shape) + len(axes)
    new = {normal_axis(axis, rank) for axis in axes}
    if is_flexible(data):
        return mb.expand_dims(x=data, axes=sorted(new)) if new else data
    dims = iter(data.shape)
    return reshape(data, [1 if axis in new else next(dims) for axis in range(rank)])


@op
def Shape(data: Var, end: int | None = None, start: int = 0) -> Var:
    """Of a flexible shape; a fixed one was folded."""
    rank = len(data.shape)
    chosen = list(range(rank))[slice(start, end)]
    if len(chosen) == rank:
        return mb.shape(x=data)
    return mb.slice_by_index(x=mb.shape(x=data), begin=[chosen[0]], end=[chosen[-1] + 1])


@op
def Identity(input: Shaped) -> Shaped:
    return input


@op
def DepthToSpace(input: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    """Core ML's own take floats only."""
    if mode not in ("DCR", "CRD"):
        raise Unsupported(f"mode = {mode!r} is not known")
    if is_float(input):
        if mode == "DCR":
            return mb.depth_to_space(x=input, block_size=blocksize)
        return mb.pixel_shuffle(x=input, upscale_factor=blocksize)
    batch, channels, height, width = shape_of(input)
    left = channels // blocksize**2
    blocks = (blocksize, blocksize, left) if mode == "DCR" else (left, blocksize, blocksize)
    order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
    cells = transpose(reshape(input, (batch, *blocks, height, width)), order)
    return reshape(cells, (batch, left, height * blocksize, width * blocksize))


@op
def SpaceToDepth(input: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    batch, channels, height, width = shape_of(input)
    cells = reshape(input, (batch, channels, height // blocksize, blocksize, width // blocksize, blocksize))
    if mode == "DCR":
        return reshape(transpose(cells, (0, 3, 5, 1, 2, 4)), (batch, -1, height // blocksize, width // blocksize))
    if mode == "CRD":
        return reshape(transpose(cells, (0, 1, 3, 5, 2, 4)), (batch, -1, height // blocksize, width // blocksize))
    raise Unsupported(f"mode = {mode!r} is not known")
