"""Tensors whose size the model computes, and random numbers by what they are like."""

import numpy as np
import onnx
import pytest
from onnx import helper


def run_time(array):
    return {"input": np.asarray(array)}


@pytest.mark.parametrize(
    ("start", "limit", "delta"),
    [(1.0, 6.0, 1.5), (5.0, -1.0, -2.0), (0, 7, 2), (10, 0, -3)],
)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_ranges_that_the_model_computes(start, limit, delta, precision, held):
    dtype = np.float32 if isinstance(start, float) else np.int32
    operands = [run_time(np.array([v], dtype).reshape(())) for v in (start, limit, delta)]
    held(("Range", 11, operands, {}), compute_precision=precision)


@pytest.mark.parametrize("value", [None, np.array([2.5], np.float32), np.array([-3]), np.array([True])])
def test_shapes_that_the_model_computes(value, held):
    attributes = {} if value is None else {"value": onnx.numpy_helper.from_array(value)}
    held(("ConstantOfShape", 9, [run_time(np.array([2, 3, 1]))], attributes))


@pytest.mark.parametrize("dtype", [None, onnx.TensorProto.INT64, onnx.TensorProto.BOOL])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_diagonals_like_a_tensor(dtype, k, held):
    attributes = {"k": k} | ({} if dtype is None else {"dtype": dtype})
    held(("EyeLike", 22, [(3, 4)], attributes), oracle="reference")


def drawn(answer, op, attributes, x, opset=22):
    """What comes of a node whose only input, if it has one, is x."""
    names = ["x"] if op.endswith("Like") or op in ("Bernoulli", "Multinomial") else []
    shape = None if op == "Multinomial" else x.shape
    nodes = [helper.make_node(op, names, ["r"], **attributes)]
    nodes += [helper.make_node("Cast", ["r"], ["y"], to=1), helper.make_node("Identity", ["x"], ["same"])]
    inputs = [helper.make_tensor_value_info("x", 1, x.shape)]
    outputs = [helper.make_tensor_value_info("y", 1, shape), helper.make_tensor_value_info("same", 1, x.shape)]
    graph = helper.make_graph(nodes, "case", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return answer(model, {"x": x})[0]


@pytest.mark.parametrize("like", [True, False])
def test_random_numbers_have_their_mean_and_spread(like, answer):
    x = np.zeros((100, 60), np.float32)
    own = {} if like else {"shape": x.shape}
    y = drawn(answer, "RandomNormal" + "Like" * like, {"mean": 3.0, "scale": 0.5, "seed": 1.0, **own}, x)
    assert y.shape == x.shape
    np.testing.assert_allclose((y.mean(), y.std()), (3, 0.5), atol=0.03)
    y = drawn(answer, "RandomUniform" + "Like" * like, {"low": -1.0, "high": 3.0, "seed": 2.0, **own}, x)
    np.testing.assert_allclose((y.min(), y.mean(), y.max()), (-1, 1, 3), atol=0.06)


def test_truths_are_as_frequent_as_they_are_likely(answer):
    x = np.broadcast_to(np.linspace(0, 1, 5, dtype=np.float32), (2000, 5))
    y = drawn(answer, "Bernoulli", {"seed": 1.0}, x)
    np.testing.assert_allclose(y.mean(0), x[0], atol=0.05)


def test_classes_are_as_frequent_as_they_are_likely(answer):
    chances = np.array([0.5, 0.2, 0.3], np.float32)
    y = drawn(answer, "Multinomial", {"sample_size": 5000, "seed": 1.0}, np.log(chances)[None])
    np.testing.assert_allclose(np.bincount(y.reshape(-1).astype(int)) / 5000, chances, atol=0.03)
