"""What leaves float16's range or digits on the way to a harmless answer; float64 in numpy is the oracle."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import converter
from converter.convert.onnx.lower.float32 import nodes_in_float32
from converter.convert.onnx.prepare import prepare

R = np.random.default_rng(3)
AXES = {"last": [-1], "middle": [1]}


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), [output], **attributes)


def model_of(*nodes, x, **constants):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    to = next((a.i for n in nodes if n.output[0] == "y" for a in n.attribute if a.name == "to"), TensorProto.FLOAT)
    graph.output[0].CopyFrom(helper.make_tensor_value_info("y", to, None))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def half(model, x, folder):
    """The answer of the float16 file."""
    net = converter.load_model(converter.convert_onnx(model, folder / "net.mlpackage"))
    return net.predict({"x": x.astype(np.int32 if x.dtype.kind in "iu" else np.float32)})["y"]


MEAN_SQUARE = [node("ReduceMean", "q axes", "mean"), node("Add", "mean epsilon", "e")]
ROOTS = {
    "a power, a root and a quotient": [
        node("Pow", "x two", "q"), *MEAN_SQUARE, node("Sqrt", "e", "s"), node("Div", "x s", "y"),
    ],
    "a product, a root and its reciprocal": [
        node("Mul", "x x", "q"), *MEAN_SQUARE,
        node("Sqrt", "e", "s"), node("Reciprocal", "s", "r"), node("Mul", "x r", "y"),
    ],
    "a power of minus a half": [
        node("Mul", "x x", "q"), *MEAN_SQUARE, node("Pow", "e half", "r"), node("Mul", "x r", "y"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("size", [1e-3, 1.0, 2e4])
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("way", ROOTS)
def test_a_norm_written_out_stands_any_size_of_numbers(way, axes, size, tmp_path):
    x = (R.uniform(-2, 2, (2, 6, 5)) * size).astype(np.float16).astype(np.float32)
    model = model_of(
        *ROOTS[way], x=x, axes=AXES[axes], two=np.float32(2), epsilon=np.float32(1e-12), half=np.float32(-0.5)
    )
    wanted = x / np.sqrt((x.astype(np.float64) ** 2).mean(AXES[axes][0], keepdims=True) + 1e-12)
    np.testing.assert_allclose(half(model, x, tmp_path), wanted, rtol=4e-3, atol=1e-3)


@pytest.mark.parametrize(("wave", "formula"), [("Sin", np.sin), ("Cos", np.cos)])
def test_an_angle_made_of_positions_keeps_its_digits(wave, formula, tmp_path):
    x = np.arange(0, 4000, 7, dtype=np.int64)[None]
    steps = (10000 ** -(np.arange(4) / 4)).astype(np.float32)
    model = model_of(
        node("Cast", "x", "p", to=TensorProto.FLOAT),
        node("Unsqueeze", "p one", "row"),
        node("MatMul", "steps row", "angles"),
        node("Transpose", "angles", "columns", perm=[0, 2, 1]),
        node("Concat", "columns columns", "twice", axis=-1),
        node(wave, "twice", "y"),
        x=x, one=[1], steps=steps.reshape(1, 4, 1),
    )  # fmt: skip
    columns = formula(x[..., None] * steps)
    np.testing.assert_allclose(half(model, x, tmp_path), np.concatenate([columns, columns], -1), atol=2e-3)


def test_whole_numbers_are_whole_numbers_again(tmp_path):
    """The places of far away words, as T5 counts them."""
    x = np.arange(1, 9000, dtype=np.int64)
    model = model_of(
        node("Cast", "x", "a", to=TensorProto.FLOAT),
        node("Div", "a eight", "b"),
        node("Log", "b", "c"),
        node("Div", "c most", "d"),
        node("Mul", "d eight", "e"),
        node("Cast", "e", "f", to=TensorProto.INT64),
        node("Add", "f x", "g"),
        node("Cast", "g", "y", to=TensorProto.INT64),
        x=x, eight=np.float32(8), most=np.float32(np.log(16)),
    )  # fmt: skip
    exact = np.log(x.astype(np.float32) / np.float32(8)) / np.float32(np.log(16)) * np.float32(8)
    answer = half(model, x, tmp_path)
    unsure = np.abs(exact - np.round(exact)) < 1e-5
    assert unsure.mean() < 0.01
    np.testing.assert_array_equal(answer[~unsure], (np.trunc(exact).astype(np.int64) + x)[~unsure])


@pytest.mark.parametrize("op", ["Less", "Equal", "GreaterOrEqual"])
def test_whole_numbers_are_compared_exactly(op, tmp_path):
    x = np.arange(2040, 2060, dtype=np.int64)
    formula = {"Less": np.less, "Equal": np.equal, "GreaterOrEqual": np.greater_equal}[op]
    model = model_of(
        node("Cast", "x", "a", to=TensorProto.FLOAT),
        node("Sub", "a one", "b"),
        node(op, "b limit", "c"),
        node("Cast", "c", "y", to=TensorProto.INT64),
        x=x, one=np.float32(1), limit=np.float32(2051),
    )  # fmt: skip
    np.testing.assert_array_equal(half(model, x, tmp_path), formula(x - 1, 2051))


def test_a_product_of_integers_meets_its_scale_unrounded(tmp_path):
    x, weights = R.integers(0, 256, (2, 64), np.uint8), R.integers(-128, 128, (64, 4), np.int8)
    model = model_of(
        node("MatMulInteger", "x w", "product"),
        node("Cast", "product", "p", to=TensorProto.FLOAT),
        node("Mul", "p scale", "y"),
        x=x, w=weights, scale=np.float32(1e-4),
    )  # fmt: skip
    wanted = x.astype(np.int64) @ weights.astype(np.int64) * 1e-4
    np.testing.assert_allclose(half(model, x, tmp_path), wanted, rtol=1e-3)


@pytest.mark.parametrize(("op", "factor"), [("Mul", 1e-8), ("Mul", 3e-6), ("Div", 2e-5)])
def test_a_small_factor_keeps_its_digits(op, factor, tmp_path):
    x = np.array([0.125, 0.5], np.float32) if op == "Div" else np.array([5e4, 1e4], np.float32)
    wanted = x / factor if op == "Div" else x * factor
    answer = half(model_of(node(op, "x k", "y"), x=x, k=np.float32(factor)), x, tmp_path)
    np.testing.assert_allclose(answer, wanted, rtol=1e-3)


def test_what_needs_no_more_stays_in_float16():
    x = np.ones((2, 3), np.float32)
    model = model_of(
        node("Mul", "x x", "q"),
        node("Add", "q x", "a"),
        node("Sqrt", "x", "s"),
        node("Sin", "a", "w"),
        node("Mul", "w k", "m"),
        node("Add", "m s", "y"),
        x=x, k=np.float32(0.01),
    )  # fmt: skip
    assert nodes_in_float32(prepare(model)) == set()
