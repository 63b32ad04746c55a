"""Against numpy, and the examples in NeuralNetwork.proto."""

import numpy as np
import pytest

from converter.errors import EvaluationError

X = np.random.default_rng(0).standard_normal((10, 3, 5)).astype(np.float32)
ONE = np.zeros((1, 10, 5, 1), np.float32)


def f(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "expected"),
    [
        ("getShape", [X], {}, f(10, 3, 5)),
        ("loadConstant", [], {"shape": [10, 3, 5], "data": X}, X[None, None]),
        ("loadConstantND", [], {"shape": [10, 3, 5], "data": X}, X),
        ("loadConstantND", [], {"shape": [1], "data": f(3)}, f(3)),
        ("fillLike", [X], {"value": 2.5}, np.full_like(X, 2.5)),
        ("fillStatic", [], {"value": 2.5, "targetShape": [2, 3]}, np.full((2, 3), 2.5)),
        ("fillDynamic", [f(2, 3)], {"value": 2.5}, np.full((2, 3), 2.5)),
        ("rangeStatic", [], {"endValue": 5, "startValue": 1, "stepSizeValue": 1.5}, np.arange(1, 5, 1.5)),
        ("rangeDynamic", [f(5)], {"stepSizeValue": 1}, np.arange(5)),
        ("rangeDynamic", [f(5)], {"startValue": 2, "stepSizeValue": 1}, np.arange(2, 5)),
        ("rangeDynamic", [f(5), f(1)], {"startValue": 2, "stepSizeValue": 1}, np.arange(1, 5)),
        ("rangeDynamic", [f(1), f(5), f(-2)], {"startValue": 2, "stepSizeValue": 1}, np.arange(5, 1, -2)),
        ("broadcastToLike", [X[:, :1], X], {}, np.broadcast_to(X[:, :1], X.shape)),
        ("broadcastToStatic", [X[0]], {"targetShape": [2, 3, 5]}, np.broadcast_to(X[0], (2, 3, 5))),
        ("broadcastToDynamic", [X[0], f(2, 3, 5)], {}, np.broadcast_to(X[0], (2, 3, 5))),
        ("squeeze", [ONE], {"axes": [0, 3]}, ONE[0, ..., 0]),
        ("squeeze", [ONE], {"axes": [-1]}, ONE[..., 0]),
        ("squeeze", [ONE], {"squeezeAll": True}, ONE[0, ..., 0]),
        ("squeeze", [f(4)], {"axes": [0]}, f(4)),
        ("expandDims", [X], {"axes": [0, 1]}, X[None, None]),
        ("expandDims", [X], {"axes": [0, 2]}, X[None, :, None]),
        ("expandDims", [X], {"axes": [-2, -1]}, X[..., None, None]),
        ("expandDims", [X], {"axes": [-1, 0]}, X[None, ..., None]),
        ("flattenTo2D", [X[0, 0]], {"axis": -1}, X[0, :1]),
        ("flattenTo2D", [X[0, 0]], {"axis": 1}, X[0, :1].T),
        ("flattenTo2D", [X], {}, X.reshape(1, 150)),
        ("flattenTo2D", [X], {"axis": -2}, X.reshape(10, 15)),
        ("flattenTo2D", [X], {"axis": -1}, X.reshape(30, 5)),
        ("reshapeStatic", [X], {"targetShape": [5, 30]}, X.reshape(5, 30)),
        ("reshapeStatic", [X], {"targetShape": [5, -1, 2]}, X.reshape(5, 15, 2)),
        ("reshapeLike", [X, np.zeros((5, 30))], {}, X.reshape(5, 30)),
        ("reshapeDynamic", [X, f(5, -1)], {}, X.reshape(5, 30)),
        ("rankPreservingReshape", [X], {"targetShape": [25, 0, -1]}, X.reshape(25, 3, 2)),
        ("rankPreservingReshape", [X], {"targetShape": [0, 5, 3]}, X.reshape(10, 5, 3)),
    ],
)
def test_allocation(same, kind, inputs, fields, expected):
    same(kind, inputs, fields, np.asarray(expected, np.float32))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("squeeze", {"axes": [1]}, r"the axes \[1\] have the lengths \[3\]"),
        ("reshapeStatic", {"targetShape": [7, 7]}, r"shape '\[7, 7\]' is invalid .*inputs of shape \[10, 3, 5\]"),
        ("broadcastToStatic", {"targetShape": [10, 2, 5]}, "must match"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(answer, kind, fields, message):
    with pytest.raises(EvaluationError, match=message):
        answer(kind, [X], fields)
