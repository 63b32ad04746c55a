"""Grids that are sampled, regions that are pooled, boxes that are suppressed."""

import numpy as np
import pytest

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(3)
f = lambda *values: np.array(values, np.float32)  # noqa: E731
i = lambda *values: np.array(values, np.int64)  # noqa: E731

PLACES = {"input": R.uniform(-1.9, 1.9, (2, 3, 5, 2)).astype(np.float32)}
VOLUME = {"input": R.uniform(-1.9, 1.9, (2, 3, 2, 4, 3)).astype(np.float32)}
GRIDS = [
    ("GridSample", 20, [(2, 3, 4, 5), PLACES], {"mode": mode, "padding_mode": padding, "align_corners": align})
    for mode in ("linear", "nearest", "cubic")
    for padding in ("zeros", "border", "reflection")
    for align in (0, 1)
]
GRIDS += [
    ("GridSample", 22, [(2, 2, 3, 4, 5), VOLUME], {"mode": mode, "padding_mode": padding, "align_corners": align})
    for mode, padding, align in (
        ("linear", "zeros", 0),
        ("linear", "reflection", 1),
        ("nearest", "border", 1),
        ("nearest", "zeros", 0),
        ("linear", "border", 0),
    )
]
GRIDS += [
    ("GridSample", 16, [(2, 3, 4, 5), PLACES], {}),
    ("GridSample", 16, [(2, 3, 4, 5), PLACES["input"]], {"mode": "bicubic", "align_corners": 1}),
    ("GridSample", 16, [(2, 3, 4, 5), PLACES["input"]], {"padding_mode": "border"}),
    ("GridSample", 22, [(2, 2, 3, 4, 5), VOLUME["input"]], {"padding_mode": "reflection"}),
    ("GridSample", 20, [(2, 3, 1, 5), PLACES], {"padding_mode": "reflection"}),
]

# Inside, beyond two edges, of no size, and of negative size.
ROIS = f([0.5, 1.2, 6.7, 5.1], [-2.5, -0.4, 4.0, 3.0], [3.0, 2.0, 9.5, 8.8], [2.0, 2.0, 2.0, 2.0], [4.0, 4.0, 3.0, 2.5])
IMAGES = i(0, 1, 1, 0, 1)
SIZE = {"output_height": 3, "output_width": 2}
REGIONS = [
    ("RoiAlign", opset, [(2, 3, 7, 8), rois, images], {**SIZE, "sampling_ratio": ratio, "spatial_scale": scale, **more})
    for rois, images in (({"input": ROIS}, {"input": IMAGES}), (ROIS, IMAGES))
    for opset, ratio, scale, more in (
        (10, 2, 1.0, {}),
        (16, 1, 0.9, {}),
        (16, 3, 0.5, {"coordinate_transformation_mode": "output_half_pixel"}),
        (16, 2, 1.0, {"mode": "max"}),
    )
]  # fmt: skip

name = lambda case: f"{case[1]}-{list(case[3].values())}"  # noqa: E731


@pytest.mark.parametrize("case", GRIDS, ids=name)
def test_a_grid_is_sampled_as_onnxruntime_does(held, case):
    held(case, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", [GRIDS[0], GRIDS[7], GRIDS[14]], ids=name)
def test_a_neural_network_samples_the_same(held, case):
    held(case, format="mlmodel", deployment_target="iOS14", rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("release", ["iOS15", "iOS16", "iOS17"])
@pytest.mark.parametrize("case", REGIONS[:4], ids=name)
def test_regions_are_pooled_as_onnxruntime_does(held, case, release):
    held(case, deployment_target=release, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", REGIONS[4:], ids=name)
def test_regions_that_are_known_are_pooled_the_same(held, case):
    held(case, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", [GRIDS[0], GRIDS[17], GRIDS[18], REGIONS[1], REGIONS[3]], ids=name)
def test_float16_keeps_its_digits(held, case):
    """The pixels beside each other differ by up to 4, and a place is known to a thousandth."""
    places = {"input": np.round(case[2][1]["input"] * 128).astype(np.float32) / 128}
    held((*case[:2], [case[2][0], places, *case[2][2:]], case[3]), compute_precision="float16", rtol=1e-2, atol=2e-2)


# y1, x1, y2, x2 with corners either way round; every third box is near the one before it.
BOXES = R.uniform(0, 1, (2, 24, 4)).astype(np.float32)
BOXES[:, 1::3] = BOXES[:, ::3] + R.uniform(-0.02, 0.02, (2, 8, 4)).astype(np.float32)
CENTRED = np.abs(BOXES)
SCORES = R.uniform(0, 1, (2, 3, 24)).astype(np.float32)


def boxes(most, *thresholds, opset=11, given=BOXES, **attributes):
    operands = [{"input": given}, {"input": SCORES}, i(most), *(None if t is None else f(t) for t in thresholds)]
    return ("NonMaxSuppression", opset, operands, attributes)


SUPPRESSIONS = [
    boxes(24, 0.5),
    boxes(5, 0.5, 0.4),
    boxes(24, 0.05, 0.7, opset=10),
    boxes(3),
    boxes(100, 0.8, None),
    boxes(24, 0.3, 0.2, given=CENTRED, center_point_box=1),
]


@pytest.mark.parametrize("release", ["iOS15", "iOS17"])
@pytest.mark.parametrize("case", SUPPRESSIONS, ids=lambda case: str(case[2][2:]))
def test_boxes_are_selected_as_by_onnxruntime(held, case, release):
    held(case, deployment_target=release)


@pytest.mark.parametrize("release", ["iOS13", "iOS14"])
def test_a_neural_network_selects_the_same_boxes(held, release):
    held(SUPPRESSIONS[1], format="mlmodel", deployment_target=release)


def test_float16_selects_the_same_boxes_of_places_that_it_holds(held):
    places = np.round(BOXES * 256).astype(np.float32)
    scores = R.permuted(np.arange(72, dtype=np.float32) / 128).reshape(2, 3, 12)
    operands = [{"input": places[:, :12]}, {"input": scores}, i(12), f(0.3), f(0.1)]
    held(("NonMaxSuppression", 11, operands, {}), compute_precision="float16")


def test_none_is_selected_where_no_score_suffices(held):
    held(boxes(5, 0.5, 2.0))


REFUSED = [
    (boxes(0, 0.5), "selects nothing"),
    (("RoiAlign", 16, [(2, 3, 7, 8), {"input": ROIS}, {"input": IMAGES}], {}), "sampling_ratio = 0"),
    (("GridSample", 16, [{"input": np.ones((1, 1, 4, 4), np.int32)}, (1, 2, 2, 2)], {}), "integers"),
]


@pytest.mark.parametrize(("case", "reason"), REFUSED)
def test_what_cannot_be_said_is_refused(built, case, reason):
    with pytest.raises(UnsupportedOpsError, match=reason):
        built(case)
