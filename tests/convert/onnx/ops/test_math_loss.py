"""Losses with weights, ignored classes and every reduction, held to onnxruntime and to torch."""

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

R = np.random.default_rng(17)
w = lambda *shape: R.uniform(0.1, 1, shape).astype(np.float32)  # noqa: E731
SHAPES = [(6, 4), (3, 4, 5), (2, 4, 3, 2), (2, 4, 2, 3, 2)]


def targets(shape, ignored=None):
    classes = R.integers(0, shape[1], (shape[0], *shape[2:]))
    if ignored is not None:
        classes.reshape(-1)[::3] = ignored
    return classes


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("ignored", "shape"), [(None, SHAPES[0]), (1, SHAPES[1]), (-1, SHAPES[0]), (255, SHAPES[1])])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("weighed", [None, "constant", "computed"])
def test_negative_log_likelihood(weighed, known, ignored, shape, reduction, held):
    classes = targets(shape, ignored)
    attributes = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
    weight = {None: None, "constant": w(4), "computed": {"input": w(4)}}[weighed]
    operands = [shape, classes if known else {"input": classes}, weight]
    held(("NegativeLogLikelihoodLoss", 13, operands, attributes))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_and_its_logarithms(shape, reduction, held):
    operands = [shape, {"input": targets(shape, 2)}, w(4)]
    attributes = {"reduction": reduction, "ignore_index": 2}
    held(("SoftmaxCrossEntropyLoss", 13, operands, attributes, 2))
    held(("SoftmaxCrossEntropyLoss", 12, [shape, targets(shape)], {"reduction": reduction}))


def test_a_sum_of_many_losses_is_taken_in_float32(answer):
    scores, classes = R.normal(0, 3, (4000, 5)).astype(np.float32), R.integers(0, 5, 4000)
    node = helper.make_node("SoftmaxCrossEntropyLoss", ["x", "t"], ["y"], reduction="sum")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "case", [value("x", 1, scores.shape)], [value("y", 1, ())], [numpy_helper.from_array(classes, "t")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
    (got,) = answer(model, {"x": scores}, compute_precision="float16")
    wanted = torch.nn.functional.cross_entropy(torch.from_numpy(scores), torch.from_numpy(classes), reduction="sum")
    np.testing.assert_allclose(got.item(), wanted.item(), rtol=2e-3)
