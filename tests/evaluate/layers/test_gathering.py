"""Against numpy's take, put_along_axis and ufunc.at."""

import numpy as np
import pytest

from converter.errors import EvaluationError

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 2, (4, 3, 5)).astype(np.float32)


def indices(size, *shape):
    return RNG.integers(-size, size, shape)


@pytest.mark.parametrize(("axis", "shape"), [(0, (6, 8)), (1, (2,)), (2, (2, 3)), (-1, (1,)), (-3, (2, 1, 2))])
def test_gather(same, axis, shape):
    chosen = indices(X.shape[axis], *shape)
    same("gather", [X, chosen], {"axis": axis}, np.take(X, chosen, axis))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_along_axis(same, axis):
    shape = list(X.shape)
    shape[axis] = 7
    chosen = indices(X.shape[axis], *shape)
    same("gatherAlongAxis", [X, chosen], {"axis": axis}, np.take_along_axis(X, chosen, axis))


@pytest.mark.parametrize(("depth", "shape"), [(1, (6,)), (2, (2, 3)), (3, (4,))])
def test_gather_nd(same, depth, shape):
    chosen = np.stack([indices(size, *shape) for size in X.shape[:depth]], -1)
    same("gatherND", [X, chosen], {}, X[tuple(np.moveaxis(chosen, -1, 0))])


MODES = {"SCATTER_ADD": np.add, "SCATTER_SUB": np.subtract, "SCATTER_MUL": np.multiply, "SCATTER_DIV": np.divide}
MODES |= {"SCATTER_MAX": np.maximum, "SCATTER_MIN": np.minimum}


def accumulated(mode, where, updates):
    y = X.copy()
    if mode == "SCATTER_UPDATE":
        y[where] = updates
    else:
        MODES[mode].at(y, where, updates)
    return y


def distinct(size, count):
    """Indices that do not repeat, some from the end: an update of a repeated index has no defined answer."""
    chosen = RNG.permutation(size)[:count]
    return np.where(RNG.random(count) < 0.5, chosen, chosen - size)


@pytest.mark.parametrize("mode", ["SCATTER_UPDATE", *MODES])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter(same, mode, axis):
    size = X.shape[axis]
    where = distinct(size, 2) if mode == "SCATTER_UPDATE" else indices(size, 6)
    shape = list(X.shape)
    shape[axis] = len(where)
    updates = RNG.uniform(0.5, 2, shape).astype(np.float32)
    places = (*[slice(None)] * (axis % 3), where)
    same("scatter", [X, where, updates], {"axis": axis, "mode": mode}, accumulated(mode, places, updates))


def test_scatter_by_indices_of_more_axes(same):
    where, updates = indices(3, 5, 2), RNG.standard_normal((4, 5, 2, 5)).astype(np.float32)
    expected = accumulated("SCATTER_ADD", (slice(None), where), updates)
    same("scatter", [X, where, updates], {"axis": 1, "mode": "SCATTER_ADD"}, expected)


@pytest.mark.parametrize("mode", ["SCATTER_UPDATE", *MODES])
def test_scatter_along_axis(same, mode):
    where = np.stack([np.stack([distinct(3, 2) for _ in range(5)], -1) for _ in range(4)])
    updates = RNG.uniform(0.5, 2, where.shape).astype(np.float32)
    places = (np.arange(4)[:, None, None], where, np.arange(5))
    same("scatterAlongAxis", [X, where, updates], {"axis": -2, "mode": mode}, accumulated(mode, places, updates))


@pytest.mark.parametrize("mode", ["SCATTER_UPDATE", *MODES])
def test_scatter_nd(same, mode):
    where = np.array([[0, 1], [3, -1], [-2, 0]] + [[0, 1]] * (mode != "SCATTER_UPDATE"))
    updates = RNG.uniform(0.5, 2, (len(where), 5)).astype(np.float32)
    expected = accumulated(mode, tuple(where.T), updates)
    same("scatterND", [X, where, updates], {"mode": mode}, expected)


@pytest.mark.parametrize("outside", [4, -5])
def test_an_index_outside_is_refused(answer, outside):
    with pytest.raises(EvaluationError, match=f"outside the axis of length 4: {outside}"):
        answer("gather", [X, np.array([0, outside])])


def test_updates_that_do_not_fit_are_refused(answer):
    with pytest.raises(EvaluationError, match=r"updates of shape \[1, 3, 5\] do not fit the 30 places"):
        answer("scatter", [X, np.array([0, 1]), X[:1]])
