"""Integers that wrap around, are divided, and meet floats; held to onnxruntime or ONNX's reference."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

R = np.random.default_rng(7)
NARROW = ["uint8", "int8", "uint16", "int16"]


def numbers(dtype, *shape):
    limits = np.iinfo(dtype)
    return R.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def small(dtype, *shape):
    """Not zero, and products of two fit int32."""
    values = R.integers(1, 100, shape).astype(dtype)
    return np.where(R.random(shape) < 0.5, -values, values).astype(dtype) if dtype.startswith("int") else values


def run_time(array):
    return {"input": np.asarray(array)}


@pytest.mark.parametrize("op", ["Asinh", "Acosh"])
def test_inverse_hyperbolics_of_large_numbers_in_float16(op, held):
    x = run_time(np.array([1.5, 20, 300, 6e4], np.float32))
    held((op, 9, [x], {}), compute_precision="float16", rtol=2e-3)


@pytest.mark.parametrize("op", ["Log", "LogSoftmax", "ReduceLogSum"])
@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
def test_a_logarithm_of_a_small_number_adds_nothing_to_it(op, format, held):
    """A NeuralNetwork's layer adds 1e-6 unless it is told otherwise."""
    x = run_time(np.array([[1e-30, 1e-12], [1e-7, 1]], np.float32))
    held((op, 13, [x], {}), format=format, deployment_target="iOS14" if format == "mlmodel" else "iOS16", rtol=1e-5)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_narrow_integers_wrap_around(op, dtype, held):
    x, y = numbers(dtype, 4, 50), numbers(dtype, 50)
    held((op, 14, [run_time(x), run_time(y)], {}), oracle="reference")
    held((op, 14, [run_time(x), y], {}), oracle="reference")
    held((op, 14, [y, run_time(x)], {}), oracle="reference")


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", ["Abs", "Neg"])
def test_the_lowest_number_stays_what_it_is(op, dtype, held):
    lowest = np.iinfo(dtype).min
    held((op, 13, [run_time(np.array([lowest, lowest + 1, -3, 0, 5], dtype))], {}), oracle="reference")


@pytest.mark.parametrize("dtype", [*NARROW, "int32", "int64"])
def test_quotients_are_rounded_towards_zero(dtype, held):
    x, y = small(dtype, 4, 30), small(dtype, 30)
    held(("Div", 14, [run_time(x), run_time(y)], {}), oracle="reference" if dtype in NARROW else "onnxruntime")
    held(("Div", 14, [run_time(x), y], {}), oracle="reference" if dtype in NARROW else "onnxruntime")
    held(("Div", 14, [x, run_time(y)], {}), oracle="reference" if dtype in NARROW else "onnxruntime")


@pytest.mark.parametrize("dtype", [*NARROW, "int32", "int64"])
@pytest.mark.parametrize("fmod", [0, 1])
def test_remainders_of_integers(dtype, fmod, held):
    x, y = small(dtype, 4, 30), small(dtype, 30)
    for operands in ([run_time(x), run_time(y)], [run_time(x), y], [x, run_time(y)]):
        held(("Mod", 13, operands, {"fmod": fmod}))


def test_remainders_of_floats_have_the_dividends_sign(held):
    x, y = (R.uniform(-9, 9, shape).astype(np.float32) for shape in ((4, 30), (30,)))
    for operands in ([run_time(x), run_time(y)], [run_time(x), y], [x, run_time(y)]):
        held(("Mod", 13, operands, {"fmod": 1}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("base", "exponent"),
    [
        ("float32", "float32"),
        ("float32", "int32"),
        ("float32", "int64"),
        ("int32", "float32"),
        ("int64", "float32"),
        ("int32", "int32"),
        ("int64", "int64"),
    ],
)
def test_powers_are_of_the_bases_type(base, exponent, known, held):
    x = R.integers(1, 7, (3, 5)).astype(base)
    y = np.array([0, 1, 2, 3, 4], exponent) if "int" in exponent else np.array([0.5, 1.5, 2, 3, 0.25], exponent)
    held(("Pow", 15, [run_time(x), y if known else run_time(y)], {}))


def test_an_integer_to_a_negative_power_is_cut_off(held):
    held(("Pow", 15, [run_time(np.array([1, 2, -1, 5], np.int32)), np.array([-1, -2, -3, -1], np.int32)], {}))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_integers_are_clipped_and_compared(dtype, held):
    x = run_time(numbers("int8" if dtype == "int8" else "uint8", 3, 9).astype(dtype))
    held(("Clip", 12, [x, np.array(3, dtype), np.array(90, dtype)], {}))
    held(("Clip", 12, [x, None, run_time(np.array([90], dtype).reshape(()))], {}))
    held(("Max", 13, [x, np.array([20], dtype), run_time(small(dtype, 9))], {}))
    held(("Min", 13, [x, run_time(small(dtype, 9))], {}))


def test_bounds_that_cross_leave_the_upper_one(held):
    held(("Clip", 13, [(3, 4), np.array(1.0, np.float32), np.array(-1.0, np.float32)], {}), oracle="reference")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("op", "formula", "dtype"),
    [
        ("Add", np.add, "float32"),
        ("Sub", np.subtract, "float32"),
        ("Mul", np.multiply, "int32"),
        ("Div", np.divide, "float32"),
        ("Div", np.floor_divide, "int32"),
        ("Pow", np.power, "float32"),
    ],
)
def test_before_opset_7_operands_are_broadcast_from_an_axis(op, formula, dtype, known, answer):
    """onnxruntime begins at opset 7; numpy says what is meant."""
    x, y = R.uniform(1, 9, (2, 3, 4, 5)).astype(dtype), R.uniform(1, 3, (3, 4)).astype(dtype)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [helper.make_tensor_value_info(name, element, v.shape) for name, v in (("x", x), ("y", y))]
    node = helper.make_node(op, ["x", "y"], ["z"], axis=1, broadcast=1)
    output = helper.make_tensor_value_info("z", element, x.shape)
    constants = [numpy_helper.from_array(y, "y")] if known else []
    graph = helper.make_graph([node], "case", inputs[: 1 if known else 2], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=10)
    (got,) = answer(model, {"x": x, "y": y})
    np.testing.assert_allclose(got, formula(x, y[None, :, :, None]), rtol=1e-5)


@pytest.mark.parametrize(
    ("op", "opset", "attributes"),
    [("Swish", 24, {"alpha": 1.5}), ("Swish", 24, {}), ("SwiGLU", 28, {"alpha": 0.5}), ("Mish", 22, {})],
)
def test_newer_activations(op, opset, attributes, held):
    held((op, opset, [(2, 3, 4)] * (2 if op == "SwiGLU" else 1), attributes), oracle="reference")


@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
@pytest.mark.parametrize(
    "case",
    [
        ("Mod", 13, [(2, 5), np.array([0.7], np.float32)], {"fmod": 1}),
        ("Pow", 15, [{"input": R.uniform(1, 2, (2, 5)).astype(np.float32)}, np.array([3.0], np.float32)], {}),
        ("Div", 14, [(2, 5), {"input": R.uniform(1, 2, (2, 5)).astype(np.float32)}], {}),
        ("Clip", 13, [(2, 5), np.array(-1.0, np.float32), np.array(0.5, np.float32)], {}),
        ("HardSwish", 14, [(2, 5)], {}),
    ],
    ids=lambda case: case[0],
)
def test_both_formats(case, format, held):
    held(case, format=format, deployment_target="iOS14" if format == "mlmodel" else "iOS15", rtol=1e-4)
