"""Quantized operators, level by level, in every way that a target can say them."""

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

R = np.random.default_rng(3)
u8 = lambda *shape: R.integers(0, 256, shape).astype(np.uint8)  # noqa: E731
i8 = lambda *shape: R.integers(-128, 128, shape).astype(np.int8)  # noqa: E731
# Weights of 7 bits: on processors without VNNI onnxruntime adds two products of uint8 and int8 in 16 bits, saturated.
i7 = lambda *shape: R.integers(-64, 64, shape).astype(np.int8)  # noqa: E731
real = lambda *shape: {"input": (R.standard_normal(shape) * 3).astype(np.float32)}  # noqa: E731
run_time = lambda array: {"input": array}  # noqa: E731
f = lambda *values: np.array(values[0] if len(values) == 1 else values, np.float32)  # noqa: E731
zero = lambda dtype, *values: np.array(values[0] if len(values) == 1 else values, dtype)  # noqa: E731

# Every half, so that ties show: they go to the even neighbour.
HALVES = run_time((np.arange(-12, 13) / 2 + 0.0).astype(np.float32).reshape(5, 5))
FAR = run_time(np.array([[-1e9, 1e9, -0.0, 3.3e4]], np.float32))

QUANTIZE = [
    ("QuantizeLinear", 10, [HALVES, f(1.0)], {}),
    ("QuantizeLinear", 10, [HALVES, f(1.0), zero(np.uint8, 3)], {}),
    ("QuantizeLinear", 13, [HALVES, f(0.5), zero(np.int8, -7)], {}),
    ("QuantizeLinear", 13, [FAR, f(0.5), zero(np.int8, 5)], {}),
    ("QuantizeLinear", 13, [real(2, 3, 4), f(0.01, 0.02, 0.1), zero(np.uint8, 1, 200, 30)], {}),
    ("QuantizeLinear", 13, [real(2, 3, 4), f(0.01, 0.02), zero(np.int8, 1, -20)], {"axis": -3}),
    ("QuantizeLinear", 13, [real(2, 3, 4), run_time(f(0.03)), run_time(zero(np.uint8, 9))], {}),
    ("QuantizeLinear", 13, [real(2, 3), run_time(f(0.03, 0.1, 0.2)), run_time(zero(np.int8, 9, 1, 0))], {"axis": 1}),
    ("QuantizeLinear", 21, [real(2, 8), f(0.01)], {"output_dtype": TensorProto.INT8}),
    ("QuantizeLinear", 21, [real(2, 3), f(0.0001), zero(np.uint16, 3000)], {}),
    ("QuantizeLinear", 21, [real(2, 3), f(0.0001), zero(np.int16, -30)], {}),
    ("QuantizeLinear", 21, [real(2, 8), R.random((2, 2)).astype(np.float32), u8(2, 2)], {"block_size": 4, "axis": 1}),
    ("QuantizeLinear", 21, [real(4, 3), run_time(R.random((2, 3)).astype(np.float32))], {"block_size": 2, "axis": 0}),
]
DEQUANTIZE = [
    ("DequantizeLinear", 10, [run_time(u8(3, 4)), f(0.02)], {}),
    ("DequantizeLinear", 10, [run_time(u8(3, 4)), f(0.02), zero(np.uint8, 7)], {}),
    ("DequantizeLinear", 13, [run_time(i8(2, 3, 4)), f(0.01, 0.02, 0.5), zero(np.int8, 1, -2, 3)], {}),
    ("DequantizeLinear", 13, [run_time(i8(2, 3)), run_time(f(0.01, 0.02)), run_time(i8(2))], {"axis": 0}),
    ("DequantizeLinear", 13, [run_time(R.integers(-9999, 9999, (2, 3), np.int32)), f(0.01)], {}),
    ("DequantizeLinear", 21, [run_time(zero(np.uint16, [0, 9, 65535])), f(1e-4), zero(np.uint16, 9)], {}),
    ("DequantizeLinear", 21, [run_time(i8(2, 8)), R.random((2, 2)).astype(np.float32)], {"block_size": 4, "axis": 1}),
]  # fmt: skip
QLINEAR = [
    ("QLinearConv", 10, [run_time(u8(1, 3, 6, 6)), f(0.031), zero(np.uint8, 5), i7(4, 3, 3, 3), f(0.02, 0.1, 0.3, 0.01),
                         zero(np.int8, 0, 0, 0, 0), f(0.913), zero(np.uint8, 9), zero(np.int32, -999, 0, 7, 999)], {}),
    ("QLinearConv", 10, [run_time(u8(1, 4, 5)), f(0.031), zero(np.uint8, 5), u8(4, 2, 3), f(0.021), zero(np.uint8, 99),
                         f(0.413), zero(np.uint8, 90)], {"group": 2, "pads": [1, 1]}),
    ("QLinearConv", 10, [run_time(u8(1, 3, 6, 6)), run_time(f(0.031)), run_time(zero(np.uint8, 5)),
                         run_time(u8(4, 3, 3, 3)), f(0.017), zero(np.uint8, 99), f(0.913), zero(np.uint8, 9),
                         zero(np.int32, -99, 0, 7, 99)], {}),
    ("QLinearMatMul", 10, [run_time(u8(2, 3, 8)), f(0.031), zero(np.uint8, 5), i7(8, 4), f(0.021), zero(np.int8, 3),
                           f(0.313), zero(np.uint8, 90)], {}),
    ("QLinearMatMul", 10, [run_time(u8(3, 8)), f(0.031), zero(np.uint8, 5), u8(8, 4), f(0.02, 0.1, 0.3, 0.01),
                           zero(np.uint8, 9, 8, 7, 6), f(0.713), zero(np.uint8, 90)], {}),
    ("QLinearMatMul", 10, [run_time(u8(2, 3, 8)), f(0.031), zero(np.uint8, 5), run_time(u8(2, 8, 4)), f(0.021),
                           zero(np.uint8, 130), f(0.313), zero(np.uint8, 90)], {}),
]  # fmt: skip
INTEGER = [
    ("MatMulInteger", 10, [run_time(u8(3, 8)), u8(8, 4)], {}),
    ("MatMulInteger", 10, [run_time(u8(2, 3, 8)), i8(8, 4), zero(np.uint8, 12), i8(4)], {}),
    ("MatMulInteger", 10, [run_time(u8(3, 8)), run_time(u8(8, 4)), run_time(zero(np.uint8, 2)), zero(np.uint8, 3)], {}),
    ("MatMulInteger", 10, [run_time(u8(2, 3, 8)), run_time(i8(2, 8, 4)), zero(np.uint8, 3)], {}),
    ("MatMulInteger", 10, [run_time(np.full((2, 900), 255, np.uint8)), np.full((900, 3), 255, np.uint8)], {}),
    ("MatMulInteger", 10, [run_time(u8(2, 900)), run_time(np.full((900, 3), -127, np.int8))], {}),
    ("ConvInteger", 10, [run_time(u8(1, 3, 6, 6)), u8(4, 3, 3, 3), zero(np.uint8, 7), zero(np.uint8, 9)], {}),
    ("ConvInteger", 10, [run_time(u8(1, 3, 6, 6)), u8(4, 3, 3, 3), zero(np.uint8, 7)], {"pads": [1, 1, 1, 1]}),
    ("ConvInteger", 10, [run_time(u8(1, 4, 6, 6)), u8(4, 2, 3, 3), zero(np.uint8, 7)], {"group": 2, "strides": [2, 2]}),
    ("ConvInteger", 10, [run_time(u8(1, 3, 6, 6)), run_time(u8(4, 3, 3, 3)), zero(np.uint8, 7), zero(np.uint8, 4)], {}),
    ("ConvInteger", 10, [run_time(np.full((1, 90, 4, 4), 255, np.uint8)), np.full((2, 90, 3, 3), 255, np.uint8)], {}),
]  # fmt: skip
DYNAMIC = [
    ("DynamicQuantizeLinear", 11, [real(3, 4)], {}, 3),
    ("DynamicQuantizeLinear", 11, [run_time(np.array([1, 2, 3], np.float32))], {}, 3),
    ("DynamicQuantizeLinear", 11, [run_time(np.array([[-1, -2, -3]], np.float32))], {}, 3),
    ("DynamicQuantizeLinear", 11, [run_time(np.zeros((2, 2), np.float32))], {}, 3),
    ("DynamicQuantizeLinear", 11, [run_time(np.array([[-3e-6, 4e-6]], np.float32))], {}, 3),
]
RELEASES = ["iOS15", "iOS16", "iOS17", "iOS18"]
name = lambda case: f"{case[0]}-{case[1]}-{case[3]}"  # noqa: E731


@pytest.mark.parametrize("case", QUANTIZE + QLINEAR, ids=name)
@pytest.mark.parametrize("release", RELEASES)
def test_levels_are_onnxruntimes_to_the_last(held, case, release):
    held(case, rtol=0, atol=0, deployment_target=release)


@pytest.mark.parametrize("case", INTEGER, ids=name)
@pytest.mark.parametrize("release", RELEASES)
def test_integer_products_are_onnxs_to_the_last(held, case, release):
    held(case, rtol=0, atol=0, oracle="onnx", deployment_target=release)


@pytest.mark.parametrize("case", DEQUANTIZE + DYNAMIC, ids=name)
@pytest.mark.parametrize("release", RELEASES)
def test_real_numbers_are_onnxruntimes(held, case, release):
    held(case, rtol=1e-6, atol=0, deployment_target=release)


@pytest.mark.parametrize("case", INTEGER, ids=name)
def test_integer_products_stay_exact_in_a_float16_program(held, case):
    held(case, rtol=0, atol=0, oracle="onnx", compute_precision="float16")


@pytest.mark.parametrize("case", QUANTIZE + QLINEAR, ids=name)
@pytest.mark.parametrize("release", ["iOS16", "iOS17"])
def test_levels_in_float16_are_at_most_a_few_off(held, case, release):
    levels = 40 if "16" in str(case[2][-1].dtype if hasattr(case[2][-1], "dtype") else "") else 1
    held(case, rtol=0, atol=levels, deployment_target=release, compute_precision="float16")


@pytest.mark.parametrize(
    "case", [QUANTIZE[1], QUANTIZE[4], DEQUANTIZE[1], DEQUANTIZE[2], QLINEAR[0], QLINEAR[3]], ids=name
)
def test_a_neural_network_computes_levels_in_floats(held, case):
    held(case, rtol=1e-6, atol=0, format="mlmodel", deployment_target="iOS14")


@pytest.mark.parametrize(
    ("release", "operations"),
    [("iOS16", ["real_div", "round", "add", "clip", "cast"]), ("iOS17", ["quantize", "cast"])],
)
def test_quantize_is_core_mls_own_from_ios17_on(built, release, operations):
    assert built(QUANTIZE[1], deployment_target=release) == operations


BLOCKS = {"axis": 0, "block_size": 4}
WEIGHTS = [
    (i8(8, 6), f(0.02), zero(np.int8, 3), {}),
    (u8(8, 6), R.random(6).astype(np.float32), u8(6), {"axis": 1}),
    (R.integers(-8, 8, (8, 6)).astype(ml_dtypes.int4), R.random(8).astype(np.float32), None, {"axis": 0}),
    (R.integers(0, 16, (8, 6)).astype(ml_dtypes.uint4), R.random((2, 6)).astype(np.float32), None, BLOCKS),
    (i8(8, 6), R.random((2, 6)).astype(np.float32), i8(2, 6), BLOCKS),
]  # fmt: skip


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda weights: f"{weights[0].dtype.name}-{weights[3]}")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_quantized_weight_counts_as_its_floats(answer, quantized_product, release, weights, precision):
    model, inputs = quantized_product(*weights)
    (wanted,) = ReferenceEvaluator(model).run(None, inputs)  # onnxruntime rounds x beside 4 bits
    (got,) = answer(model, inputs, deployment_target=release, compute_precision=precision)
    tolerance = 2e-6 if precision == "float32" else 2e-3
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
