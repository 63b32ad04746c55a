"""Gathers, scatters, and ops that make arrays of places or of nothing, of random shapes, against numpy's formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


@formula
def gather(draw):
    x = draw.array(draw.shape())
    opset = draw.one(15, 16, 17)
    axis = draw.integer(0, x.ndim - 1)
    batch_dims = draw.integer(0, axis) if opset > 15 else 0
    shape = (*x.shape[:batch_dims], *draw.shape(0, 2))
    indices = draw.places(x.shape[axis], shape, negative=opset < 17)
    expected = np.zeros((*x.shape[:axis], *shape[batch_dims:], *x.shape[axis + 1 :]), x.dtype)
    for batch in np.ndindex(*x.shape[:batch_dims]):
        expected[batch] = np.take(x[batch], indices[batch], axis - batch_dims)
    given = {"axis": draw.signed(axis, x.ndim)} if axis or draw.flag() else {}
    given |= {"batch_dims": batch_dims} if batch_dims else {}
    given |= {"validate_indices": draw.flag()} if opset == 17 else {}
    return "gather", opset, {"x": x, "indices": indices, **given}, expected


@formula
def gather_along_axis(draw):
    x = draw.array(draw.shape())
    opset, axis = draw.one(15, 17), draw.integer(0, x.ndim - 1)
    shape = (*x.shape[:axis], draw.integer(1, 4), *x.shape[axis + 1 :])
    indices = draw.places(x.shape[axis], shape, negative=opset < 17)
    given = {"axis": draw.signed(axis, x.ndim)} if axis or draw.flag() else {}
    return "gather_along_axis", opset, {"x": x, "indices": indices, **given}, np.take_along_axis(x, indices, axis)


def drawn_tuples(draw, sizes, shape, negative):
    """Indices [*shape, len(sizes)], each of its axis."""
    return np.stack([draw.places(size, shape, negative) for size in sizes], -1)


@formula
def gather_nd(draw):
    x = draw.array(draw.shape())
    opset = draw.one(15, 16, 17)
    batch_dims = draw.integer(0, min(2, x.ndim - 1)) if opset > 15 else 0
    count = draw.integer(1, x.ndim - batch_dims)
    shape = (*x.shape[:batch_dims], *draw.shape(0, 2))
    indices = drawn_tuples(draw, x.shape[batch_dims : batch_dims + count], shape, opset < 17)
    expected = np.zeros((*shape, *x.shape[batch_dims + count :]), x.dtype)
    for place in np.ndindex(*shape):
        expected[place] = x[(*place[:batch_dims], *indices[place])]
    given = {"batch_dims": batch_dims} if batch_dims else {}
    given |= {"validate_indices": draw.flag()} if opset == 17 else {}
    return "gather_nd", opset, {"x": x, "indices": indices, **given}, expected


MODES = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": np.maximum,
    "min": np.minimum,
}


def scattered(data, places, updates, mode):
    """One update after the other; in the data's type, but for quotients of integers, which are cut."""
    result = data.astype(np.float64)
    for place, update in zip(places, updates, strict=True):
        result[place] = MODES[mode](result[place], update.astype(np.float64))
        if data.dtype == np.int32:
            result[place] = np.trunc(result[place])
    return result.astype(np.int32) if data.dtype == np.int32 else result


def drawn_updates(draw, data, shape, mode):
    updates = draw.array(shape, data.dtype.name)
    if mode in ("mul", "div"):  # of a size that fp16 holds, and never 0
        updates = np.where(np.abs(updates) < 1, np.ones_like(updates), np.sign(updates) * 2).astype(data.dtype)
    return np.asarray(updates)


@formula
def scatter(draw):
    data = draw.array(draw.shape())
    opset, axis, mode = draw.one(15, 17), draw.integer(0, data.ndim - 1), draw.one(*MODES)
    count = draw.integer(1, 4)
    indices = draw.places(data.shape[axis], count, negative=opset < 17)
    updates = drawn_updates(draw, data, (*data.shape[:axis], count, *data.shape[axis + 1 :]), mode)
    places = [(*[slice(None)] * axis, index) for index in indices]
    expected = scattered(data, places, np.moveaxis(updates, axis, 0), mode)
    given = {"mode": mode} if mode != "add" or draw.flag() else {}
    given |= {"axis": draw.signed(axis, data.ndim)} if axis or draw.flag() else {}
    return "scatter", opset, {"data": data, "indices": indices, "updates": updates, **given}, expected


@formula
def scatter_along_axis(draw):
    data = draw.array(draw.shape())
    opset, axis, mode = draw.one(15, 17), draw.integer(0, data.ndim - 1), draw.one(*MODES)
    shape = (*data.shape[:axis], draw.integer(1, 4), *data.shape[axis + 1 :])
    indices = draw.places(data.shape[axis], shape, negative=opset < 17)
    updates = drawn_updates(draw, data, shape, mode)
    places = [(*at[:axis], indices[at], *at[axis + 1 :]) for at in np.ndindex(*shape)]
    expected = scattered(data, places, updates.reshape(-1), mode)
    given = {"mode": mode} if mode != "add" or draw.flag() else {}
    given |= {"axis": draw.signed(axis, data.ndim)} if axis or draw.flag() else {}
    return "scatter_along_axis", opset, {"data": data, "indices": indices, "updates": updates, **given}, expected


@formula
def scatter_nd(draw):
    data = draw.array(draw.shape())
    opset, mode = draw.one(15, 17), draw.one(*MODES)
    count, shape = draw.integer(1, data.ndim), draw.shape(0, 2)
    indices = drawn_tuples(draw, data.shape[:count], shape, opset < 17)
    updates = drawn_updates(draw, data, (*shape, *data.shape[count:]), mode)
    places = [tuple(indices[at]) for at in np.ndindex(*shape)]
    expected = scattered(data, places, [updates[at] for at in np.ndindex(*shape)], mode)
    given = {"mode": mode} if mode != "add" or draw.flag() else {}
    given |= {"validate_indices": draw.flag()} if opset == 17 else {}
    return "scatter_nd", opset, {"data": data, "indices": indices, "updates": updates, **given}, expected


@formula
def one_hot(draw):
    size = draw.integer(1, 5)
    indices = draw.places(size, draw.shape(0, 4))
    on, off = draw.one((1, 0), (3, -1), (2.0, 0.5))
    given = {} if (on, off) == (1, 0) and draw.flag() else {"on_value": on, "off_value": off}
    axis = draw.integer(0, indices.ndim)
    expected = np.full((*indices.shape, size), off)
    for place in np.ndindex(*indices.shape):
        expected[(*place, indices[place])] = on
    given |= {"axis": draw.signed(axis, indices.ndim + 1)} if axis != indices.ndim or draw.flag() else {}
    arguments = {"indices": indices, "one_hot_vector_size": size, **given}
    return "one_hot", 15, arguments, np.moveaxis(expected, -1, axis)


@formula
def non_zero(draw):
    x = draw.array(draw.shape(), draw.one("float32", "float16", "int32", "bool"))
    x = np.where(draw.random.random(x.shape) < 0.5, x, np.zeros_like(x))
    found = [place for place in np.ndindex(*x.shape) if x[place]]
    return "non_zero", 15, {"x": x}, np.array(found, np.int32).reshape(-1, x.ndim)


@formula
def fill(draw):
    shape, value = draw.shape(), draw.one(7, 0.5, True)
    expected = np.full(shape, value)
    if draw.flag():
        return "fill", 15, {"shape": list(shape), "value": value}, expected
    return "fill_like", 16, {"ref_tensor": np.zeros(shape, np.int32), "value": value}, expected


@formula
def range_1d(draw):
    dtype = draw.one(np.int32, np.float32)
    start, step = draw.integer(-5, 5), draw.one(1, 2, 3, -1, -2)
    end = start + step * draw.integer(1, 6) - draw.integer(0, abs(step) - 1) * int(np.sign(step))
    scale = 1 if dtype == np.int32 else 0.25
    start, end, step = (dtype(number * scale) for number in (start, end, step))
    expected = [start]
    while (expected[-1] + step < end) if step > 0 else (expected[-1] + step > end):
        expected.append(expected[-1] + step)
    return "range_1d", 15, {"end": end, "start": start, "step": step}, np.array(expected, dtype)


@formula
def shape(draw):
    x = draw.array(draw.shape(0), draw.one("float32", "float16", "int32", "bool"))
    return "shape", 15, {"x": x}, np.array(x.shape, np.int32)


@formula
def quantize(draw):
    x = draw.floats(draw.shape(), draw.one("float32", "float16"), -40, 40)
    x = np.asarray(np.rint(x * 2) / 2).astype(x.dtype)
    dtype = draw.one("int8", "uint8")
    axis = draw.integer(0, x.ndim - 1) if draw.flag() else None
    sizes = () if axis is None else (x.shape[axis],)
    spread = [-1 if i == axis else 1 for i in range(x.ndim)]
    # powers of two: quotients are exact, and halves are halves
    scale = np.asarray(2.0 ** draw.random.integers(-3, 2, sizes)).astype(x.dtype)
    given = {} if axis is None else {"axis": draw.signed(axis, x.ndim)}
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    zero = np.asarray(draw.random.integers(max(low, -20), 20, sizes)).astype(dtype)
    given |= draw.some(zero_point=zero)
    along = [np.asarray(v.astype(np.float64)) for v in (scale, zero)]
    scales, zeros = along if axis is None else [v.reshape(spread) for v in along]
    zeros = zeros if "zero_point" in given else 0
    levels = np.clip(np.rint(x.astype(np.float64) / scales) + zeros, low, high).astype(dtype)
    if draw.flag():
        return "quantize", 17, {"input": x, "scale": scale, **given, "output_dtype": dtype}, levels
    return "dequantize", 17, {"input": levels, "scale": scale, **given}, (levels.astype(np.float64) - zeros) * scales


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
