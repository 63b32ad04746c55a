# ruff: noqa: E501  one line a case
"""Pools of one to three axes in every padding; their indices, and the way back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

R = np.random.default_rng(1)
value = lambda *shape, low=-2, high=2: {"input": R.uniform(low, high, shape).astype(np.float32)}  # noqa: E731
# Many equal values: of equals the first is told.
steps = lambda *shape, dtype=np.float32: {"input": R.integers(-3, 4, shape).astype(dtype)}  # noqa: E731
unsigned = {"input": R.integers(0, 256, (1, 2, 5, 5)).astype(np.uint8)}

CASES = [
    ("MaxPool", 1, [(1, 2, 7)], {"kernel_shape": [3]}),
    ("MaxPool", 8, [(1, 2, 7, 6)], {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 0, 0, 2]}),
    ("MaxPool", 11, [(1, 2, 7, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("MaxPool", 22, [(1, 2, 5, 6, 7)], {"kernel_shape": [2, 3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 1, 2]}),
    ("MaxPool", 12, [(1, 2, 9, 8)], {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 2, 0]}),
    ("MaxPool", 12, [(1, 2, 9)], {"kernel_shape": [3], "dilations": [2], "strides": [3], "ceil_mode": 1}),
    ("MaxPool", 12, [(1, 2, 7, 6, 7)], {"kernel_shape": [2, 2, 3], "dilations": [2, 1, 2], "pads": [1] * 6}),
    ("MaxPool", 12, [unsigned], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("MaxPool", 12, [steps(1, 2, 5, 5, dtype=np.int8)], {"kernel_shape": [2, 2], "dilations": [2, 2]}),
    ("MaxPool", 8, [steps(2, 2, 6, 5)], {"kernel_shape": [3, 2], "strides": [2, 1]}, 2),
    ("MaxPool", 11, [steps(2, 2, 6, 5)], {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], "strides": [2, 2]}, 2),
    ("MaxPool", 11, [steps(1, 2, 6, 5)], {"kernel_shape": [2, 2], "storage_order": 1, "strides": [2, 2]}, 2),
    ("MaxPool", 11, [steps(1, 2, 7)], {"kernel_shape": [3], "dilations": [2], "ceil_mode": 1, "strides": [2]}, 2),
    ("MaxPool", 12, [steps(1, 2, 4, 5, 3)], {"kernel_shape": [2, 2, 2], "storage_order": 1}, 2),
    ("AveragePool", 7, [(1, 2, 7)], {"kernel_shape": [3], "pads": [1, 2]}),
    ("AveragePool", 7, [(1, 2, 7, 6)], {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "count_include_pad": 1}),
    ("AveragePool", 10, [(1, 2, 7, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1] * 4}),
    ("AveragePool", 19, [(1, 2, 8, 6)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1, "pads": [1] * 4}),
    ("AveragePool", 11, [(1, 2, 5, 6)], {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER", "strides": [2, 1]}),
    ("AveragePool", 11, [(1, 2, 5, 6)], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "count_include_pad": 1}),
    ("AveragePool", 11, [(1, 2, 5, 6, 4)], {"kernel_shape": [2, 3, 2], "pads": [0, 1, 1, 1, 1, 0], "strides": [2, 1, 2]}),
    ("AveragePool", 22, [(1, 2, 9, 8)], {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 2, 0]}),
    ("AveragePool", 19, [(1, 2, 9, 8)], {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 2, 0], "count_include_pad": 1}),
    ("AveragePool", 19, [(1, 2, 9)], {"kernel_shape": [3], "dilations": [2], "strides": [3], "ceil_mode": 1}),
    ("AveragePool", 19, [(1, 2, 7, 6, 7)], {"kernel_shape": [2, 2, 3], "dilations": [2, 1, 2]}),
    ("LpPool", 2, [(1, 2, 7)], {"kernel_shape": [3], "pads": [1, 1]}),
    ("LpPool", 11, [(1, 2, 7, 6)], {"kernel_shape": [3, 2], "p": 1, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("LpPool", 18, [(1, 2, 7, 6)], {"kernel_shape": [3, 2], "p": 3, "pads": [1, 0, 2, 1], "dilations": [2, 1]}),
    ("LpPool", 18, [(1, 2, 7, 6)], {"kernel_shape": [2, 2], "p": 2, "dilations": [2, 3]}),
    ("LpPool", 18, [(1, 2, 7)], {"kernel_shape": [2], "p": 2, "strides": [2], "ceil_mode": 1}),
    ("LpPool", 22, [(1, 2, 4, 5, 4)], {"kernel_shape": [2, 2, 3], "p": 4}),
    ("GlobalLpPool", 2, [(1, 2, 4, 5)], {}),
    ("GlobalLpPool", 2, [(1, 2, 4)], {"p": 3}),
    ("GlobalLpPool", 2, [(1, 2, 4, 2, 3)], {"p": 1}),
    ("GlobalAveragePool", 1, [(1, 2, 4)], {}),
    ("GlobalMaxPool", 22, [(1, 2, 4, 2, 3)], {}),
    ("MaxUnpool", 9, [(1, 1, 2, 2), {"input": np.array([[[[5, 7], [13, 15]]]])}], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MaxUnpool", 11, [(1, 2, 2), {"input": np.array([[[1, 3], [4, 7]]])}], {"kernel_shape": [2], "strides": [2]}),
    ("MaxUnpool", 11, [(1, 2, 2), np.array([[[1, 3], [4, 7]]]), np.array([1, 2, 5])], {"kernel_shape": [2], "strides": [2]}),
    ("MaxUnpool", 22, [(1, 1, 2, 2), {"input": np.array([[[[0, 2], [3, 8]]]])}], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    ("MaxRoiPool", 1, [(2, 3, 8, 9), {"input": np.array([[0, 1, 1, 5, 6], [1, 0, 2, 8, 7], [1, 3, 3, 3, 3]], np.float32)}], {"pooled_shape": [2, 3]}),
    ("MaxRoiPool", 1, [(1, 2, 8, 9), {"input": np.array([[0, -3, 2, 9, 30], [0, 40, 40, 50, 50]], np.float32)}], {"pooled_shape": [3, 2], "spatial_scale": 0.5}),
]  # fmt: skip

each = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[3]}")


def oracle(case):
    """With an output_shape onnxruntime counts the indices in that shape; the standard's case counts before padding."""
    return "onnx" if case[0] == "MaxUnpool" and len(case[2]) == 3 else "onnxruntime"


@each
def test_a_pool_answers_as_onnxruntime_does(held, case):
    held(case, oracle=oracle(case), deployment_target="iOS15")


@each
def test_a_pool_in_float16_answers_nearly_so(held, case):
    held(case, rtol=1e-2, atol=1e-2, oracle=oracle(case), deployment_target="iOS18", compute_precision="float16")


@each
def test_a_pool_of_a_neural_network_answers_as_onnxruntime_does(held, case):
    held(case, oracle=oracle(case), format="mlmodel", deployment_target="iOS14")


@pytest.mark.parametrize(
    "case",
    [
        ("LpPool", 18, [value(1, 1, 4, 4, low=400, high=500)], {"kernel_shape": [2, 2]}),
        ("LpPool", 18, [value(1, 1, 4, 4, low=400, high=500)], {"kernel_shape": [2, 2], "p": 3}),
        ("GlobalLpPool", 2, [value(1, 1, 4, 4, low=400, high=500)], {}),
    ],
)
def test_a_norm_of_large_numbers_stays_finite_in_float16(held, case):
    held(case, rtol=2e-3, deployment_target="iOS18", compute_precision="float16")


@settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_pool_answers_as_onnxruntime_does(held, data):
    axes = data.draw(st.integers(1, 3))
    side = lambda low, high: data.draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))  # noqa: E731
    kernel = side(1, 3)
    way = {
        "kernel_shape": kernel,
        "strides": side(1, 3),
        "dilations": side(1, 2),
        "ceil_mode": data.draw(st.integers(0, 1)),
    }
    limits = [kernel[axis % axes] - 1 for axis in range(2 * axes)]
    way["pads"] = [min(p, limit) for p, limit in zip(side(0, 2) + side(0, 2), limits, strict=True)]
    operands = [steps(1, 2, *side(5, 8))]
    match data.draw(st.sampled_from(["max", "average", "lp"])):
        case "max":
            held(("MaxPool", 12, operands, way, 2))
        case "average":
            held(("AveragePool", 19, operands, {**way, "count_include_pad": data.draw(st.integers(0, 1))}))
        case "lp":
            held(("LpPool", 18, operands, {**way, "p": data.draw(st.integers(1, 3))}))
