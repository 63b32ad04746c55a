"""Resize and Upsample in every mode, grids and crops; a factor of whole pixels and one that is not."""

from itertools import cycle, product

import numpy as np
import pytest
from onnx import helper, numpy_helper

import converter
from converter.errors import UnsupportedOpsError
from converter.model import Range

R = np.random.default_rng(2)
f = lambda *values: np.array(values, np.float32)  # noqa: E731
i = lambda *values: np.array(values, np.int64)  # noqa: E731

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
COUNTS = {"input": R.integers(0, 9, (1, 2, 5, 6)).astype(np.int32)}
ROI = f(0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2)
CROPPED = {"coordinate_transformation_mode": "tf_crop_and_resize"}
BEYOND = CROPPED | {"mode": "linear", "extrapolation_value": 3.0}
HALF_PIXEL_FOR_NN = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def scales(*values, shape=(1, 2, 5, 6), opset=13, **attributes):
    return ("Resize", opset, [shape, None, f(*values)], attributes)


def sizes(*values, shape=(1, 2, 5, 6), opset=13, **attributes):
    return ("Resize", opset, [shape, None, None, i(*values)], attributes)


OLD = [
    ("Upsample", 7, [(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}),
    ("Upsample", 7, [(1, 2, 3, 4)], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "linear"}),
    ("Upsample", 9, [(1, 2, 3, 4), f(1, 1, 1.5, 2.6)], {"mode": "linear"}),
    ("Upsample", 9, [(1, 2, 3, 4), f(1, 1, 1.5, 2.6)], {"mode": "nearest"}),
    ("Upsample", 9, [(3, 4), f(2, 1.5)], {"mode": "linear"}),
    ("Resize", 10, [(1, 2, 5, 6), f(1, 1, 2, 0.5)], {}),
    ("Resize", 10, [(1, 2, 5, 6), f(1, 1, 0.7, 0.6)], {"mode": "linear"}),
    ("Resize", 11, [(1, 2, 5, 6), f(), f(), i(1, 2, 7, 3)], {"mode": "linear"}),
    ("Resize", 11, [(1, 2, 5, 6), f(), f(), i(1, 2, 7, 3)], HALF_PIXEL_FOR_NN),
    ("Resize", 11, [(1, 2, 5, 6), f(), f(1, 1, 2, 2)], {"mode": "cubic"}),
]  # fmt: skip

BY = [scales(1, 1, 2, 3), sizes(1, 2, 7, 9), sizes(1, 2, 3, 1), sizes(1, 2, 10, 4), scales(1, 1, 0.8, 0.5)]


def as_(case, **attributes):
    return (*case[:3], {**case[3], **attributes})


LINEAR = [as_(case, mode="linear", coordinate_transformation_mode=mode) for mode in COORDINATES for case in BY]
KERNELS = [("half_pixel", 0, -0.75), ("half_pixel", 1, -0.5), ("align_corners", 0, -0.75), ("asymmetric", 1, -0.75)]
CUBIC = [
    as_(case, mode="cubic", coordinate_transformation_mode=mode, exclude_outside=exclude, cubic_coeff_a=a)
    for case, (mode, exclude, a) in zip([*BY[:4], *BY], cycle(KERNELS), strict=False)
]
NEAR = [
    as_(case, coordinate_transformation_mode=mode, nearest_mode=nearest)
    for (mode, nearest), case in zip(
        product(COORDINATES, NEAREST),
        cycle([scales(1, 1, 2, 3), sizes(1, 2, 7, 4), sizes(1, 2, 10, 3)]),
        strict=False,
    )
]
OTHERS = [
    scales(1, 1, 2, 1.5, 3, shape=(1, 2, 3, 4, 3), mode="linear"),
    sizes(1, 2, 5, 7, 2, shape=(1, 2, 3, 4, 3), mode="linear", coordinate_transformation_mode="align_corners"),
    scales(1, 1, 2, 2, 2, shape=(1, 2, 3, 4, 3), nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
    scales(1, 1, 2.5, shape=(1, 2, 6), mode="linear"),
    scales(1, 1, 2, shape=(1, 2, 6)),
    sizes(7, 9, shape=(5, 6), mode="linear"),
    sizes(4, 9, opset=18, axes=[3, 2], mode="linear"),
    sizes(8, 8, opset=18, axes=[2, 3], keep_aspect_ratio_policy="not_larger", mode="linear"),
    sizes(8, 8, opset=19, axes=[2, 3], keep_aspect_ratio_policy="not_smaller", mode="cubic"),
    ("Resize", 13, [(1, 2, 5, 6), ROI, None, i(1, 2, 4, 7)], BEYOND),
    ("Resize", 13, [(1, 2, 5, 6), f(0, 0, 0.2, 0.1, 1, 1, 0.9, 0.8), None, i(1, 2, 1, 7)], CROPPED | {"mode": "cubic"}),
    ("Resize", 18, [(1, 2, 5, 6), f(0.1, 0.2, 0.7, 0.9), None, i(4, 3)], CROPPED | {"axes": [2, 3]}),
    ("Resize", 13, [COUNTS, None, f(1, 1, 2, 2)], {}),
    ("Resize", 13, [COUNTS, ROI, None, i(1, 2, 4, 7)], CROPPED | {"extrapolation_value": 7.0}),
    ("Resize", 13, [{"input": R.integers(0, 9, (1, 2, 5, 6)).astype(np.uint8)}, None, None, i(1, 2, 3, 9)], {}),
]  # fmt: skip
# onnxruntime resizes few axes at a time, crops none of scale 1, takes whole sizes for align_corners and
# half_pixel_symmetric, cuts the antialiased kernel at the edge, and is off by 1e-4 of a pixel at the two thousandth.
STANDARD = [
    ("Resize", 13, [(1, 2, 5, 6), f(0, 0, 0.2, 0, 1, 1, 0.6, 1), f(1, 1, 1, 2)], CROPPED),
    sizes(1, 1, 3, 2500, shape=(1, 1, 3, 2000), mode="cubic"),
    sizes(2, 3, 5, 6, mode="linear", shape=(1, 2, 5, 6)),
    sizes(9, shape=(6,), mode="linear"),
    scales(1, 1, 0.7, 0.6, mode="linear", coordinate_transformation_mode="align_corners", opset=19),
    scales(1, 1, 1.3, 0.6, mode="linear", coordinate_transformation_mode="half_pixel_symmetric", opset=19),
    scales(1, 1, 1.3, 0.6, mode="cubic", coordinate_transformation_mode="half_pixel_symmetric", opset=19),
    scales(1, 1, 0.7, 0.4, mode="linear", antialias=1, opset=18),
    sizes(1, 2, 3, 9, mode="linear", antialias=1, opset=18),
    sizes(1, 2, 3, 2, mode="cubic", antialias=1, opset=19),
    sizes(1, 2, 3, 2, mode="cubic", antialias=1, exclude_outside=1, opset=19),
    scales(1, 1, 0.7, 0.6, mode="nearest", coordinate_transformation_mode="half_pixel_symmetric", opset=19),
]
CROPS = [
    ("CenterCropPad", 18, [(7, 5, 4), i(4, 6)], {"axes": [0, -2]}),
    ("CenterCropPad", 18, [(7, 5, 4), i(2, 8, 4)], {}),
    ("AffineGrid", 20, [(2, 2, 3), i(2, 1, 3, 4)], {"align_corners": 1}),
    ("AffineGrid", 20, [(2, 3, 4), i(2, 1, 3, 4, 2)], {}),
]

name = lambda case: "-".join(map(str, [case[1], *case[2][1:], *case[3].values()]))  # noqa: E731
each = pytest.mark.parametrize("case", [*OLD, *LINEAR, *CUBIC, *NEAR, *OTHERS], ids=name)


@each
def test_a_resize_answers_as_onnxruntime_does(held, case):
    held(case, atol=1e-5)


@pytest.mark.parametrize("case", [*STANDARD, *CROPS], ids=name)
def test_where_onnxruntime_differs_or_lacks_it_the_standards_evaluator_decides(held, case):
    held(case, atol=1e-5, oracle="onnx")


@pytest.mark.parametrize("release", ["iOS15", "iOS18"])
@pytest.mark.parametrize("case", [LINEAR[0], LINEAR[1], CUBIC[0], NEAR[0], OTHERS[0], OTHERS[3]], ids=name)
def test_every_release_answers_the_same(held, case, release):
    held(case, atol=1e-5, deployment_target=release)


@pytest.mark.parametrize("release", ["iOS13", "iOS14"])
@pytest.mark.parametrize("case", [OLD[0], *LINEAR[:3], LINEAR[11], CUBIC[1], NEAR[0], NEAR[1], OTHERS[3]], ids=name)
def test_a_neural_network_answers_the_same(held, case, release):
    held(case, atol=1e-5, format="mlmodel", deployment_target=release)


@pytest.mark.parametrize("case", [LINEAR[0], LINEAR[1], CUBIC[0], CUBIC[1], NEAR[0], NEAR[1], OTHERS[0]], ids=name)
def test_float16_keeps_its_digits(held, case):
    held(case, rtol=4e-3, atol=4e-3, compute_precision="float16")


REFUSED = [
    (("Resize", 13, [{"input": np.ones((1, 1, 4, 4), np.int32)}, None, f(1, 1, 2, 2)], {"mode": "linear"}), "integers"),
    (("Resize", 13, [(1, 1, 4, 4), None, {"input": f(1, 1, 2, 2)}], {}), "'scales' must be known at conversion"),
]


@pytest.mark.parametrize(("case", "reason"), REFUSED)
def test_what_cannot_be_resized_is_said(held, case, reason):
    with pytest.raises(UnsupportedOpsError, match=reason):
        held(case)


def test_the_oldest_upsample_scales_height_and_width(answer):
    nodes = [helper.make_node("Upsample", ["x"], ["y"], height_scale=2.0, width_scale=3.0)]
    values = [helper.make_tensor_value_info(*value) for value in (("x", 1, (1, 2, 3, 4)), ("y", 1, (1, 2, 6, 12)))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 6)], ir_version=8
    )
    x = R.normal(size=(1, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(answer(model, {"x": x})[0], x.repeat(2, 2).repeat(3, 3))


FLEXIBLE = [
    (f(1, 1, 2, 3), None, {}),
    (f(1, 1, 2, 1), None, {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}),
    (f(1, 1, 2, 3), None, {"mode": "linear"}),
    (f(1, 1, 2, 2), None, {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    (f(1, 1, 2, 3), None, {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
    (None, i(1, 2, 9, 4), {"mode": "linear"}),
    (None, i(1, 2, 9, 1), {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
]


def flexible(scales, sizes, attributes):
    """[1, 2, height, width], both sides as large as the picture."""
    given = {"scales": scales, "sizes": sizes}
    names = ["x", "", *(name if value is not None else "" for name, value in given.items())]
    nodes = [helper.make_node("Resize", names, ["y"], **attributes)]
    values = [helper.make_tensor_value_info(name, 1, (1, 2, *sides)) for name, sides in (("x", "hw"), ("y", "ab"))]
    constants = [numpy_helper.from_array(value, name) for name, value in given.items() if value is not None]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(("scales", "sizes", "attributes"), FLEXIBLE)
def test_pictures_of_any_size_are_resized_by_whole_factors_or_to_a_size(tmp_path, reference, scales, sizes, attributes):
    model = flexible(scales, sizes, attributes)
    bounds = {"h": Range(lower=2, upper=16, default=4), "w": Range(lower=2, upper=16, default=4)}
    converter.convert_onnx(model, tmp_path / "m.mlpackage", shapes=bounds, compute_precision="float32")
    converted = converter.load_model(tmp_path / "m.mlpackage", compute="float32")
    for sides in ((4, 4), (3, 7), (16, 5)):
        x = R.normal(size=(1, 2, *sides)).astype(np.float32)
        np.testing.assert_allclose(
            converted.predict({"x": x})["y"], reference(model, {"x": x})[0], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("scales", "sizes", "attributes", "reason"),
    [
        (f(1, 1, 1.5, 2), None, {}, "not whole"),
        (f(1, 2, 2, 2), None, {}, "other than height and width"),
        (f(1, 1, 2, 2), None, {"mode": "cubic"}, "only for fixed sizes"),
        (None, i(1, 2, 9, 4), {}, "only for fixed sizes"),
    ],
)
def test_what_needs_the_size_of_a_flexible_picture_is_refused(tmp_path, scales, sizes, attributes, reason):
    bounds = {"h": Range(lower=2, upper=16, default=4), "w": Range(lower=2, upper=16, default=4)}
    with pytest.raises(UnsupportedOpsError, match=reason):
        converter.convert_onnx(flexible(scales, sizes, attributes), tmp_path / "m.mlpackage", shapes=bounds)


def as_large_as_another(**attributes):
    """[1, 2, h, w] resized to the height and width of [1, 3, a, b], as exporters write it."""
    nodes = [
        helper.make_node("Shape", ["like"], ["sides"], start=2),
        helper.make_node("Concat", ["kept", "sides"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes),
    ]
    shapes = {"x": (1, 2, "h", "w"), "like": (1, 3, "a", "b"), "y": (1, 2, "a", "b")}
    values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "g", values[:2], values[2:], [numpy_helper.from_array(i(1, 2), "kept")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


COMPUTED = [
    {"mode": "linear"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
]


@pytest.mark.parametrize("attributes", COMPUTED)
def test_a_picture_is_resized_to_the_size_of_another(tmp_path, reference, attributes):
    model = as_large_as_another(**attributes)
    bounds = {dim: Range(lower=2, upper=16, default=4) for dim in "hwab"}
    converter.convert_onnx(
        model, tmp_path / "m.mlpackage", shapes=bounds, compute_precision="float32", deployment_target="iOS17"
    )
    converted = converter.load_model(tmp_path / "m.mlpackage", compute="float32")
    for sides in ((4, 4, 4, 4), (3, 7, 9, 5), (16, 5, 2, 16)):
        given = {
            "x": R.normal(size=(1, 2, *sides[:2])).astype(np.float32),
            "like": np.zeros((1, 3, *sides[2:]), np.float32),
        }
        np.testing.assert_allclose(converted.predict(given)["y"], reference(model, given)[0], rtol=1e-5, atol=1e-5)


def test_before_ios17_pictures_are_not_interpolated_to_a_flexible_size(tmp_path):
    bounds = {dim: Range(lower=2, upper=16, default=4) for dim in "hwab"}
    with pytest.raises(UnsupportedOpsError, match="iOS17"):
        converter.convert_onnx(as_large_as_another(mode="linear"), tmp_path / "m.mlpackage", shapes=bounds)
