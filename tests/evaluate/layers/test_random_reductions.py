"""Reductions at random ranks, shapes and axes, against numpy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RANDOM = settings(derandomize=True, deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()


def shapes(low=1, high=5, side=4):
    return st.lists(st.integers(1, side), min_size=low, max_size=high).map(tuple)


def uniform(shape, seed, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def wide(x):
    return np.asarray(x, np.float64)


@st.composite
def with_axis(draw, low=1, high=5):
    """A shape and one of its axes, from the start or the end."""
    shape = draw(shapes(low, high))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


REDUCTIONS = {
    "Sum": np.sum,
    "Mean": np.mean,
    "Prod": np.prod,
    "Max": np.max,
    "Min": np.min,
    "L1": lambda x, **on: np.sum(np.abs(x), **on),
    "L2": lambda x, **on: np.sqrt(np.sum(x * x, **on)),
    "SumSquare": lambda x, **on: np.sum(x * x, **on),
    "LogSum": lambda x, **on: np.log(np.sum(x, **on)),
    "LogSumExp": lambda x, **on: np.log(np.sum(np.exp(x), **on)),
}


@st.composite
def with_axes(draw):
    """A shape and some of its axes in any order, each from the start or the end."""
    shape = draw(shapes())
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    return shape, [axis - draw(st.sampled_from([0, len(shape)])) for axis in axes]


@pytest.mark.parametrize("kind", REDUCTIONS)
@given(case=with_axes(), keep=FLAGS, everything=FLAGS, seed=SEEDS)
@RANDOM
def test_reductions(same, kind, case, keep, everything, seed):
    shape, axes = case
    x = uniform(shape, seed, 0.9, 1.1) if kind in ("Prod", "LogSum") else uniform(shape, seed)
    expected = REDUCTIONS[kind](wide(x), axis=None if everything else tuple(axes), keepdims=keep)
    same(f"reduce{kind}", [x], {"axes": axes, "keepDims": keep, "reduceAll": everything}, np.atleast_1d(expected))


NAMED = {"CHW": (-3, -2, -1), "HW": (-2, -1), "C": (-3,), "H": (-2,), "W": (-1,)}
MODES = {"SUM": "Sum", "AVG": "Mean", "PROD": "Prod", "SUMSQUARE": "SumSquare", "L1": "L1", "L2": "L2"}
MODES |= {"MAX": "Max", "MIN": "Min"}


@pytest.mark.parametrize("mode", [*MODES, "LOGSUM"])
@given(shape=shapes(3, 5), axis=st.sampled_from([*NAMED]), epsilon=st.sampled_from([0, 0.5]), seed=SEEDS)
@RANDOM
def test_reductions_along_named_axes(same, mode, shape, axis, epsilon, seed):
    x = uniform(shape, seed, 0.5, 1.5)
    on = {"axis": NAMED[axis], "keepdims": True}
    expected = np.sum(np.log(wide(x) + (epsilon or 1e-6)), **on) if mode == "LOGSUM" else None
    expected = REDUCTIONS[MODES[mode]](wide(x), **on) if expected is None else expected
    same("reduce", [x], {"mode": mode, "axis": axis, "epsilon": epsilon}, expected)


@given(case=with_axis(), image=shapes(3, 5), named=st.sampled_from("CHW"), remove=FLAGS, seed=SEEDS)
@RANDOM
def test_arguments_of_extremes(same, case, image, named, remove, seed):
    shape, axis = case
    x = uniform(shape, seed)
    for kind, oracle in (("argMax", np.argmax), ("argMin", np.argmin)):
        expected = np.atleast_1d(oracle(x, axis, keepdims=not remove))
        same(kind, [x], {"axis": axis, "removeDim": remove}, expected)
    x = uniform(image, seed)
    same("reduce", [x], {"mode": "ARGMAX", "axis": named}, np.argmax(x, NAMED[named][0], keepdims=True))
