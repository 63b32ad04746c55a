"""https://onnx.ai/onnx/operators, chapter tensor: shapes, slices, gathers."""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Ints,
    Operand,
    OutputCount,
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
def Cast(input: Var, *, round_mode: str = "up", saturate: int = 1, to: int) -> Var:
    """Core ML has one float and one integer type beside bool; round_mode and saturate speak of 8-bit floats only.

    An integer that does not fit a narrower type wraps around, as the standard has it.
    """
    if to not in _NARROW or dtype_name(input) != "int32":
        return cast(input, kind_of(to))
    lowest, count = _NARROW[to]
    return mb.add(x=mb.mod(x=mb.sub(x=input, y=lowest), y=count), y=lowest) if lowest else mb.mod(x=input, y=count)


# The lowest value and the number of values of UINT8, INT8, UINT16 and INT16.
_NARROW = {2: (0, 1 << 8), 3: (-(1 << 7), 1 << 8), 4: (0, 1 << 16), 5: (-(1 << 15), 1 << 16)}


def kind_of(elem_type: int) -> str:
    """The MIL type of an ONNX element type (TensorProto.DataType) in the precision at hand."""
    if elem_type in (1, 10, 11, 16):  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
        return precision.get()
    if elem_type in (2, 3, 4, 5, 6, 7, 12, 13):  # UINT8 to INT64, UINT32, UINT64
        return "int32"
    if elem_type == 9:
        return "bool"
    raise Unsupported(f"Core ML has no place for element type {elem_type} (TensorProto.DataType)")


@op
def CastLike(input: Var, target_type: Var, round_mode: str = "up", saturate: int = 1) -> Var:
    return cast(input, dtype_name(target_type))


@op
def DepthToSpace(input: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    if mode == "DCR":
        return mb.depth_to_space(x=input, block_size=blocksize)
    if mode == "CRD":
        return mb.pixel_shuffle(x=input, upscale_factor=blocksize)
    raise Unsupported(f"mode = {mode!r} is not known")


@op
def SpaceToDepth(input: Var, *, blocksize: int, mode: str = "DCR") -> Var:
    batch, channels, height, width = shape_of(input)
    cells = reshape(input, (batch, channels, height // blocksize, blocksize, width // blocksize, blocksize))
    if mode == "DCR":
        return reshape(transpose(cells, (0, 3, 5, 1, 2, 4)), (batch, -1, height // blocksize, width // blocksize))
    if mode == "CRD":
        return reshape(transpose(cells, (0, 1, 3, 5, 2, 4)), (batch, -1, height // blocksize, width // blocksize))
    raise Unsupported(f"mode = {mode!r} is not known")


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
def Identity(input: Shaped) -> Shaped:
    return input


@op
def IsInf(X: Var, detect_negative: int = 1, detect_positive: int = 1) -> Var:
    """An infinity is what doubling leaves as it is and zero is not."""
    infinite = mb.logical_and(x=mb.equal(x=mb.mul(x=X, y=2.0), y=X), y=mb.not_equal(x=X, y=0.0))
    if detect_negative and detect_positive:
        return infinite
    if not detect_negative and not detect_positive:
        return mb.logical_and(x=infinite, y=False)
    side = mb.less(x=X, y=0.0) if detect_negative else mb.greater(x=X, y=0.0)
    return mb.logical_and(x=infinite, y=side)


@op
def IsNaN(X: Var) -> Var:
    return mb.not_equal(x=X, y=X)


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
def Pad(data: Var, *, mode: str = "constant", pads: Ints, value: float = 0.0) -> Var:
    return Pad_11(data, pads, np.array(value, np.float32), mode=mode)


@op
def Pad_11(
    data: Var, pads: Ints, constant_value: Array | None = None, axes: Ints | None = None, mode: str = "constant"
) -> Var:
    rank = len(data.shape)
    chosen = [normal_axis(a, rank) for a in axes] if axes is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for place, axis in enumerate(chosen):
        begins[axis], ends[axis] = pads[place], pads[place + len(chosen)]
    data = _cropped(data, begins, ends)
    pad = [max(0, p) for pair in zip(begins, ends, strict=True) for p in pair]
    if not any(pad):
        return data
    fill = 0 if constant_value is None else constant_value.reshape(-1)[0]
    match mode:
        case "constant" if is_float(data):
            return mb.pad(x=data, pad=pad, mode="constant", constant_val=float(fill))
        case "constant" | "reflect" | "edge" if not is_float(data):
            # Core ML pads floats only; float32 holds integers up to 2 ** 24.
            padded = Pad_11(cast(data, "fp32"), pads, np.array(float(fill)), axes, mode)
            return cast(padded, dtype_name(data))
        case "reflect" | "edge" if not any(pad[:-4]):
            return mb.pad(x=data, pad=pad[-4:], mode={"reflect": "reflect", "edge": "replicate"}[mode])
        case "wrap":
            return _wrapped(data, pad)
    raise Unsupported(f"mode = {mode!r} on these axes or this type")


def _cropped(data: Var, begins: list[int], ends: list[int]) -> Var:
    """Negative pads take away."""
    if min(*begins, *ends) >= 0:
        return data
    rank = len(begins)
    shape = shape_of(data)
    last = tuple(shape[a] + min(0, ends[a]) for a in range(rank))
    return Slice(data, tuple(max(0, -b) for b in begins), last, tuple(range(rank)))


def _wrapped(data: Var, pad: list[int]) -> Var:
    for axis in range(len(data.shape)):
        begin, end = pad[2 * axis : 2 * axis + 2]
        size = shape_of(data)[axis]
        if max(begin, end) > size:
            raise Unsupported("it wraps more than once around")
        before = [Slice(data, (size - begin,), (size,), (axis,))] if begin else []
        after = [Slice(data, (0,), (end,), (axis,))] if end else []
        data = mb.concat(values=[*before, data, *after], axis=axis) if before or after else data
    return data


@op
def Shape(data: Var, end: int | None = None, start: int = 0) -> Var:
    """Of a flexible shape; a fixed one was folded."""
    rank = len(data.shape)
    chosen = list(range(rank))[slice(start, end)]
    return mb.slice_by_index(x=mb.shape(x=data), begin=[chosen[0]], end=[chosen[-1] + 1])


@op
def Split(
    input: Var, split: Ints | None = None, axis: int = 0, num_outputs: int | None = None, *, outputs: OutputCount
) -> tuple[Var, ...]:
    size = shape_of(input)[axis]
    if split is None:
        chunk = -(-size // outputs)
        split = tuple(min(chunk, size - chunk * place) for place in range(outputs))
    if min(split) <= 0:
        raise Unsupported("one of its results is empty, which Core ML cannot hold")
    return (input,) if len(split) == 1 else tuple(mb.split(x=input, split_sizes=split, axis=axis))


@op
def Tile(input: Var, repeats: Ints) -> Var:
    return mb.tile(x=input, reps=repeats) if any(r != 1 for r in repeats) else input


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
