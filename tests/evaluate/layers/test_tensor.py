"""Against numpy, and the examples in NeuralNetwork.proto."""

import numpy as np
import pytest

from converter.errors import EvaluationError

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
FIVE = np.arange(125, dtype=np.float32).reshape(5, 5, 5)
T, F = True, False


def f(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "expected"),
    [
        ("tile", [X], {"reps": [1, 2, 6]}, np.tile(X, (1, 2, 6))),
        ("tile", [X], {"reps": [6]}, np.tile(X, (1, 1, 6))),
        ("tile", [X, f(1, 2, 6)], {"reps": [9]}, np.tile(X, (1, 2, 6))),
        ("stack", [X, 2 * X, 3 * X], {"axis": 3}, np.stack([X, 2 * X, 3 * X], 3)),
        ("stack", [X, 2 * X], {"axis": -2}, np.stack([X, 2 * X], -2)),
        ("stack", [X, 2 * X], {}, np.stack([X, 2 * X])),
        ("concatND", [X, X[:, :1]], {"axis": 1}, np.concatenate([X, X[:, :1]], 1)),
        ("concatND", [X, X[..., :1]], {"axis": -1}, np.concatenate([X, X[..., :1]], -1)),
        (
            "concatND",
            [f([1, 2], [3, 4], [5, 6]), f([7, 8], [9, 10], [11, 12])],
            {"interleave": True},
            f([1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]),
        ),
        ("concatND", [f([1, 2], [3, 4]), f([5, 6], [7, 8])], {"axis": -1, "interleave": True},
         f([1, 5, 2, 6], [3, 7, 4, 8])),
        ("transpose", [X], {"axes": [2, 0, 1]}, X.transpose(2, 0, 1)),
        ("reverse", [X], {"reverseDim": [T, F, T]}, X[::-1, :, ::-1]),
        ("reverseSeq", [f([0, 1, 2, 3], [4, 5, 6, 7]), f(3, 0)], {"sequenceAxis": 1}, f([2, 1, 0, 3], [4, 5, 6, 7])),
        (
            "reverseSeq",
            [np.arange(12).reshape(2, 3, 2), f(2, 3)],
            {"batchAxis": 0, "sequenceAxis": 1},
            f([[2, 3], [0, 1], [4, 5]], [[10, 11], [8, 9], [6, 7]]),
        ),
        ("slidingWindows", [X[0, 0]], {"windowSize": 2, "step": 1}, np.stack([X[0, 0, i : i + 2] for i in range(3)])),
        ("slidingWindows", [X], {"axis": -1, "windowSize": 2, "step": 2}, np.stack([X[..., :2], X[..., 2:]], 2)),
        ("slidingWindows", [X], {"axis": 1, "windowSize": 2, "step": 1}, np.stack([X[:, :2], X[:, 1:]], 1)),
        ("argSort", [f(3.1, 5.4, 32.9, 3.2, 77.0)], {}, f(0, 3, 1, 2, 4)),
        ("argSort", [f(3.1, 5.4, 32.9, 3.2, 77.0)], {"descending": T}, f(4, 2, 1, 3, 0)),
        ("argSort", [f([3, 5, 32], [3, 77, 6])], {"axis": 1}, f([0, 1, 2], [0, 2, 1])),
        ("argSort", [f([3, 5, 32], [3, 77, 6])], {"axis": 1, "descending": T}, f([2, 1, 0], [1, 2, 0])),
        ("oneHot", [f(2, 0)], {"oneHotVectorSize": 4, "axis": -1, "onValue": 5, "offValue": -1},
         f([-1, -1, 5, -1], [5, -1, -1, -1])),
        ("oneHot", [f(2, -1)], {"oneHotVectorSize": 4, "axis": -1, "onValue": 5, "offValue": -1},
         f([-1, -1, 5, -1], [-1, -1, -1, -1])),
        ("oneHot", [f(2, 0), f(3)], {"onValue": 1}, np.eye(3, dtype=np.float32)[[2, 0]].T),
        ("oneHot", [f([0, 1, 2])], {"oneHotVectorSize": 3, "axis": 1, "onValue": 1},
         np.eye(3, dtype=np.float32)[None]),
        ("cumSum", [f(4, 6, 7)], {}, f(4, 10, 17)),
        ("cumSum", [f(4, 6, 7)], {"excludeFinalSum": T}, f(0, 4, 10)),
        ("cumSum", [f(4, 6, 7)], {"reverse": T}, f(17, 13, 7)),
        ("cumSum", [f(4, 6, 7)], {"excludeFinalSum": T, "reverse": T}, f(13, 7, 0)),
        ("cumSum", [X], {"axis": -2}, np.cumsum(X, -2)),
        ("cumSum", [X, f(2)], {"axis": 0}, np.cumsum(X, 2)),
        ("constantPad", [X], {"padAmounts": [0, 1, 4, 0, 2, 3], "value": 7},
         np.pad(X, ((0, 1), (4, 0), (2, 3)), constant_values=7)),
        ("constantPad", [X, f(0, 0, 3, 4, 0, 9)], {}, np.pad(X, ((0, 0), (3, 4), (0, 9)))),
        ("constantPad", [X], {"padAmounts": [0, 5, 7, 0, 0, 2], "padToGivenOutputSizeMode": T},
         np.pad(X, ((0, 3), (4, 0), (0, 0)))),
        ("sliceBySize", [X, f(1)], {"axis": 1, "size": 2}, X[:, 1:3]),
    ],
)  # fmt: skip
def test_manipulation(same, kind, inputs, fields, expected):
    same(kind, inputs, fields, expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"axis": 1, "numSplits": 3}, [X[:, :1], X[:, 1:2], X[:, 2:]]),
        ({"axis": -2, "splitSizes": [1, 2]}, [X[:, :1], X[:, 1:]]),
        ({"numSplits": 2}, [X[:1], X[1:]]),
        ({"axis": 2, "numSplits": 3}, np.array_split(X, 3, 2)),
    ],
)
def test_split_nd(same, fields, expected):
    same("splitND", [X], fields, *expected)


def test_topk(same):
    rows = f([3, 1, 3, 2], [0, 5, 4, 5])
    same("topK", [rows], {"axis": 1, "K": 2}, f([3, 3], [5, 5]), f([0, 2], [1, 3]))
    same("topK", [rows], {"axis": -1, "K": 1, "useBottomK": True}, f([1], [0]), f([1], [0]))
    same("topK", [X, f(2)], {"axis": 1, "K": 1}, -np.sort(-X, 1)[:, :2], np.argsort(-X, 1)[:, :2].astype(np.float32))


BEGIN, END = [1, 2, 3], [3, -3, 2]
MASKS = {"beginMasks": [T, F, T], "endMasks": [F, T, T], "strides": [2, 2, 2]}
SLICES = [
    ({"squeezeMasks": [F, F, F]} | MASKS, FIVE[:3:2, 2::2, ::2]),
    ({"squeezeMasks": [F, T, F]} | MASKS, FIVE[:3:2, 2, ::2]),
    (MASKS, FIVE[:3:2, 2::2, ::2]),
    ({"strides": [1, -1, -2], "beginMasks": [F, T, F], "endMasks": [F, F, T]}, FIVE[1:3, :-3:-1, 3::-2]),
]


@pytest.mark.parametrize(("fields", "expected"), SLICES)
def test_slices_are_numpys(same, fields, expected):
    same("sliceStatic", [FIVE], {"beginIds": BEGIN, "endIds": END} | fields, expected)
    same("sliceDynamic", [FIVE, f(*BEGIN)], {"endIds": END} | fields, expected)
    inputs = [f(*BEGIN), f(*END), *(f(*fields[name]) for name in ("strides", "beginMasks", "endMasks"))]
    inputs += [f(*fields["squeezeMasks"])] if "squeezeMasks" in fields else []
    same("sliceDynamic", [FIVE, *inputs], {}, expected)


def test_a_dynamic_slice_has_steps_of_one(same):
    same("sliceDynamic", [FIVE, f(1, 0, 2), f(3, 5, 4)], {}, FIVE[1:3, :, 2:4])


def test_a_dynamic_slice_may_have_five_steps_and_masks_at_any_rank(same):
    # so coremltools' builder writes them when they are left out
    fields = {"endIds": [1] * 5, "strides": [1] * 5, "beginMasks": [F] * 5, "endMasks": [F] * 5}
    same("sliceDynamic", [FIVE, f(1, 0, 2), f(3, 5, 4)], fields, FIVE[1:3, :, 2:4])


def test_slices_squeezed_to_nothing_have_one_element(same):
    fields = {"strides": [1, 1, 1], "beginMasks": [F] * 3, "endMasks": [F] * 3, "squeezeMasks": [T] * 3}
    same("sliceStatic", [FIVE], {"beginIds": [1, -1, 2], "endIds": [0, 0, 0]} | fields, [FIVE[1, -1, 2]])


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "message"),
    [
        ("splitND", [X], {"axis": 2}, "number of sections must be larger than 0"),
        ("constantPad", [X], {"padAmounts": [1, 1]}, "2 padding amounts for an input of rank 3"),
        ("sliceDynamic", [FIVE, f(1, 2), f(2, 3)], {}, "one entry for each of the input's 3 axes"),
        ("sliceDynamic", [FIVE, f(1, 2, 3), f(1, 3, 4)], {}, "the slice of axis 0 .* is empty"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(answer, kind, inputs, fields, message):
    with pytest.raises(EvaluationError, match=message):
        answer(kind, inputs, fields)
