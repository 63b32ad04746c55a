"""Against numpy, and torchvision's nms."""

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, box_convert, nms

X = np.random.default_rng(0).standard_normal((2, 4, 5)).astype(np.float32)


def test_where_nonzero(same):
    x = np.array([[1, 2, 1], [0, 2, 2], [2, 1, 0]], np.float32)
    same("whereNonZero", [x], {}, np.argwhere(x).astype(np.float32))
    same("whereNonZero", [x[1]], {}, np.array([[1], [2]], np.float32))


def banded(lower, upper):
    m, n = np.indices((4, 5))
    return X * (((m - n <= lower) | (lower < 0)) & ((n - m <= upper) | (upper < 0)))


@pytest.mark.parametrize("lower", [-1, 0, 1, 3])
@pytest.mark.parametrize("upper", [-1, 0, 2])
def test_matrix_band_part(same, lower, upper):
    same("matrixBandPart", [X], {"numLower": lower, "numUpper": upper}, banded(lower, upper))


@pytest.mark.parametrize("k", [0, 1, -2])
def test_triangles(same, k):
    same("lowerTriangular", [X], {"k": k}, np.tril(X, k))
    same("upperTriangular", [X], {"k": k}, np.triu(X, k))


RNG = np.random.default_rng(1)
BOXES = np.concatenate([RNG.uniform(0, 10, (2, 30, 2)), RNG.uniform(1, 6, (2, 30, 2))], -1).astype(np.float32)
SCORES = RNG.random((2, 30, 3)).astype(np.float32)
THRESHOLDS = {"iouThreshold": 0.3, "scoreThreshold": 0.4}


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("limit", [4, 40])
def test_non_maximum_suppression(answer, per_class, limit):
    fields = THRESHOLDS | {"maxBoxes": limit, "perClassSuppression": per_class}
    boxes, scores, indices, counts = answer("NonMaximumSuppression", [BOXES, SCORES], fields, 4)
    assert (boxes.shape, scores.shape) == ((2, limit, 4), (2, limit, 3))
    for b in range(2):
        corners = box_convert(torch.from_numpy(BOXES[b]), "cxcywh", "xyxy")
        best, labels = torch.from_numpy(SCORES[b]).max(-1)
        able = (best >= 0.4).nonzero()[:, 0]
        if per_class:
            kept = able[batched_nms(corners[able], best[able], labels[able], 0.3)]
        else:
            kept = able[nms(corners[able], best[able], 0.3)]
        kept = kept[:limit].numpy()
        assert counts[b] == len(kept)
        assert indices[b].tolist() == [*kept, *[-1] * (limit - len(kept))]
        np.testing.assert_array_equal(boxes[b, : len(kept)], BOXES[b, kept])
        np.testing.assert_array_equal(scores[b, : len(kept)], SCORES[b, kept])
        assert not boxes[b, len(kept) :].any()
        assert not scores[b, len(kept) :].any()


def test_without_survivors_the_best_box_remains(answer):
    inputs = [BOXES, SCORES, np.array([0.3]), np.array([2.0]), np.array([3.0])]
    _, _, indices, counts = answer("NonMaximumSuppression", inputs, THRESHOLDS | {"maxBoxes": 9}, 4)
    assert counts.tolist() == [1, 1]
    assert indices.tolist() == [[best, -1, -1] for best in SCORES.max(-1).argmax(-1)]
