"""Against numpy."""

import numpy as np
import pytest

X = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4, 5)).astype(np.float32)
NAMED = {"CHW": (1, 2, 3), "HW": (2, 3), "C": (1,), "H": (2,), "W": (3,)}
MODES = {
    "SUM": np.sum,
    "AVG": np.mean,
    "PROD": np.prod,
    "LOGSUM": lambda x, **on: np.sum(np.log(x + 1e-6), **on),
    "SUMSQUARE": lambda x, **on: np.sum(x * x, **on),
    "L1": lambda x, **on: np.sum(np.abs(x), **on),
    "L2": lambda x, **on: np.sqrt(np.sum(x * x, **on)),
    "MAX": np.max,
    "MIN": np.min,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", NAMED)
def test_reduce_along_named_axes(same, mode, axis):
    x = X * np.where(X > 1.5, 1, -1).astype(np.float32) if mode not in ("LOGSUM", "PROD") else X ** np.float32(0.2)
    same("reduce", [x], {"mode": mode, "axis": axis}, MODES[mode](x, axis=NAMED[axis], keepdims=True))


@pytest.mark.parametrize("axis", ["C", "H", "W"])
def test_argmax_along_a_named_axis(same, axis):
    expected = np.argmax(X, NAMED[axis][0])
    same("reduce", [X], {"mode": "ARGMAX", "axis": axis}, np.expand_dims(expected, NAMED[axis]).astype(np.float32))


REDUCTIONS = {
    "reduceSum": np.sum,
    "reduceMean": np.mean,
    "reduceProd": np.prod,
    "reduceMax": np.max,
    "reduceMin": np.min,
    "reduceL1": MODES["L1"],
    "reduceL2": MODES["L2"],
    "reduceSumSquare": MODES["SUMSQUARE"],
    "reduceLogSum": lambda x, **on: np.log(np.sum(x, **on)),
    "reduceLogSumExp": lambda x, **on: np.log(np.sum(np.exp(x), **on)),
}


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("axes", [[1], [-1, 0], [3, 1, 2]])
def test_reductions(same, kind, axes):
    x = X ** np.float32(0.2) if kind == "reduceProd" else X
    expected = REDUCTIONS[kind](x, axis=tuple(axes), keepdims=True)
    same(kind, [x], {"axes": axes, "keepDims": True}, expected)
    same(kind, [x], {"axes": axes}, expected.squeeze(tuple(axes)))


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions_of_everything_have_one_element(same, kind):
    x = X ** np.float32(0.1)
    expected = REDUCTIONS[kind](x, axis=(0, 1, 2, 3))
    same(kind, [x], {"axes": [1], "reduceAll": True}, [expected])
    same(kind, [x], {"reduceAll": True, "keepDims": True}, np.reshape(expected, (1, 1, 1, 1)))


@pytest.mark.parametrize(("kind", "oracle"), [("argMax", np.argmax), ("argMin", np.argmin)])
@pytest.mark.parametrize("axis", [0, 2, -1])
def test_arguments_of_extremes(same, kind, oracle, axis):
    same(kind, [X], {"axis": axis}, oracle(X, axis, keepdims=True).astype(np.float32))
    same(kind, [X], {"axis": axis, "removeDim": True}, oracle(X, axis).astype(np.float32))
    same(kind, [X[0, 0, 0]], {"removeDim": True}, [oracle(X[0, 0, 0])])
