"""Against torch's padding and resampling, numpy.interp, and the examples in NeuralNetwork.proto."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from converter.errors import EvaluationError

X = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 5, 7)).astype(np.float32))
GRID = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4)


def amounts(top, bottom, left, right):
    sizes = [{"startEdgeSize": top, "endEdgeSize": bottom}, {"startEdgeSize": left, "endEdgeSize": right}]
    return {"borderAmounts": sizes}


TOP_LEFT = amounts(2, 0, 2, 0)
REPLICATED = [[1, 1, 1, 2, 3, 4]] * 3 + [[5, 5, 5, 6, 7, 8], [9, 9, 9, 10, 11, 12]]
REFLECTED = [[11, 10, 9, 10, 11, 12], [7, 6, 5, 6, 7, 8], [3, 2, 1, 2, 3, 4]]
REFLECTED += REFLECTED[1:2] + REFLECTED[:1]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"constant": {"value": 7}}, np.pad(GRID, ((0, 0), (2, 0), (2, 0)), constant_values=7)),
        ({"constant": {}}, np.pad(GRID, ((0, 0), (2, 0), (2, 0)))),
        ({"reflection": {}}, [REFLECTED]),
        ({"replication": {}}, [REPLICATED]),
    ],
)
def test_padding_as_documented(same, fields, expected):
    same("padding", [GRID], {"paddingAmounts": TOP_LEFT} | fields, np.array(expected, np.float32))


def test_padding_keeps_leading_axes(same):
    fields = {"reflection": {}, "paddingAmounts": amounts(1, 2, 3, 0)}
    same("padding", [X.numpy()], fields, functional.pad(X, (3, 0, 1, 2), mode="reflect").numpy())
    same("padding", [X[0, 0].numpy()], fields, functional.pad(X[:1, :1], (3, 0, 1, 2), mode="reflect")[0, 0].numpy())


def test_crop(same):
    same("crop", [X.numpy()], {"cropAmounts": amounts(1, 2, 3, 0)}, X[..., 1:-2, 3:].numpy())
    same("crop", [X.numpy(), np.zeros((2, 3, 2, 3))], {"offset": [1, 4]}, X[..., 1:3, 4:7].numpy())


def test_a_crop_beyond_the_input_is_refused(answer):
    with pytest.raises(EvaluationError, match=r"a crop of 2 x 3 at \[4, 0\] exceeds"):
        answer("crop", [X.numpy(), np.zeros((2, 3, 2, 3))], {"offset": [4, 0]})


def interpolated(x, rows, columns):
    """numpy.interp along the last two axes."""
    for axis, points in ((-2, rows), (-1, columns)):
        x = np.apply_along_axis(lambda line, p=points: np.interp(p, np.arange(len(line)), line), axis, x)
    return x.astype(np.float32)


ALIGNED = {"mode": "BILINEAR", "linearUpsampleMode": "ALIGN_CORNERS_TRUE"}
CENTRED = {"mode": "BILINEAR", "linearUpsampleMode": "ALIGN_CORNERS_FALSE"}


def resized(size, aligned):
    return functional.interpolate(X, size, mode="bilinear", align_corners=aligned)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scalingFactor": [2, 3]}, functional.interpolate(X, (10, 21))),
        ({}, X),
        ({"scalingFactor": [2, 3]} | ALIGNED, resized((10, 21), True)),
        ({"scalingFactor": [2, 3]} | CENTRED, resized((10, 21), False)),
        ({"fractionalScalingFactor": [1.6, 2.0]} | ALIGNED, resized((8, 14), True)),
        ({"fractionalScalingFactor": [1.6, 2.0]} | CENTRED, resized((8, 14), False)),
    ],
)
def test_upsample(same, fields, expected):
    same("upsample", [X.numpy()], fields, expected.numpy())


def test_the_default_bilinear_upsampling(same):
    # coremltools' own test of Core ML: [1, 2, 3] upsampled by 3
    expected = [[1, 4 / 3, 5 / 3, 2, 7 / 3, 8 / 3, 3, 3, 3]] * 2
    fields = {"scalingFactor": [2, 3], "mode": "BILINEAR"}
    same("upsample", [np.array([[[1.0, 2.0, 3.0]]])], fields, np.array([expected], np.float32))


def test_fractional_nearest_neighbours_do_not_exist(answer):
    with pytest.raises(EvaluationError, match="fractional"):
        answer("upsample", [X.numpy()], {"fractionalScalingFactor": [1.5, 1.5]})


def spaced(size, count, mode):
    """Sample points as SamplingMode documents them, with numpy.linspace."""
    start, end = 0.0, size - 1.0
    if mode == "ALIGN_ENDPOINTS_MODE" and count == 1:
        start = end = (size - 1) / 2
    if mode == "UPSAMPLE_MODE":
        end = size - size / count
    if mode == "ROI_ALIGN_MODE":
        spacing = max(1, size - 1) / count
        start = 0.5 * spacing
        end = start + (count - 1) * spacing
    return np.minimum(size - 1, np.linspace(start, end, count))


MODES = ["STRICT_ALIGN_ENDPOINTS_MODE", "ALIGN_ENDPOINTS_MODE", "UPSAMPLE_MODE", "ROI_ALIGN_MODE"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(10, 21), (3, 4), (1, 1), (5, 7)])
def test_resize_bilinear(same, mode, size):
    expected = interpolated(X.numpy(), spaced(5, size[0], mode), spaced(7, size[1], mode))
    same("resizeBilinear", [X.numpy()], {"targetSize": size, "mode": {"samplingMethod": mode}}, expected)


def test_resizing_with_aligned_endpoints_is_torchs(same):
    same("resizeBilinear", [X.numpy()], {"targetSize": [9, 4]}, resized((9, 4), True).numpy())


CROP = {"targetSize": [2, 3], "spatialScale": 1}
BOX = [1.0, 2.0, 3.0, 5.0]  # top, left, bottom, right
POINTS = (np.linspace(1, 3, 2), np.linspace(2, 5, 3))


@pytest.mark.parametrize(
    ("box", "fields"),
    [
        (BOX, {}),
        ([2.0, 1.0, 5.0, 3.0], {"boxIndicesMode": {"boxMode": "CORNERS_WIDTH_FIRST"}}),
        ([2.0, 3.5, 2.0, 3.0], {"boxIndicesMode": {"boxMode": "CENTER_SIZE_HEIGHT_FIRST"}}),
        ([3.5, 2.0, 3.0, 2.0], {"boxIndicesMode": {"boxMode": "CENTER_SIZE_WIDTH_FIRST"}}),
        ([1 / 4, 2 / 6, 3 / 4, 5 / 6], {"normalizedCoordinates": True}),
        ([2.0, 4.0, 6.0, 10.0], {"spatialScale": 0.5}),
    ],
)
def test_crop_resize_reads_boxes(same, box, fields):
    expected = interpolated(X.numpy(), *POINTS)[None]
    same("cropResize", [X[None].numpy(), np.array(box).reshape(1, 1, 4, 1, 1)], CROP | fields, expected)


def test_crop_resize_takes_each_box_from_its_image(same):
    boxes = np.array([[1, *BOX], [0, 0, 0, 4, 6]]).reshape(2, 1, 5, 1, 1)
    first = interpolated(X[1:].numpy(), *POINTS)
    second = interpolated(X[:1].numpy(), np.linspace(0, 4, 2), np.linspace(0, 6, 3))
    same("cropResize", [X[None].numpy(), boxes], CROP, np.stack([first, second]))


@pytest.mark.parametrize("mode", MODES)
def test_crop_resize_samples_a_box_as_resize_samples_an_image(same, answer, mode):
    fields = {"targetSize": [2, 3], "mode": {"samplingMethod": mode}}
    expected = answer("resizeBilinear", [X[..., 1:4, 2:6].numpy()], fields)[None]
    box = np.array(BOX).reshape(1, 1, 4, 1, 1)
    same("cropResize", [X[None].numpy(), box], fields | {"spatialScale": 1}, expected)
