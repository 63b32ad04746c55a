"""Against torch's pooling; the windows of includeLastPixel are torch's ceil_mode."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from converter.errors import EvaluationError

X = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 8, 9)).astype(np.float32)) - 1
ONES = torch.ones(1, 1, 8, 9)


def edges(top, bottom, left, right):
    sizes = [{"startEdgeSize": top, "endEdgeSize": bottom}, {"startEdgeSize": left, "endEdgeSize": right}]
    return {"paddingAmounts": {"borderAmounts": sizes}}


def pad(top, bottom, left, right, value=0.0, x=X):
    return functional.pad(x, (left, right, top, bottom), value=value)


SYMMETRIC = edges(1, 1, 1, 1)
UNEVEN = edges(0, 1, 2, 1)
K = {"kernelSize": [3, 2], "stride": [2, 3]}
COUNTS = functional.avg_pool2d(pad(0, 1, 2, 1, x=ONES), (3, 2), (2, 3))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, functional.max_pool2d(X, 3, 1)),
        (K | {"valid": {}}, functional.max_pool2d(X, (3, 2), (2, 3))),
        (K | {"valid": SYMMETRIC}, functional.max_pool2d(X, (3, 2), (2, 3), padding=1)),
        (K | {"valid": UNEVEN}, functional.max_pool2d(pad(0, 1, 2, 1, float("-inf")), (3, 2), (2, 3))),
        # 8 x 9 by 3 x 2 and strides of 2 x 3: 4 x 3 windows need 1 row and no column
        (K | {"same": {}}, functional.max_pool2d(pad(0, 1, 0, 0, float("-inf")), (3, 2), (2, 3))),
        (
            K | {"same": {"asymmetryMode": "TOP_LEFT_HEAVY"}},
            functional.max_pool2d(pad(1, 0, 0, 0, float("-inf")), (3, 2), (2, 3)),
        ),
        (K | {"type": "AVERAGE", "valid": {}}, functional.avg_pool2d(X, (3, 2), (2, 3))),
        (K | {"type": "AVERAGE", "valid": SYMMETRIC}, functional.avg_pool2d(X, (3, 2), (2, 3), padding=1)),
        (K | {"type": "AVERAGE", "valid": UNEVEN}, functional.avg_pool2d(pad(0, 1, 2, 1), (3, 2), (2, 3))),
        (
            K | {"type": "AVERAGE", "valid": SYMMETRIC, "avgPoolExcludePadding": True},
            functional.avg_pool2d(X, (3, 2), (2, 3), padding=1, count_include_pad=False),
        ),
        (
            K | {"type": "AVERAGE", "valid": UNEVEN, "avgPoolExcludePadding": True},
            functional.avg_pool2d(pad(0, 1, 2, 1), (3, 2), (2, 3)) / COUNTS,
        ),
        (K | {"type": "L2", "valid": {}}, functional.lp_pool2d(X, 2.0, (3, 2), (2, 3))),
        ({"globalPooling": True}, X.amax((2, 3), keepdim=True)),
        ({"globalPooling": True, "type": "AVERAGE", "kernelSize": [0, 0]}, X.mean((2, 3), keepdim=True)),
        ({"globalPooling": True, "type": "L2"}, X.square().sum((2, 3), keepdim=True).sqrt()),
    ],
)
def test_pooling(same, fields, expected):
    same("pooling", [X.numpy()], fields, expected.numpy())


WINDOWS = set(itertools.product([2, 3], [1, 2, 3], [0, 1], [6, 7, 8]))


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), sorted(WINDOWS - {(2, 3, 0, 6)}))
def test_windows_that_include_the_last_pixel(same, kernel, stride, padding, size):
    x = X[..., :size, :size]
    fields = {"kernelSize": [kernel] * 2, "stride": [stride] * 2}
    fields["includeLastPixel"] = {"paddingAmounts": [padding] * 2}
    expected = functional.max_pool2d(x, kernel, stride, padding, ceil_mode=True)
    same("pooling", [x.numpy()], fields, expected.numpy())
    for exclude in (False, True):
        fields |= {"type": "AVERAGE", "avgPoolExcludePadding": exclude}
        expected = functional.avg_pool2d(x, kernel, stride, padding, ceil_mode=True, count_include_pad=not exclude)
        same("pooling", [x.numpy()], fields, expected.numpy())


def test_a_window_without_pixels_is_refused(answer):
    # the documented formula counts three windows, torch two
    fields = {"kernelSize": [2, 2], "stride": [3, 3], "includeLastPixel": {}}
    with pytest.raises(EvaluationError, match="the last holds no pixel"):
        answer("pooling", [X[..., :6, :6].numpy()], fields)


def test_leading_axes_are_batch(same):
    deep = X.reshape(2, 1, 3, 8, 9)
    same("pooling", [deep.numpy()], {}, functional.max_pool2d(X, 3, 1).reshape(2, 1, 3, 6, 7).numpy())


X3 = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, 5, 6, 7)).astype(np.float32)) - 1
K3 = {"kernelDepth": 2, "kernelHeight": 3, "kernelWidth": 2, "strideDepth": 1, "strideHeight": 2, "strideWidth": 3}
SIDES = {"customPaddingFront": 1, "customPaddingTop": 1, "customPaddingBottom": 1, "customPaddingRight": 1}
PAD3 = (0, 1, 1, 1, 1, 0)
SAME3 = (0, 1, 0, 1, 0, 1)  # 5 x 6 x 7 to 5 x 3 x 3


def counts(pads):
    return functional.avg_pool3d(functional.pad(torch.ones(1, 1, 5, 6, 7), pads), (2, 3, 2), (1, 2, 3))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"paddingType": "VALID"}, functional.max_pool3d(X3, (2, 3, 2), (1, 2, 3))),
        (SIDES, functional.max_pool3d(functional.pad(X3, PAD3, value=-99), (2, 3, 2), (1, 2, 3))),
        ({"paddingType": "VALID", "type": "AVERAGE"}, functional.avg_pool3d(X3, (2, 3, 2), (1, 2, 3))),
        (
            {"customPaddingBack": 1, "customPaddingLeft": 1},
            functional.max_pool3d(functional.pad(X3, (1, 0, 0, 0, 0, 1), value=-99), (2, 3, 2), (1, 2, 3)),
        ),
        (SIDES | {"type": "AVERAGE"}, functional.avg_pool3d(functional.pad(X3, PAD3), (2, 3, 2), (1, 2, 3))),
        (
            SIDES | {"type": "AVERAGE", "countExcludePadding": True},
            functional.avg_pool3d(functional.pad(X3, PAD3), (2, 3, 2), (1, 2, 3)) / counts(PAD3),
        ),
        (
            {"paddingType": "SAME", "type": "AVERAGE", "countExcludePadding": True},
            functional.avg_pool3d(functional.pad(X3, SAME3), (2, 3, 2), (1, 2, 3)) / counts(SAME3),
        ),
    ],
)
def test_pooling3d(same, fields, expected):
    same("pooling3d", [X3.numpy()], K3 | fields, expected.numpy())


@pytest.mark.parametrize("fields", [{}, {"type": "AVERAGE"}])
def test_global_pooling3d(same, fields):
    expected = X3.mean((2, 3, 4), keepdim=True) if fields else X3.amax((2, 3, 4), keepdim=True)
    same("globalPooling3d", [X3.numpy()], fields, expected.numpy())
