"""Normalisations in every rank, with constant and computed statistics; what hands values on; deformed convolutions."""

import numpy as np
import pytest

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(1)
w = lambda *shape: R.uniform(-1, 1, shape).astype(np.float32)  # noqa: E731
v = lambda *shape: R.uniform(0.5, 2, shape).astype(np.float32)  # noqa: E731
run = lambda array: {"input": array}  # noqa: E731
STATISTICS = [v(3), w(3), w(3), v(3)]
COMPUTED = [run(array) for array in STATISTICS]

CASES = [
    ("BatchNormalization", 9, [(2, 3), *STATISTICS], {}),
    ("BatchNormalization", 14, [(2, 3, 4, 5, 2), *STATISTICS], {"epsilon": 1e-3}),
    ("BatchNormalization", 15, [(2, 3, 4), *COMPUTED], {}),
    ("BatchNormalization", 15, [(2, 3, 4), STATISTICS[0], COMPUTED[1], COMPUTED[2], STATISTICS[3]], {}),
    ("BatchNormalization", 15, [(2, 3, 4), COMPUTED[0], *STATISTICS[1:]], {}),
    ("InstanceNormalization", 6, [(2, 3, 5), v(3), w(3)], {}),
    ("InstanceNormalization", 6, [(2, 3, 5, 4), v(3), run(w(3))], {"epsilon": 1e-2}),
    ("InstanceNormalization", 22, [(2, 3, 5, 4, 2), v(3), w(3)], {}),
    ("LayerNormalization", 17, [(2, 3, 4), v(3, 4), w(3, 4)], {"axis": 1}, 3),
    ("LayerNormalization", 17, [(2, 3, 4), run(v(4)), w(4)], {}),
    ("LRN", 1, [(2, 5, 3, 4)], {"size": 3, "alpha": 0.5}),
    ("LpNormalization", 1, [(2, 3, 4)], {"axis": 1}),
    ("LpNormalization", 1, [(2, 3, 4)], {"axis": -1, "p": 1}),
    ("LpNormalization", 1, [run(np.zeros((2, 3), np.float32))], {}),
    ("MeanVarianceNormalization", 9, [(2, 3, 4, 5)], {}),
    ("MeanVarianceNormalization", 13, [(2, 3, 4)], {"axes": [1, 2]}),
    ("Flatten", 13, [(2, 3, 4)], {"axis": -1}),
    ("Flatten", 9, [(2, 3, 4)], {"axis": 0}),
    ("Dropout", 7, [(2, 3)], {"ratio": 0.3}),
    ("Dropout", 13, [(2, 3), np.array(0.3, np.float32), np.array(False)], {}, 2),
]  # fmt: skip

GROUPS = {"group": 2, "offset_group": 2, "strides": [2, 2], "pads": [1, 0, 0, 1]}
REFERENCE = [
    ("BatchNormalization", 15, [(4, 3, 5, 2), *STATISTICS], {"training_mode": 1, "momentum": 0.8}, 3),
    ("BatchNormalization", 14, [(6, 3), *COMPUTED], {"training_mode": 1}, 3),
    ("GroupNormalization", 21, [(2, 6, 3, 4), v(6), run(w(6))], {"num_groups": 3}),
    ("GroupNormalization", 21, [(2, 6, 3), v(6), w(6)], {"num_groups": 1}),
    ("DeformConv", 19, [(1, 2, 5, 6), w(3, 2, 2, 3), (1, 12, 4, 4)], {}),
    ("DeformConv", 19, [(2, 4, 5, 6), w(4, 2, 2, 2), (2, 16, 3, 3), w(4), (2, 8, 3, 3)], GROUPS),
    ("DeformConv", 22, [(1, 2, 6, 6), (3, 2, 2, 2), (1, 8, 4, 4)], {"dilations": [2, 2]}),
]  # fmt: skip

each = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[3]}")
each_reference = pytest.mark.parametrize("case", REFERENCE, ids=lambda case: f"{case[0]}-{case[1]}-{case[3]}")
HALF = {"deployment_target": "iOS17", "compute_precision": "float16"}


@each
def test_a_normalisation_answers_as_onnxruntime_does(held, case):
    held(case, atol=1e-5, deployment_target="iOS15")


@each
def test_a_normalisation_in_float16_answers_nearly_so(held, case):
    held(case, rtol=1e-2, atol=1e-2, **HALF)


@each
def test_a_normalisation_of_a_neural_network_answers_as_onnxruntime_does(held, case):
    held(case, atol=1e-5, format="mlmodel", deployment_target="iOS14")


@each_reference
def test_what_onnxruntime_lacks_answers_as_the_standards_evaluator_does(held, case):
    held(case, atol=1e-5, oracle="onnx")


@each_reference
def test_what_onnxruntime_lacks_answers_nearly_so_in_float16(held, case):
    held(case, rtol=1e-2, atol=2e-2, oracle="onnx", **HALF)


@pytest.mark.parametrize("op", ["LpNormalization", "MeanVarianceNormalization"])
def test_squares_beyond_float16_do_not_overflow(held, op):
    large = run(R.uniform(200, 500, (2, 3, 4, 5)).astype(np.float32))
    held((op, 13, [large], {}), rtol=1e-2, atol=5e-3, **HALF)


@pytest.mark.parametrize(
    "target", [{"deployment_target": "iOS15"}, {"format": "mlmodel", "deployment_target": "iOS14"}]
)
@pytest.mark.parametrize(("shape", "size"), [((2, 5, 3, 4), 4), ((2, 5, 3), 2), ((1, 5, 3, 2, 2), 3), ((2, 4), 3)])
def test_a_window_of_channels_of_any_size_is_the_standards_formula(answer, shape, size, target):
    """onnxruntime has odd sizes and rank 4 only."""
    from onnx import TensorProto, helper

    x = R.uniform(-2, 2, shape).astype(np.float32)
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.5, beta=0.6, bias=1.5)
    types = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name in "xy"]
    graph = helper.make_graph([node], "window", *types)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    squares = np.zeros(shape)
    for c in range(shape[1]):
        first, last = max(0, c - (size - 1) // 2), min(shape[1] - 1, c + size // 2)
        squares[:, c] = (x[:, first : last + 1].astype(np.float64) ** 2).sum(axis=1)
    (got,) = answer(model, {"x": x}, **target)
    np.testing.assert_allclose(got, x / (1.5 + 0.5 / size * squares) ** 0.6, rtol=1e-5, atol=1e-6)


def test_a_norm_of_any_order_is_the_formula(answer):
    from onnx import TensorProto, helper

    x = R.uniform(-2, 2, (2, 4)).astype(np.float32)
    node = helper.make_node("GlobalLpPool", ["x"], ["y"], p=5)
    graph = helper.make_graph(
        [node],
        "norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (got,) = answer(model, {"x": x[None]})
    np.testing.assert_allclose(got[0, :, 0], (np.abs(x) ** 5).sum(axis=1) ** (1 / 5), rtol=1e-5)


def test_a_dropout_that_trains_is_refused(built):
    with pytest.raises(UnsupportedOpsError, match="draws random numbers"):
        built(("Dropout", 13, [(2, 3), np.array(0.5, np.float32), np.array(True)], {}))
