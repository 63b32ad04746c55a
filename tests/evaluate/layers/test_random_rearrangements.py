"""Layers that join, cut, pad and reshape, at random ranks, shapes and axes, against numpy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RANDOM = settings(derandomize=True, deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()


def shapes(low=1, high=5, side=4):
    return st.lists(st.integers(1, side), min_size=low, max_size=high).map(tuple)


def uniform(shape, seed):
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def f(values):
    return np.array(values, np.float32)


@st.composite
def with_axis(draw, low=1, high=5):
    shape = draw(shapes(low, high))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


def resized(shape, axis, size):
    changed = list(shape)
    changed[axis] = size
    return changed


@given(case=with_axis(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=SEEDS)
@RANDOM
def test_concatenation_and_splits(same, case, sizes, seed):
    shape, axis = case
    parts = [uniform(resized(shape, axis, size), seed + i) for i, size in enumerate(sizes)]
    whole = np.concatenate(parts, axis)
    same("concatND", parts, {"axis": axis}, whole)
    same("splitND", [whole], {"axis": axis, "splitSizes": sizes}, *parts)
    same("splitND", [whole], {"axis": axis, "splitSizes": sizes, "numSplits": len(sizes)}, *parts)
    equal = [uniform(shape, seed + i) for i in range(len(sizes))]
    fields = {"axis": axis, "numSplits": len(equal)}
    same("splitND", [np.concatenate(equal, axis)], fields, *equal)
    lines = [np.moveaxis(part, axis, 0)[i] for i in range(shape[axis]) for part in equal]
    same("concatND", equal, {"axis": axis, "interleave": True}, np.moveaxis(np.stack(lines), 0, axis))


@given(case=with_axis(2, 5), count=st.integers(1, 3), seed=SEEDS)
@RANDOM
def test_stack(same, case, count, seed):
    shape, axis = case
    inputs = [uniform(shape[1:], seed + i) for i in range(count)]
    same("stack", inputs, {"axis": axis}, np.stack(inputs, axis))


@given(shape=shapes(5, 5, 3), counts=st.lists(st.integers(1, 3), min_size=2, max_size=3), seed=SEEDS)
@RANDOM
def test_layers_of_named_axes_join_and_cut(same, shape, counts, seed):
    for rank, count in itertools.product((3, 4, 5), counts):
        parts = [uniform(resized(shape[-rank:], -3, c), seed) for c in counts]
        same("concat", parts, {}, np.concatenate(parts, -3))
        equal = [uniform(shape[-rank:], seed + i) for i in range(count)]
        same("split", [np.concatenate(equal, -3)], {"nOutputs": count}, *equal)
    steps = [uniform(resized(shape, 0, c), seed) for c in counts]
    same("concat", steps, {"sequenceConcat": True}, np.concatenate(steps, 0))
    same("sequenceRepeat", [steps[0]], {"nRepetitions": counts[1]}, np.concatenate([steps[0]] * counts[1], 0))


@given(shape=shapes(), reps=shapes(1, 5, 3), seed=SEEDS)
@RANDOM
def test_tile(same, shape, reps, seed):
    reps = reps[: len(shape)]
    x = uniform(shape, seed)
    same("tile", [x], {"reps": reps}, np.tile(x, reps))
    same("tile", [x, f(reps)], {}, np.tile(x, reps))


@given(order=shapes().flatmap(lambda shape: st.tuples(st.just(shape), st.permutations(range(len(shape))))), seed=SEEDS)
@RANDOM
def test_transpose(same, order, seed):
    shape, axes = order
    same("transpose", [uniform(shape, seed)], {"axes": axes}, uniform(shape, seed).transpose(axes))


@given(shape=shapes(5, 5, 3), order=st.permutations(range(4)), seed=SEEDS)
@RANDOM
def test_permute_leaves_the_batch(same, shape, order, seed):
    axes = [(0, 2, 3, 4)[a] for a in order]
    x = uniform(shape, seed)
    same("permute", [x], {"axis": order}, x.transpose(axes[0], 1, *axes[1:]))


@given(shape=shapes(), flags=st.lists(FLAGS, min_size=5, max_size=5), seed=SEEDS)
@RANDOM
def test_reverse(same, shape, flags, seed):
    flags = flags[: len(shape)]
    x = uniform(shape, seed)
    expected = x[tuple(slice(None, None, -1) if flag else slice(None) for flag in flags)]
    same("reverse", [x], {"reverseDim": flags}, expected)


@st.composite
def sequences(draw):
    """A shape, its batch axis, its sequence axis after it, and a length for each batch."""
    shape = draw(shapes(2, 5))
    batch, steps = sorted(draw(st.lists(st.integers(0, len(shape) - 1), min_size=2, max_size=2, unique=True)))
    lengths = [draw(st.integers(0, shape[steps])) for _ in range(shape[batch])]
    return shape, batch, steps - draw(st.sampled_from([0, len(shape)])), lengths


@given(case=sequences(), seed=SEEDS)
@RANDOM
def test_reversed_sequences(same, case, seed):
    shape, batch, steps, lengths = case
    x = uniform(shape, seed)
    expected = x.copy()
    for place in np.ndindex(*shape):
        length, source = lengths[place[batch]], list(place)
        if place[steps] < length:
            source[steps] = length - 1 - place[steps]
        expected[place] = x[tuple(source)]
    same("reverseSeq", [x, f(lengths)], {"batchAxis": batch, "sequenceAxis": steps}, expected)


@given(case=with_axis(1, 4), window=st.integers(1, 4), step=st.integers(1, 3), seed=SEEDS)
@RANDOM
def test_sliding_windows(same, case, window, step, seed):
    shape, axis = case
    window = min(window, shape[axis])
    x = uniform(shape, seed)
    count = (shape[axis] - window) // step + 1
    lines = np.moveaxis(x, axis, 0)
    expected = np.stack([lines[i * step : i * step + window] for i in range(count)])
    position = axis % len(shape)
    expected = np.moveaxis(expected, (0, 1), (position, position + 1))
    same("slidingWindows", [x], {"axis": axis, "windowSize": window, "step": step}, expected)


@given(shape=shapes(), amounts=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=5, max_size=5),
       value=st.sampled_from([0.0, -1.5]), seed=SEEDS)  # fmt: skip
@RANDOM
def test_constant_pad(same, shape, amounts, value, seed):
    amounts = amounts[: len(shape)]
    x = uniform(shape, seed)
    flat = [n for pair in amounts for n in pair]
    expected = np.pad(x, amounts, constant_values=value)
    same("constantPad", [x], {"padAmounts": flat, "value": value}, expected)
    same("constantPad", [x, f(flat)], {"value": value}, expected)
    # with the mode, one of the two numbers is the size to fill up to
    sizes = [(0, n + after) if after else (n + before, 0) for n, (before, after) in zip(shape, amounts, strict=True)]
    filled = [(0, after) if after else (before, 0) for before, after in amounts]
    fields = {"padAmounts": [n for pair in sizes for n in pair], "value": value, "padToGivenOutputSizeMode": True}
    same("constantPad", [x], fields, np.pad(x, filled, constant_values=value))


@st.composite
def reshapes(draw):
    """Two shapes of as many numbers."""
    primes = draw(st.lists(st.sampled_from([2, 3]), max_size=4))
    both = []
    for _ in range(2):
        shape = [1] * draw(st.integers(1, 5))
        for prime in primes:
            shape[draw(st.integers(0, len(shape) - 1))] *= prime
        both.append(tuple(shape))
    return both


@given(case=reshapes(), unknown=st.integers(-1, 4), seed=SEEDS)
@RANDOM
def test_reshapes(same, case, unknown, seed):
    shape, target = case
    x = uniform(shape, seed)
    expected = x.reshape(target)
    said = [-1 if axis == unknown else size for axis, size in enumerate(target)]
    same("reshapeStatic", [x], {"targetShape": said}, expected)
    same("reshapeDynamic", [x, f(said)], {}, expected)
    same("reshapeLike", [x, np.zeros(target, np.float32)], {}, expected)


@given(case=reshapes().filter(lambda both: len(both[0]) == len(both[1])), unknown=st.integers(-1, 4), seed=SEEDS)
@RANDOM
def test_reshapes_that_preserve_the_rank(same, case, unknown, seed):
    shape, target = case
    said = [0 if size == n else size for size, n in zip(target, shape, strict=True)]
    said = [-1 if axis == unknown else size for axis, size in enumerate(said)]
    x = uniform(shape, seed)
    same("rankPreservingReshape", [x], {"targetShape": said}, x.reshape(target))


@st.composite
def expansions(draw):
    """A shape, and where axes of one come between, each from the start or the end of the result."""
    rank = draw(st.integers(2, 5))
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=1, max_size=rank - 1, unique=True))
    return draw(shapes(rank - len(axes), rank - len(axes))), [a - draw(st.sampled_from([0, rank])) for a in axes]


@given(case=expansions(), seed=SEEDS)
@RANDOM
def test_axes_of_one_come_and_go(same, case, seed):
    shape, axes = case
    x = uniform(shape, seed)
    expanded = np.expand_dims(x, tuple(axes))
    same("expandDims", [x], {"axes": axes}, expanded)
    same("squeeze", [expanded], {"axes": axes}, x)
    same("squeeze", [expanded], {"squeezeAll": True}, np.atleast_1d(np.squeeze(x)))


@given(shape=shapes(), cut=st.integers(-5, 5), seed=SEEDS)
@RANDOM
def test_flatten_to_two_axes(same, shape, cut, seed):
    cut = max(-len(shape), min(len(shape), cut))
    x = uniform(shape, seed)
    rows = int(np.prod(shape[:cut]))
    same("flattenTo2D", [x], {"axis": cut}, x.reshape(rows, -1))


@given(shape=shapes(3, 5), target=st.permutations([0, 1, 2]), seed=SEEDS)
@RANDOM
def test_flatten_and_reshape_in_both_orders(same, shape, target, seed):
    x = uniform(shape, seed)
    same("flatten", [x], {}, x.reshape(*shape[:-3], -1, 1, 1))
    last = np.moveaxis(x, -3, -1)
    same("flatten", [x], {"mode": "CHANNEL_LAST"}, last.reshape(*shape[:-3], -1, 1, 1))
    if len(shape) == 5:
        c, h, w = (shape[2:][i] for i in target)
        same("reshape", [x], {"targetShape": [c, h, w]}, x.reshape(*shape[:2], c, h, w))
        expected = np.moveaxis(last.reshape(*shape[:2], h, w, c), -1, -3)
        same("reshape", [x], {"targetShape": [c, h, w], "mode": "CHANNEL_LAST"}, expected)
        one = x[:, :1]
        fields = {"targetShape": [1, shape[0] * c, h, w]}
        same("reshape", [one], fields, one.reshape(1, 1, shape[0] * c, h, w))
        expected = np.moveaxis(np.moveaxis(one, -3, -1).reshape(1, 1, h, w, shape[0] * c), -1, -3)
        same("reshape", [one], fields | {"mode": "CHANNEL_LAST"}, expected)


@pytest.mark.parametrize("mode", ["SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "PIXEL_SHUFFLE"])
@given(shape=shapes(3, 5, 3), block=st.integers(2, 3), seed=SEEDS)
@RANDOM
def test_blocks_move_between_space_and_depth(same, mode, shape, block, seed):
    """In the depth modes the block counts before the channel, as in coremltools' tests of Core ML; else after it."""
    *leading, c, h, w = shape
    deep, flat = (*leading, c * block**2, h, w), (*leading, c, h * block, w * block)
    x = uniform(flat if mode == "SPACE_TO_DEPTH" else deep, seed)
    expected = np.zeros(deep if mode == "SPACE_TO_DEPTH" else flat, np.float32)
    for channel, i, j in np.ndindex(c, h * block, w * block):
        row, column = i % block, j % block
        place = (
            channel * block**2 + row * block + column
            if mode == "PIXEL_SHUFFLE"
            else (row * block + column) * c + channel
        )
        near, far = (..., channel, i, j), (..., place, i // block, j // block)
        if mode == "SPACE_TO_DEPTH":
            expected[far] = x[near]
        else:
            expected[near] = x[far]
    same("reorganizeData", [x], {"mode": mode, "blockSize": block}, expected)
