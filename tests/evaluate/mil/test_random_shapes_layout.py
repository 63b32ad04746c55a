"""Slices, joins, reshapes and other changes of layout of random shapes, against numpy's formulas."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


def drawn_slices(draw, shape):
    """The parameters of a slice, and numpy's index for it."""
    begin, end, stride, masks, index = [], [], [], [], []
    for size in shape:
        first, last = draw.integer(-size, size - 1), draw.integer(-size - 1, size + 1)
        step = draw.one(1, 1, 2, 3, -1, -2)
        from_start, to_end, single = draw.one(False, False, True), draw.one(False, True), draw.one(False, False, True)
        step = 1 if single else step
        begin.append(first)
        end.append(last)
        stride.append(step)
        masks.append((from_start and not single, to_end, single))
        # numpy's end of -size - 1, or of 0 to size counted down, is what MIL says
        index.append(first if single else slice(None if from_start else first, None if to_end else last, step))
    begin_mask, end_mask, squeeze_mask = (list(mask) for mask in zip(*masks, strict=True))
    given = {"begin": begin, "end": end}
    given |= {"stride": stride} if any(step != 1 for step in stride) or draw.flag() else {}
    given |= {"begin_mask": begin_mask} if any(begin_mask) or draw.flag() else {}
    given |= {"end_mask": end_mask} if any(end_mask) or draw.flag() else {}
    given |= {"squeeze_mask": squeeze_mask} if any(squeeze_mask) or draw.flag() else {}
    return given, tuple(index)


@formula
def slice_by_index(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    given, index = drawn_slices(draw, x.shape)
    return "slice_by_index", 15, {"x": x, **given}, x[index]


@formula
def slice_update(draw):
    x = draw.array(draw.shape())
    given, index = drawn_slices(draw, x.shape)
    update = draw.array(x[index].shape, x.dtype.name)
    assume(update.size)
    expected = x.copy()
    expected[index] = update
    return "slice_update", 18, {"x": x, "update": np.asarray(update), **given}, expected


@formula
def slice_by_size(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    begin = [draw.integer(0, size - 1) for size in x.shape]
    size = [draw.one(-1, draw.integer(1, n - first)) for n, first in zip(x.shape, begin, strict=True)]
    index = tuple(slice(first, None if n == -1 else first + n) for first, n in zip(begin, size, strict=True))
    return "slice_by_size", 15, {"x": x, "begin": begin, "size": size}, x[index]


@formula
def concat(draw):
    shape, dtype = draw.shape(), draw.one("float32", "float16", "int32", "bool")
    axis, interleave = draw.integer(0, len(shape) - 1), draw.one(False, False, True)
    sizes = draw.integers(draw.integer(1, 4), 1, 4)
    sizes = [sizes[0]] * len(sizes) if interleave else sizes
    parts = [draw.array((*shape[:axis], size, *shape[axis + 1 :]), dtype) for size in sizes]
    expected = np.concatenate(parts, axis)
    if interleave:  # the first of each, then the second of each
        order = [part * sizes[0] + i for i in range(sizes[0]) for part in range(len(sizes))]
        expected = np.take(expected, order, axis)
    given = {"interleave": interleave} if interleave or draw.flag() else {}
    return "concat", 15, {"values": tuple(parts), "axis": draw.signed(axis, len(shape)), **given}, expected


@formula
def stack(draw):
    shape, dtype = draw.shape(0, 4), draw.one("float32", "float16", "int32", "bool")
    parts = [draw.array(shape, dtype) for _ in range(draw.integer(1, 4))]
    axis = draw.axis(len(shape) + 1)
    return "stack", 15, {"values": tuple(parts), "axis": axis}, np.stack(parts, axis)


@formula
def split(draw):
    shape = draw.shape()
    axis = draw.integer(0, len(shape) - 1)
    count = draw.integer(1, 4)
    sizes = [draw.integer(1, 3)] * count if draw.flag() else draw.integers(count, 1, 3)
    x = draw.array((*shape[:axis], sum(sizes), *shape[axis + 1 :]))
    is_even = len(set(sizes)) == 1 and draw.flag()
    given = {"num_splits": count} if is_even else {"split_sizes": sizes}
    expected = np.split(x, np.cumsum(sizes)[:-1], axis)
    return "split", 15, {"x": x, **given, "axis": draw.signed(axis, len(shape))}, expected


@formula
def tile(draw):
    x = draw.array(draw.shape())
    reps = draw.integers(x.ndim, 1, 3)
    return "tile", 15, {"x": x, "reps": reps}, np.tile(x, reps)


@formula
def pad(draw):
    x = draw.array(draw.shape(1, 4), draw.one("float32", "float16", "int32"))
    mode = draw.one("constant", "reflect", "replicate")
    count = draw.integer(1, x.ndim if mode == "constant" else min(x.ndim, 2))
    largest = [3 if mode != "reflect" else size - 1 for size in x.shape[-count:]]
    amounts = [draw.integer(0, most) for most in largest for _ in range(2)]
    given = {"mode": mode} if mode != "constant" else {}
    value = draw.one(0, 2)
    given |= {"constant_val": value if x.dtype == np.int32 else float(value)} if mode == "constant" else {}
    widths = [(0, 0)] * (x.ndim - count) + list(zip(amounts[::2], amounts[1::2], strict=True))
    if mode == "constant":
        expected = np.pad(x, widths, constant_values=value)
    else:
        expected = np.pad(x, widths, mode={"reflect": "reflect", "replicate": "edge"}[mode])
    return "pad", 15, {"x": x, "pad": amounts, **given}, expected


@formula
def reverse(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    given = draw.some(axes=draw.axes(x.ndim))
    return "reverse", 15, {"x": x, **given}, np.flip(x, given.get("axes"))


@formula
def reverse_sequence(draw):
    x = draw.array(draw.shape(2, 5))
    batch_axis, seq_axis = draw.permutation(x.ndim)[:2]
    lengths = [draw.integer(0, x.shape[seq_axis]) for _ in range(x.shape[batch_axis])]
    expected = np.moveaxis(x.copy(), (batch_axis, seq_axis), (0, 1))
    for row, length in zip(expected, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    expected = np.moveaxis(expected, (0, 1), (batch_axis, seq_axis))
    axes = {"batch_axis": draw.signed(batch_axis, x.ndim), "seq_axis": draw.signed(seq_axis, x.ndim)}
    return "reverse_sequence", 15, {"x": x, "lengths": lengths, **axes}, expected


@formula
def band_part(draw):
    x = draw.array(draw.shape(2, 5))
    given = draw.some(lower=draw.integer(-1, 3), upper=draw.integer(-1, 3))
    lower, upper = given.get("lower", -1), given.get("upper", -1)
    expected = np.zeros_like(x)
    for m, n in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
        if (lower < 0 or m - n <= lower) and (upper < 0 or n - m <= upper):
            expected[..., m, n] = x[..., m, n]
    return "band_part", 15, {"x": x, **given}, expected


@formula
def transpose(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    perm = draw.permutation(x.ndim)
    return "transpose", 15, {"x": x, "perm": [draw.signed(axis, x.ndim) for axis in perm]}, x.transpose(perm)


@formula
def expand_dims(draw):
    x = draw.array(draw.shape(0, 3), draw.one("float32", "float16", "int32", "bool"))
    rank = x.ndim + draw.integer(1, 2)
    axes = [draw.signed(axis, rank) for axis in draw.permutation(rank)[: rank - x.ndim]]
    return "expand_dims", 15, {"x": x, "axes": axes}, np.expand_dims(x, axes)


@formula
def squeeze(draw):
    x = draw.array(draw.one(draw.shape(), draw.shape(1, 5, 2)), draw.one("float32", "float16", "int32", "bool"))
    single = [axis for axis, size in enumerate(x.shape) if size == 1]
    if not single or draw.flag():
        return "squeeze", 15, {"x": x}, x.squeeze()
    chosen = [single[i] for i in draw.permutation(len(single))[: draw.integer(1, len(single))]]
    return "squeeze", 15, {"x": x, "axes": [draw.signed(axis, x.ndim) for axis in chosen]}, x.squeeze(tuple(chosen))


def regrouped(draw, count):
    """A shape of that many elements."""
    shape = []
    while len(shape) < 4 and (count > 1 or draw.flag()):
        factor = draw.one(*[n for n in range(1, count + 1) if count % n == 0])
        shape.append(factor)
        count //= factor
    return [*shape, count]


@formula
def reshape(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    wanted = regrouped(draw, x.size)
    shape = list(wanted)
    opset = draw.one(15, 17)
    for i in range(len(shape)):
        from_right = i + x.ndim - len(shape)
        same = x.shape[i : i + 1] if opset == 15 and x.ndim == len(shape) else ()
        if opset == 17:
            same = (x.shape[from_right],) if from_right >= 0 else (1,)
        if same == (shape[i],) and draw.flag():
            shape[i] = 0
    if draw.flag():
        shape[draw.integer(0, len(shape) - 1)] = -1
    return "reshape", opset, {"x": x, "shape": shape}, x.reshape(wanted)


@formula
def reshape_like(draw):
    references = [draw.array(draw.shape(1, 3)) for _ in range(draw.integer(1, 2))]
    begins, ends, masks, wanted = [], [], [], []
    for reference in references:
        begin = draw.integer(0, reference.ndim - 1)
        end, mask = draw.integer(begin + 1, reference.ndim), draw.flag()
        begins.append(begin)
        ends.append(end)
        masks.append(mask)
        wanted += reference.shape[begin : None if mask else end]
    x = draw.array(tuple(regrouped(draw, math.prod(wanted))))
    lists = {"begins": tuple(begins), "ends": tuple(ends), "end_masks": tuple(masks)}
    return "reshape_like", 16, {"x": x, "ref_tensors": tuple(references), **lists}, x.reshape(wanted)


@formula
def flatten2d(draw):
    x = draw.array(draw.shape(2, 5))
    given = draw.some(axis=draw.axis(x.ndim))
    axis = given.get("axis", 1) % x.ndim
    expected = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return "flatten2d", 15, {"x": x, **given}, expected


@formula
def blocks_to_channels(draw):
    """Channel, then block row, then block column for pixels; block row, block column, then channel for space."""
    n, c, h, w, block = draw.integers(5, 1, 3)
    x = draw.array((n, c, h * block, w * block), draw.one("float32", "float16"))
    parts = np.stack([x[:, :, i::block, j::block] for i in range(block) for j in range(block)], 1)
    space, pixels = parts.reshape(n, -1, h, w), parts.swapaxes(1, 2).reshape(n, -1, h, w)
    return draw.one(
        ("space_to_depth", 15, {"x": x, "block_size": block}, space),
        ("depth_to_space", 15, {"x": space, "block_size": block}, x),
        ("pixel_unshuffle", 16, {"x": x, "downscale_factor": block}, pixels),
        ("pixel_shuffle", 15, {"x": pixels, "upscale_factor": block}, x),
    )


@formula
def blocks_to_batch(draw):
    n, c, h, w, rows, columns = draw.integers(6, 1, 3)
    top, left = draw.integer(0, h * rows - 1), draw.integer(0, w * columns - 1)
    bottom, right = draw.integer(0, h * rows - 1 - top), draw.integer(0, w * columns - 1 - left)
    borders = np.array([[top, bottom], [left, right]], np.int32)
    whole = draw.array((n, c, h * rows, w * columns), draw.one("float32", "float16"))
    inner = whole[:, :, top : h * rows - bottom, left : w * columns - right]
    if draw.flag():
        whole = np.pad(inner, [(0, 0), (0, 0), (top, bottom), (left, right)])
        spread = np.concatenate([whole[:, :, i::rows, j::columns] for i in range(rows) for j in range(columns)])
        return "space_to_batch", 15, {"x": inner, "block_shape": [rows, columns], "paddings": borders}, spread
    spread = np.concatenate([whole[:, :, i::rows, j::columns] for i in range(rows) for j in range(columns)])
    return "batch_to_space", 15, {"x": spread, "block_shape": [rows, columns], "crops": borders}, inner


@formula
def sliding_windows(draw):
    x = draw.array(draw.shape(1, 4, 6))
    axis = draw.integer(0, x.ndim - 1)
    size = draw.integer(1, x.shape[axis])
    given = draw.some(stride=draw.integer(1, 3))
    starts = range(0, x.shape[axis] - size + 1, given.get("stride", 1))
    expected = np.stack([np.take(x, range(start, start + size), axis) for start in starts], axis)
    return "sliding_windows", 15, {"x": x, "axis": draw.signed(axis, x.ndim), "size": size, **given}, expected


@formula
def crop(draw):
    x = draw.array((*draw.shape(1, 3), *draw.integers(2, 3, 6)), draw.one("float32", "float16"))
    (top, bottom), (left, right) = draw.integers(2, 0, 1), draw.integers(2, 0, 1)
    expected = x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
    return "crop", 15, {"x": x, "crop_height": [top, bottom], "crop_width": [left, right]}, expected


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
