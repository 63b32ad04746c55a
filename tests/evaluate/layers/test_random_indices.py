"""Layers that move numbers, at random ranks, shapes and axes, against numpy's indexing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RANDOM = settings(derandomize=True, deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()


def shapes(low=1, high=5, side=4):
    return st.lists(st.integers(1, side), min_size=low, max_size=high).map(tuple)


def uniform(shape, seed, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def distinct(shape, seed):
    return np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)


def f(values):
    return np.array(values, np.float32)


def signed(draw, axis, rank):
    """The axis, or the same counted from the end."""
    return axis - draw(st.sampled_from([0, rank]))


@st.composite
def with_axis(draw, low=1, high=5):
    shape = draw(shapes(low, high))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


@st.composite
def slices(draw):
    """A shape, and for each axis begin, end, stride, both masks, squeeze; no slice is empty."""
    shape = draw(shapes())
    rows = []
    for size in shape:
        numbers = st.integers(-size - 1, size)
        row = st.tuples(st.integers(-size, size - 1), numbers, st.sampled_from([1, 2, -1, -2]), FLAGS, FLAGS, FLAGS)
        rows.append(draw(row.filter(lambda r, n=size: r[5] or len(range(n)[index(r)]))))
    return shape, rows


def index(row):
    begin, end, stride, begin_mask, end_mask, squeeze = row
    return begin if squeeze else slice(None if begin_mask else begin, None if end_mask else end, stride)


@given(case=slices(), seed=SEEDS, squeezes=FLAGS)
@RANDOM
def test_slices(same, case, seed, squeezes):
    shape, rows = case
    x = uniform(shape, seed)
    rows = rows if squeezes else [(*row[:5], False) for row in rows]
    rows = [row if row[5] or len(range(n)[index(row)]) else (0, 0, 1, True, True, False)
            for row, n in zip(rows, shape, strict=True)]  # fmt: skip
    names = ("beginIds", "endIds", "strides", "beginMasks", "endMasks", "squeezeMasks")
    fields = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    expected = np.atleast_1d(x[tuple(map(index, rows))])
    same("sliceStatic", [x], fields, expected)
    begins = fields.pop("beginIds")
    same("sliceDynamic", [x, f(begins)], fields, expected)
    same("sliceDynamic", [x, f(begins), *map(f, fields.values())], {}, expected)


@st.composite
def parts(draw):
    """A shape, an axis, and the bounds of a part of it."""
    shape, axis = draw(with_axis())
    size = draw(st.integers(1, shape[axis]))
    return shape, axis, draw(st.integers(0, shape[axis] - size)), size


@given(case=parts(), image=shapes(3, 5), named=st.integers(0, 2), stride=st.integers(1, 3), seed=SEEDS)
@RANDOM
def test_slices_along_one_axis(same, case, image, named, stride, seed):
    shape, axis, begin, size = case
    x = uniform(shape, seed)
    same("sliceBySize", [x, f([begin])], {"axis": axis, "size": size}, np.take(x, range(begin, begin + size), axis))
    x, place = uniform(image, seed), named - 3
    names = ("CHANNEL_AXIS", "HEIGHT_AXIS", "WIDTH_AXIS")
    n = image[place]
    for start, end in ((0, n), (0, -1), (-n, n), (n - 1, n)):
        chosen = range(n)[start:end:stride]
        if len(chosen):
            fields = {"startIndex": start, "endIndex": end, "stride": stride, "axis": names[named]}
            same("slice", [x], fields, np.take(x, chosen, place))


@given(case=with_axis(1, 4), indices=shapes(1, 2), seed=SEEDS)
@RANDOM
def test_gather(same, case, indices, seed):
    shape, axis = case
    chosen = np.random.default_rng(seed).integers(-shape[axis], shape[axis], indices)
    x = uniform(shape, seed)
    same("gather", [x, f(chosen)], {"axis": axis}, np.take(x, chosen, axis))


@given(case=with_axis(), count=st.integers(1, 6), seed=SEEDS)
@RANDOM
def test_gather_along_axis(same, case, count, seed):
    shape, axis = case
    wanted = list(shape)
    wanted[axis] = count
    chosen = np.random.default_rng(seed).integers(-shape[axis], shape[axis], wanted)
    x = uniform(shape, seed)
    same("gatherAlongAxis", [x, f(chosen)], {"axis": axis}, np.take_along_axis(x, chosen, axis))


@given(shape=shapes(1, 4), outer=shapes(1, 2), depth=st.integers(1, 4), seed=SEEDS)
@RANDOM
def test_gather_nd(same, shape, outer, depth, seed):
    rng = np.random.default_rng(seed)
    points = np.stack([rng.integers(-n, n, outer) for n in shape[:depth]], -1)
    x = uniform(shape, seed)
    same("gatherND", [x, f(points)], {}, x[tuple(np.moveaxis(points, -1, 0))])


MODES = {
    "SCATTER_UPDATE": lambda old, new: new,
    "SCATTER_ADD": np.add,
    "SCATTER_SUB": np.subtract,
    "SCATTER_MUL": np.multiply,
    "SCATTER_DIV": np.divide,
    "SCATTER_MAX": np.maximum,
    "SCATTER_MIN": np.minimum,
}


def chosen_places(rng, size, count, mode):
    """Some from the end; they repeat only where the order of updates does not matter."""
    if mode != "SCATTER_UPDATE":
        return rng.integers(-size, size, count)
    chosen = rng.permutation(size)[:count]
    return np.where(rng.random(len(chosen)) < 0.5, chosen, chosen - size)


@pytest.mark.parametrize("mode", MODES)
@given(case=with_axis(), count=st.integers(1, 4), seed=SEEDS)
@RANDOM
def test_scatter(same, mode, case, count, seed):
    shape, axis = case
    rng = np.random.default_rng(seed)
    where = chosen_places(rng, shape[axis], count, mode)
    wanted = list(shape)
    wanted[axis] = len(where)
    x, updates = uniform(shape, seed, 0.5, 2), uniform(wanted, seed + 1, 0.5, 2)
    expected = x.astype(np.float64)
    lines, new = np.moveaxis(expected, axis, 0), np.moveaxis(updates, axis, 0)
    for place, line in zip(where, new, strict=True):
        lines[place] = MODES[mode](lines[place], line)
    same("scatter", [x, f(where), updates], {"axis": axis, "mode": mode}, expected)


@pytest.mark.parametrize("mode", MODES)
@given(case=with_axis(), count=st.integers(1, 4), seed=SEEDS)
@RANDOM
def test_scatter_along_axis(same, mode, case, count, seed):
    shape, axis = case
    rng = np.random.default_rng(seed)
    wanted = list(shape)
    wanted[axis] = min(count, shape[axis])
    others = [n for a, n in enumerate(wanted) if a != axis % len(shape)]
    where = np.zeros((wanted[axis], *others), np.int64)
    for line in np.ndindex(*others):
        where[(slice(None), *line)] = chosen_places(rng, shape[axis], wanted[axis], mode)
    where = np.moveaxis(where, 0, axis)
    x, updates = uniform(shape, seed, 0.5, 2), uniform(wanted, seed + 1, 0.5, 2)
    expected = x.astype(np.float64)
    for place in np.ndindex(*wanted):
        there = list(place)
        there[axis] = where[place]
        expected[tuple(there)] = MODES[mode](expected[tuple(there)], updates[place])
    same("scatterAlongAxis", [x, f(where), updates], {"axis": axis, "mode": mode}, expected)


@pytest.mark.parametrize("mode", MODES)
@given(shape=shapes(), depth=st.integers(1, 5), count=st.integers(1, 4), seed=SEEDS)
@RANDOM
def test_scatter_nd(same, mode, shape, depth, count, seed):
    rng = np.random.default_rng(seed)
    depth = min(depth, len(shape))
    flat = chosen_places(rng, int(np.prod(shape[:depth])), count, mode) % int(np.prod(shape[:depth]))
    points = np.stack(np.unravel_index(flat, shape[:depth]), -1)
    points = np.where(rng.random(points.shape) < 0.5, points, points - np.array(shape[:depth]))
    x, updates = uniform(shape, seed, 0.5, 2), uniform((len(flat), *shape[depth:]), seed + 1, 0.5, 2)
    expected = x.astype(np.float64)
    for point, update in zip(points, updates, strict=True):
        expected[tuple(point)] = MODES[mode](expected[tuple(point)], update)
    same("scatterND", [x, f(points), updates], {"mode": mode}, expected)


@given(case=with_axis(), descending=FLAGS, count=st.integers(1, 4), is_input=FLAGS, seed=SEEDS)
@RANDOM
def test_sorting(same, case, descending, count, is_input, seed):
    shape, axis = case
    x = distinct(shape, seed)
    order = np.argsort(-x if descending else x, axis)
    same("argSort", [x], {"axis": axis, "descending": descending}, order)
    count = min(count, shape[axis])
    chosen = np.take(order, range(count), axis)
    fields = {"axis": axis, "useBottomK": not descending} | ({} if is_input else {"K": count})
    expected = np.take_along_axis(x, chosen, axis), chosen
    same("topK", [x, f([count])] if is_input else [x], fields, *expected)


@given(case=with_axis(), exclude=FLAGS, backwards=FLAGS, is_input=FLAGS, seed=SEEDS)
@RANDOM
def test_cumulative_sums(same, case, exclude, backwards, is_input, seed):
    shape, axis = case
    x = uniform(shape, seed)
    lines = np.moveaxis(x.astype(np.float64), axis, 0)
    n = len(lines)
    expected = np.zeros_like(lines)
    for i in range(n):
        inside = range(i + exclude, n) if backwards else range(i + 1 - exclude)
        expected[i] = sum((lines[j] for j in inside), np.zeros_like(lines[0]))
    fields = {"excludeFinalSum": exclude, "reverse": backwards} | ({} if is_input else {"axis": axis})
    same("cumSum", [x, f([axis])] if is_input else [x], fields, np.moveaxis(expected, 0, axis))


@given(case=with_axis(2, 5), size=st.integers(1, 5), on=st.sampled_from([1.0, 3.5]), off=st.sampled_from([0.0, -1.0]),
       is_input=FLAGS, seed=SEEDS)  # fmt: skip
@RANDOM
def test_one_hot(same, case, size, on, off, is_input, seed):
    shape, axis = case
    x = np.random.default_rng(seed).integers(0, size, shape[1:]).astype(np.float32)
    expected = np.full((size, *x.shape), off)
    for place in np.ndindex(*x.shape):
        expected[(int(x[place]), *place)] = on
    fields = {"axis": axis, "onValue": on, "offValue": off} | ({} if is_input else {"oneHotVectorSize": size})
    same("oneHot", [x, f([size])] if is_input else [x], fields, np.moveaxis(expected, 0, axis))


@given(start=st.integers(-6, 6), steps=st.integers(1, 7), step=st.sampled_from([1.0, 0.5, 2.0, -1.0, -0.25]),
       inputs=st.integers(0, 3))  # fmt: skip
@RANDOM
def test_ranges(same, start, steps, step, inputs):
    end = start + (steps - 0.5) * step
    expected = start + step * np.arange(steps)
    fields = {"endValue": end, "startValue": start, "stepSizeValue": step}
    same("rangeStatic", [], fields, expected)
    del fields["endValue"]
    if inputs:
        same("rangeDynamic", [f([v]) for v in (end, start, step)[:inputs]], fields, expected)


@given(shape=shapes(2, 5), low=st.integers(-2, 4), high=st.integers(-2, 4), seed=SEEDS)
@RANDOM
def test_bands_and_triangles(same, shape, low, high, seed):
    x = uniform(shape, seed)
    m, n = np.indices(shape[-2:])
    band = ((low < 0) | (m - n <= low)) & ((high < 0) | (n - m <= high))
    same("matrixBandPart", [x], {"numLower": low, "numUpper": high}, np.where(band, x, 0))
    same("lowerTriangular", [x], {"k": low}, np.where(n - m <= low, x, 0))
    same("upperTriangular", [x], {"k": low}, np.where(n - m >= low, x, 0))
