"""com.microsoft on quantized numbers, and on weights of a few bits. onnxruntime's kernels answer.

The scales are chosen so that no result lies halfway between two levels: there onnxruntime's own kernels differ.
"""

import ml_dtypes
import numpy as np
import pytest

R = np.random.default_rng(5)
u8 = lambda *shape: R.integers(0, 256, shape).astype(np.uint8)  # noqa: E731
i8 = lambda *shape: R.integers(-128, 128, shape).astype(np.int8)  # noqa: E731
# Weights of 7 bits: on processors without VNNI onnxruntime adds two products of uint8 and int8 in 16 bits, saturated.
i7 = lambda *shape: R.integers(-64, 64, shape).astype(np.int8)  # noqa: E731
f = lambda *values: np.array(values[0] if len(values) == 1 else values, np.float32)  # noqa: E731
given = lambda array: {"input": array}  # noqa: E731


def case(op, *operands, **attributes):
    kinds = "-".join(str(next(iter(o.values())).dtype if isinstance(o, dict) else "") for o in operands[:1])
    return pytest.param((op, 1, list(operands), attributes, 1, "com.microsoft"), id=f"{op}-{kinds}-{attributes}")


def levels(draw, dtype):
    """The cases whose levels are drawn so, of the type `dtype`."""
    z = lambda value: np.array(value, dtype)  # noqa: E731
    a, b = [given(draw(2, 30)), f(0.1), z(12)], [f(0.07), z(5)]
    picture, last = given(draw(2, 3, 6, 6)), given(draw(2, 6, 6, 3))
    pooled = [f(0.03217), z(12), f(0.02371), z(9)]
    return [
        case("QLinearAdd", *a, given(draw(2, 30)), *b, f(0.2183), z(3)),
        case("QLinearAdd", *a, draw(30), *b, f(0.2183), z(3)),
        case("QLinearMul", *a, given(draw(2, 30)), *b, f(0.9137), z(3)),
        case("QLinearSigmoid", given(draw(2, 30)), f(0.03), z(12), f(1 / 256), z(0)),
        case("QLinearLeakyRelu", given(draw(2, 30)), f(0.03), z(12), f(0.0513), z(7), alpha=0.2),
        case("QLinearSoftmax", given(draw(2, 3, 10)), f(0.03), z(12), f(1 / 256), z(0), axis=1, opset=12),
        case("QLinearSoftmax", given(draw(2, 3, 10)), f(0.03), z(12), f(1 / 256), z(0), axis=1, opset=13),
        case("QLinearGlobalAveragePool", picture, *pooled),
        case("QLinearGlobalAveragePool", last, *pooled, channels_last=1),
        case("QLinearAveragePool", picture, *pooled, kernel_shape=[2, 2]),
        case("QLinearAveragePool", picture, *pooled, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        case("QLinearAveragePool", last, *pooled, kernel_shape=[2, 3], channels_last=1),
        case(
            "QLinearConcat", f(0.02), z(9), given(draw(2, 3)), f(0.03), z(1), given(draw(2, 4)), f(0.01), z(4), axis=1
        ),
        case(
            "QLinearWhere",
            given(R.random((2, 3)) > 0.5),
            given(draw(2, 3)),
            f(0.03),
            z(1),
            given(draw(2, 3)),
            f(0.01),
            z(4),
            f(0.0213),
            z(9),
        ),
        case("QuantizeLinear", given(R.standard_normal((2, 3)).astype(np.float32)), f(0.03), z(1)),
    ]


LEVELS = (
    levels(u8, np.uint8)
    + levels(i8, np.int8)
    + [
        case(
            "QLinearConv",
            given(u8(1, 6, 6, 3)),
            f(0.031),
            np.array(5, np.uint8),
            i7(4, 3, 3, 3),
            R.random(4).astype(np.float32),
            np.zeros(4, np.int8),
            f(0.913),
            np.array(9, np.uint8),
            channels_last=1,
        ),
        case(
            "QGemm",
            given(u8(4, 8)),
            f(0.031),
            np.array(1, np.uint8),
            i7(8, 5),
            f(0.021),
            np.array(3, np.int8),
            np.array([-99, 7, 0, 1, 50], np.int32),
            f(0.213),
            np.array(9, np.uint8),
        ),
        case(
            "QGemm",
            given(u8(8, 4)),
            f(0.031),
            np.array(1, np.uint8),
            i7(5, 8),
            R.random(5).astype(np.float32),
            np.zeros(5, np.int8),
            None,
            f(0.913),
            np.array(9, np.uint8),
            transA=1,
            transB=1,
            alpha=0.5,
        ),
    ]
)
REAL = [
    case("DequantizeLinear", given(u8(2, 3)), f(0.03), np.array(7, np.uint8)),
    case("QGemm", given(u8(4, 8)), f(0.031), np.array(1, np.uint8), i7(8, 5), f(0.021), np.array(3, np.int8)),
    case(
        "MatMulIntegerToFloat",
        given(u8(4, 8)),
        i7(8, 5),
        f(0.03),
        R.random(5).astype(np.float32),
        np.array(4, np.uint8),
        i7(5),
        f(1, 2, 3, 4, 5),
    ),
    case("MatMulIntegerToFloat", given(i8(2, 4, 8)), i7(8, 5), given(f(0.03)), f(0.1), given(np.array(4, np.int8))),
    case(
        "QAttention",
        given(u8(2, 5, 16)),
        i7(16, 48),
        R.random(48).astype(np.float32),
        f(0.03),
        f(0.02),
        given(np.array([3, 5], np.int32)),
        np.array(120, np.uint8),
        np.array(3, np.int8),
        num_heads=4,
    ),
    case(
        "QAttention",
        given(u8(2, 5, 16)),
        i7(16, 48),
        R.random(48).astype(np.float32),
        given(f(0.03)),
        R.random(48).astype(np.float32) / 20,
        None,
        given(np.array(120, np.uint8)),
        np.zeros(48, np.int8),
        num_heads=4,
        unidirectional=1,
    ),
    case("DynamicQuantizeMatMul", (4, 8), i7(8, 5), f(0.1), np.array(4, np.int8), f(1, 2, 3, 4, 5)),
    case("DynamicQuantizeMatMul", (2, 4, 8), u8(8, 5), R.random(5).astype(np.float32), u8(5)),
]


def bits(count, columns, size, zeros=None, bias=None, rows=6):
    """A MatMulNBits of `rows` outputs."""
    blocks = -(-columns // size)
    zero = {
        "packed": u8(rows, -(-blocks * count // 8)),
        "float": R.random((rows, blocks)).astype(np.float32) * 2**count,
    }
    scales = R.random((rows, blocks)).astype(np.float32)
    operands = [(3, columns), u8(rows, blocks, size * count // 8), scales, zero.get(zeros), None, bias]
    return case("MatMulNBits", *operands, K=columns, N=rows, bits=count, block_size=size)


FEW_BITS = [
    bits(2, 64, 16),
    bits(4, 64, 16),
    bits(8, 64, 16),
    bits(2, 64, 16, "packed"),
    bits(4, 64, 32, "packed"),
    bits(8, 64, 16, "packed"),
    bits(2, 64, 16, "float"),
    bits(4, 64, 16, "float"),
    bits(4, 40, 16),
    bits(4, 20, 32, "packed"),
    bits(4, 64, 16, bias=f(1, 2, 3, 4, 5, 6)),
    case(
        "GatherBlockQuantized",
        R.integers(-8, 8, (10, 32)).astype(ml_dtypes.int4),
        given(R.integers(0, 10, (2, 3))),
        R.random((10, 2)).astype(np.float32),
        R.integers(-8, 8, (10, 2)).astype(ml_dtypes.int4),
        block_size=16,
    ),
    case(
        "GatherBlockQuantized",
        u8(10, 16),
        given(R.integers(0, 10, (2, 3))),
        R.random((10, 2)).astype(np.float32),
        u8(10, 1),
        block_size=16,
    ),
    case(
        "GatherBlockQuantized",
        u8(10, 32),
        given(R.integers(-10, 10, 4)),
        R.random((10, 2)).astype(np.float32),
        block_size=16,
        bits=8,
    ),
]
RELEASES = ["iOS15", "iOS16", "iOS18"]


@pytest.mark.parametrize("node", LEVELS)
@pytest.mark.parametrize("release", ["iOS15", "iOS17"])
def test_levels_are_onnxruntimes(held, node, release):
    held(node, rtol=0, atol=0, deployment_target=release)


@pytest.mark.parametrize("node", LEVELS)
def test_levels_in_float16_are_at_most_one_off(held, node):
    held(node, rtol=0, atol=1, deployment_target="iOS17", compute_precision="float16")


@pytest.mark.parametrize("node", REAL + FEW_BITS)
@pytest.mark.parametrize("release", RELEASES)
def test_real_numbers_are_onnxruntimes(held, node, release):
    held(node, rtol=1e-5, atol=2e-4, deployment_target=release)


@pytest.mark.parametrize(
    ("release", "operations"),
    [("iOS15", ["linear"]), ("iOS18", ["constexpr_blockwise_shift_scale", "linear"])],
)
@pytest.mark.parametrize("node", FEW_BITS[:3])
def test_weights_of_a_few_bits_stay_small_from_ios18_on(built, node, release, operations):
    assert built(node, deployment_target=release) == operations
