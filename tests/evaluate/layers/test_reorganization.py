"""Against numpy, and the examples in NeuralNetwork.proto."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from converter.errors import EvaluationError

X = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
DEEP = np.arange(2 * 1 * 3 * 4 * 2, dtype=np.float32).reshape(2, 1, 3, 4, 2)
EIGHT = np.arange(1, 17, dtype=np.float32).reshape(8, 1, 2)
DEPTH_TO_SPACE = np.array([[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]], np.float32)
PIXEL_SHUFFLE = np.array([[[1, 3, 2, 4], [5, 7, 6, 8]], [[9, 11, 10, 12], [13, 15, 14, 16]]], np.float32)
BATCH = np.stack([EIGHT, -EIGHT])


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "expected"),
    [
        ("flatten", [X], {}, X.reshape(2, 72, 1, 1)),
        ("flatten", [X], {"mode": "CHANNEL_LAST"}, X.transpose(0, 2, 3, 1).reshape(2, 72, 1, 1)),
        ("reshape", [DEEP], {"targetShape": [4, 2, 3]}, DEEP.reshape(2, 1, 4, 2, 3)),
        ("reshape", [DEEP], {"targetShape": [6, 4, 2, 1]}, DEEP.reshape(6, 1, 4, 2, 1)),
        (
            "reshape",
            [DEEP],
            {"targetShape": [4, 2, 3], "mode": "CHANNEL_LAST"},
            DEEP.transpose(0, 1, 3, 4, 2).reshape(2, 1, 2, 3, 4).transpose(0, 1, 4, 2, 3),
        ),
        ("permute", [DEEP], {}, DEEP),
        ("permute", [DEEP], {"axis": [0, 3, 1, 2]}, DEEP.transpose(0, 1, 4, 2, 3)),
        ("permute", [DEEP], {"axis": [3, 1, 2, 0]}, DEEP.transpose(4, 1, 2, 3, 0)),
        ("permute", [DEEP], {"axis": [0, 3, 2, 1]}, DEEP.transpose(0, 1, 4, 3, 2)),
        ("concat", [X, X[:, :1]], {}, np.concatenate([X, X[:, :1]], 1)),
        ("concat", [DEEP, DEEP[:1]], {"sequenceConcat": True}, np.concatenate([DEEP, DEEP[:1]], 0)),
        ("sequenceRepeat", [DEEP], {"nRepetitions": 3}, np.concatenate([DEEP] * 3, 0)),
        ("sequenceRepeat", [DEEP], {}, DEEP),
        ("reorganizeData", [EIGHT], {"mode": "DEPTH_TO_SPACE", "blockSize": 2}, DEPTH_TO_SPACE),
        ("reorganizeData", [DEPTH_TO_SPACE], {"blockSize": 2}, EIGHT),
        ("reorganizeData", [EIGHT], {"mode": "PIXEL_SHUFFLE", "blockSize": 2}, PIXEL_SHUFFLE),
        (
            "reorganizeData",
            [BATCH],
            {"mode": "DEPTH_TO_SPACE", "blockSize": 2},
            np.stack([DEPTH_TO_SPACE, -DEPTH_TO_SPACE]),
        ),
        (
            "reorganizeData",
            [X],
            {"blockSize": 2},
            # channel by channel torch's order is the block's
            functional.pixel_unshuffle(torch.from_numpy(X), 2).reshape(2, 3, 4, 2, 3).mT.transpose(1, 2)
            .mT.reshape(2, 12, 2, 3).numpy(),
        ),
        ("slice", [X], {"startIndex": 1, "endIndex": 3, "stride": 1}, X[:, 1:3]),
        ("slice", [X], {"startIndex": 1, "endIndex": -1, "stride": 2, "axis": "WIDTH_AXIS"}, X[..., 1:-1:2]),
        ("slice", [X], {"startIndex": -3, "endIndex": 4, "axis": "HEIGHT_AXIS"}, X[..., -3:4, :]),
    ],
)  # fmt: skip
def test_reorganization(same, kind, inputs, fields, expected):
    same(kind, inputs, fields, expected)


def test_split(same):
    same("split", [X], {"nOutputs": 3}, X[:, :1], X[:, 1:2], X[:, 2:])


def test_a_split_must_be_even(answer):
    with pytest.raises(EvaluationError, match="3 channels cannot be split into 2 equal parts"):
        answer("split", [X], {"nOutputs": 2}, 2)
