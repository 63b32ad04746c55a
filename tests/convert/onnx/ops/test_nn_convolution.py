"""Convolutions there and back, in every padding, with weights that are constant or computed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

R = np.random.default_rng(1)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731

CONV = [
    ("Conv", 11, [(2, 3, 9), w(4, 3, 3)], {}),
    ("Conv", 1, [(1, 3, 9), w(4, 3, 3), w(4)], {"pads": [2, 1], "strides": [2]}),
    ("Conv", 11, [(1, 3, 9), w(4, 3, 4)], {"auto_pad": "SAME_UPPER", "strides": [2]}),
    ("Conv", 11, [(1, 3, 9), w(4, 3, 4)], {"auto_pad": "SAME_LOWER", "dilations": [2]}),
    ("Conv", 11, [(1, 3, 9, 8), w(4, 3, 2, 3)], {"pads": [1, 0, 2, 3], "dilations": [2, 3]}),
    ("Conv", 22, [(1, 4, 9, 8), w(6, 2, 3, 3), w(6)], {"group": 2, "auto_pad": "VALID"}),
    ("Conv", 11, [(1, 4, 9, 8), w(8, 1, 3, 3)], {"group": 4, "strides": [2, 3], "pads": [1, 1, 1, 1]}),
    ("Conv", 11, [(1, 2, 5, 6, 7), w(3, 2, 2, 3, 2), w(3)], {"pads": [0, 1, 2, 1, 0, 1], "strides": [2, 1, 2]}),
    ("Conv", 11, [(1, 2, 5, 6, 7), w(4, 1, 2, 3, 2)], {"group": 2, "auto_pad": "SAME_LOWER", "dilations": [2, 1, 1]}),
    ("Conv", 11, [(1, 3, 7, 7), w(4, 3, 3, 3), (4,)], {}),
    ("Conv", 11, [(1, 3, 7), w(4, 3, 3), (4,)], {"pads": [1, 1]}),
    ("Conv", 11, [(1, 3, 7, 7), (4, 3, 3, 3), w(4)], {"pads": [1, 0, 1, 2]}),
    ("Conv", 11, [(1, 3, 7), (4, 3, 3), (4,)], {"strides": [2]}),
    ("Conv", 11, [(1, 3, 9, 9), (4, 3, 3, 2)], {"dilations": [2, 3]}),
    ("Conv", 11, [(1, 4, 9, 9), (6, 2, 3, 3), w(6)], {"group": 2, "dilations": [1, 2]}),
    ("Conv", 11, [w(1, 3, 9, 9), (4, 3, 3, 3)], {}),
]

P1, P3, O3, S3 = [1, 1, 1, 1], [0, 1, 0, 1, 0, 1], [0, 0, 1], [1, 1, 2]
TRANSPOSE = [
    ("ConvTranspose", 11, [(1, 3, 5), w(3, 4, 3), w(4)], {}),
    ("ConvTranspose", 1, [(1, 3, 5, 6), w(3, 4, 3, 2)], {"strides": [2, 3]}),
    ("ConvTranspose", 11, [(1, 3, 5), w(3, 4, 4)], {"pads": [1, 1], "strides": [2]}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3), w(4)], {"pads": [1, 0, 2, 1], "strides": [2, 2]}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3), w(4)], {"strides": [2, 3], "output_padding": [1, 2]}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3)], {"strides": [3, 3], "output_padding": [1, 2], "pads": P1}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3), w(4)], {"strides": [2, 2], "output_shape": [10, 12]}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3)], {"strides": [2, 2], "output_shape": [9, 14]}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 4, 3)], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 4, 3)], {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 2, 2)], {"strides": [2, 2], "auto_pad": "VALID"}),
    ("ConvTranspose", 11, [(1, 4, 5, 6), w(4, 3, 3, 3), w(6)], {"group": 2, "dilations": [2, 1]}),
    ("ConvTranspose", 22, [(1, 4, 5), w(4, 1, 3)], {"group": 4, "strides": [2], "pads": [1, 0]}),
    ("ConvTranspose", 11, [(1, 2, 3, 4, 3), w(2, 3, 2, 3, 2), w(3)], {"strides": [2, 1, 2], "pads": P3}),
    ("ConvTranspose", 11, [(1, 2, 3, 4, 3), w(2, 1, 2, 3, 2)], {"group": 2, "output_padding": O3, "strides": S3}),
    ("ConvTranspose", 11, [(1, 3, 5, 6), w(3, 4, 3, 3), (4,)], {"strides": [2, 2], "output_padding": [1, 1]}),
    ("ConvTranspose", 11, [(2, 3, 5, 6), (3, 4, 3, 3), w(4)], {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    ("ConvTranspose", 11, [(2, 4, 5), (4, 3, 3), (6,)], {"group": 2, "dilations": [2], "pads": [1, 1]}),
]  # fmt: skip

FOLD = [
    ("Col2Im", 18, [(1, 5, 5), np.array([5, 5]), np.array([1, 5])], {}),
    ("Col2Im", 18, [(2, 9 * 3, 4), np.array([5, 5]), np.array([3, 3])], {"strides": [2, 2]}),
    ("Col2Im", 18, [(1, 4 * 2, 25), np.array([6, 5]), np.array([2, 2])], {"pads": [1, 0, 0, 1], "dilations": [2, 1]}),
    ("Col2Im", 18, [(1, 3 * 2, 3), np.array([9]), np.array([3])], {"strides": [3]}),
    ("Col2Im", 18, [(1, 2 * 2, 4), np.array([9]), np.array([2])], {"strides": [2]}),
]  # fmt: skip

PAST = {"input": w(2, 3, 3)}
CAUSAL = [
    ("CausalConvWithState", 27, [(2, 3, 6), w(3, 1, 4), w(3), PAST], {"activation": "silu"}, 2),
    ("CausalConvWithState", 27, [(2, 3, 2), (3, 1, 4), None, PAST], {}, 2),
    ("CausalConvWithState", 27, [(2, 3, 6), w(3, 1, 2)], {"activation": "swish"}, 2),
    ("CausalConvWithState", 27, [(2, 3, 6), w(3, 1, 4), (3,)], {}, 2),
]

name = lambda case: f"{case[0]}-{case[1]}-{case[3]}"  # noqa: E731
each = pytest.mark.parametrize("case", CONV + TRANSPOSE + FOLD, ids=name)


def oracle(case):
    """onnxruntime has no dilation beside SAME_UPPER and SAME_LOWER."""
    return "onnx" if "dilations" in case[3] and "SAME" in case[3].get("auto_pad", "") else "onnxruntime"


@each
@pytest.mark.parametrize("release", ["iOS15", "iOS17"])
def test_a_convolution_answers_as_onnxruntime_does(held, case, release):
    held(case, deployment_target=release, oracle=oracle(case))


@each
def test_a_convolution_in_float16_answers_nearly_so(held, case):
    held(case, rtol=1e-2, atol=2e-2, deployment_target="iOS18", compute_precision="float16", oracle=oracle(case))


@each
def test_a_convolution_of_a_neural_network_answers_as_onnxruntime_does(held, case):
    held(case, format="mlmodel", deployment_target="iOS14", oracle=oracle(case))


@pytest.mark.parametrize("case", CAUSAL, ids=name)
def test_a_causal_convolution_hands_its_state_on(held, case):
    held(case, oracle="onnx")


def drawn_way(data, axes, kernel):
    side = lambda low, high: st.lists(st.integers(low, high), min_size=axes, max_size=axes)  # noqa: E731
    way = {"strides": data.draw(side(1, 3)), "dilations": data.draw(side(1, 2))}
    if data.draw(st.booleans()):
        way["pads"] = [
            min(p, k - 1) for p, k in zip(data.draw(side(0, 3)) + data.draw(side(0, 3)), kernel * 2, strict=True)
        ]
    else:
        way["auto_pad"] = data.draw(st.sampled_from(["VALID", "SAME_UPPER", "SAME_LOWER"]))
    return way


drawn = settings(
    derandomize=True,
    max_examples=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@drawn
@given(data=st.data())
def test_any_convolution_answers_as_onnxruntime_does(held, data):
    axes = data.draw(st.integers(1, 3))
    kernel = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    group, inputs, outputs = (data.draw(st.integers(1, 3)) for _ in range(3))
    sizes = data.draw(st.lists(st.integers(5, 8), min_size=axes, max_size=axes))
    way = drawn_way(data, axes, kernel)
    if "SAME" in way.get("auto_pad", ""):
        del way["dilations"]
    operands = [(2, group * inputs, *sizes), w(group * outputs, inputs, *kernel), w(group * outputs)]
    held(("Conv", 11, operands, {"group": group, **way}), atol=1e-5)


@drawn
@given(data=st.data())
def test_any_transposed_convolution_answers_as_onnxruntime_does(held, data):
    axes = data.draw(st.integers(1, 3))
    kernel = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    group, inputs, outputs = (data.draw(st.integers(1, 3)) for _ in range(3))
    sizes = data.draw(st.lists(st.integers(2, 5), min_size=axes, max_size=axes))
    way = drawn_way(data, axes, kernel)
    if "SAME" in way.get("auto_pad", ""):
        way["auto_pad"] = "VALID"
    way["output_padding"] = [data.draw(st.integers(0, stride - 1)) for stride in way["strides"]]
    operands = [(2, group * inputs, *sizes), w(group * inputs, outputs, *kernel), w(group * outputs)]
    held(("ConvTranspose", 11, operands, {"group": group, **way}), atol=1e-5)
