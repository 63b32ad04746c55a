"""What the interface adds to the graph: normalisation, activation, names and types."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from converter.convert import interface as app
from converter.convert.onnx.lower import lower
from converter.convert.onnx.prepare import prepare
from converter.evaluate import load_model
from converter.model import Classifier, ImageInput, Interface, Normalization, Output, Range, Target, TensorInput

TARGETS = [
    Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32"),
    Target(format="mlpackage", deployment_target="iOS17", compute_precision="float16"),
    Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32"),
]
TOLERANCE = {"float32": 2e-6, "float16": 4e-3}


def model_of(*nodes, inputs, outputs):
    graph = helper.make_graph(
        [helper.make_node(*given) for given in nodes],
        "net",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(np.array([[1.0, 2.0, 3.0]], np.float32), "constant")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def answer(tmp_path):
    def run(model, interface, inputs, target):
        program, passes = lower(
            prepare(model, interface=interface), interface=app.inside(interface, target), target=target
        )
        built = app.build(program, interface, target, passes=passes)
        path = tmp_path / f"model.{target.format}"
        built.save(str(path))
        return load_model(path).predict(inputs)

    return run


each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.format}-{t.compute_precision}")


@each_target
@pytest.mark.parametrize("color", ["RGB", "BGR", "GRAYSCALE"])
def test_an_image_is_normalised_exactly_per_channel(answer, target, color):
    channels = 1 if color == "GRAYSCALE" else 3
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    normalization = Normalization(scale=1 / 255, mean=mean, std=std)
    interface = Interface(
        inputs=(ImageInput(name="image", color=color, size=(4, 6), normalization=normalization),),
        outputs=(Output(name="pixels"),),
    )
    model = model_of(("Relu", ["x"], ["y"]), inputs=[("x", TensorProto.FLOAT, [1, channels, 4, 6])], outputs=["y"])
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, channels)).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0], "L") if channels == 1 else Image.fromarray(pixels, "RGB")
    got = answer(model, interface, {"image": picture}, target)["pixels"]
    seen = pixels[..., ::-1] if color == "BGR" else pixels
    wanted = np.maximum((seen / 255 - mean) / std, 0).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(got, wanted, atol=TOLERANCE[target.compute_precision])


@each_target
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_a_classifier_ends_in_its_activation(answer, target, activation):
    interface = Interface(
        inputs=(TensorInput(name="x", shape=(1, 3), dtype="float32"),),
        outputs=(Output(name="ignored"),),
        classifier=Classifier(labels=("a", "b", "c"), activation=activation),
    )
    model = model_of(("Add", ["x", "constant"], ["y"]), inputs=[("x", TensorProto.FLOAT, [1, 3])], outputs=["y"])
    got = answer(model, interface, {"x": np.zeros((1, 3), np.float32)}, target)
    scores = np.array([1.0, 2.0, 3.0])
    wanted = {
        "softmax": np.exp(scores) / np.exp(scores).sum(),
        "sigmoid": 1 / (1 + np.exp(-scores)),
        None: scores,
    }[activation]
    assert got["classLabel"] == "c"
    probabilities = next(value for value in got.values() if isinstance(value, dict))
    np.testing.assert_allclose([probabilities[k] for k in "abc"], wanted, atol=TOLERANCE[target.compute_precision])


@each_target
def test_an_output_that_is_an_input_a_constant_or_named_twice_is_still_an_output(answer, target):
    interface = Interface(
        inputs=(TensorInput(name="relu_0", shape=(1, 3), dtype="float32"),),
        outputs=tuple(Output(name=name) for name in ("same", "fixed", "relu_1", "again")),
    )
    model = model_of(
        ("Identity", ["x"], ["same"]),
        ("Identity", ["constant"], ["fixed"]),
        ("Relu", ["x"], ["first"]),
        ("Identity", ["first"], ["second"]),
        inputs=[("x", TensorProto.FLOAT, [1, 3])],
        outputs=["same", "fixed", "first", "second"],
    )
    value = np.array([[-1.0, 0.5, 2.0]], np.float32)
    got = answer(model, interface, {"relu_0": value}, target)
    np.testing.assert_allclose(got["same"], value, atol=TOLERANCE[target.compute_precision])
    np.testing.assert_allclose(got["fixed"], [[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(got["relu_1"], np.maximum(value, 0))
    np.testing.assert_allclose(got["again"], np.maximum(value, 0))


@each_target
@pytest.mark.parametrize(
    ("elem_type", "dtype", "value"),
    [
        (TensorProto.INT64, "int32", [[-3, 0, 7]]),
        (TensorProto.BOOL, "int32", [[1, 0, 1]]),
        (TensorProto.DOUBLE, "float32", [[-3.5, 0, 7]]),
    ],
)
def test_wide_types_are_narrowed_at_the_border(answer, target, elem_type, dtype, value):
    interface = Interface(
        inputs=(TensorInput(name="x", shape=(1, 3), dtype=dtype),), outputs=(Output(name="y", dtype=dtype),)
    )
    op = "Not" if elem_type == TensorProto.BOOL else "Neg"
    nodes = [(op, ["x"], ["n"]), (op, ["n"], ["y"])]
    model = model_of(*nodes, inputs=[("x", elem_type, [1, 3])], outputs=["y"])
    got = answer(model, interface, {"x": np.array(value, dtype)}, target)["y"]
    np.testing.assert_array_equal(got, value)
    assert target.format == "mlmodel" or got.dtype == dtype


def test_float16_goes_in_and_out_where_the_interface_says_so(answer):
    interface = Interface(
        inputs=(TensorInput(name="x", shape=(1, 3), dtype="float16"),), outputs=(Output(name="y", dtype="float16"),)
    )
    model = model_of(("Relu", ["x"], ["y"]), inputs=[("x", TensorProto.FLOAT, [1, 3])], outputs=["y"])
    got = answer(model, interface, {"x": np.array([[1, -1, 2]], np.float16)}, TARGETS[1])["y"]
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, [[1, 0, 2]])


@each_target
def test_flexible_sizes_stay_flexible(answer, target):
    normalization = Normalization(scale=1.0, mean=(0.0,), std=(2.0,))
    side = Range(lower=2, upper=8, default=4)
    image = ImageInput(name="image", color="GRAYSCALE", size=(4, 4), ranges=(side, side), normalization=normalization)
    model = model_of(
        ("GlobalAveragePool", ["x"], ["mean"]),
        ("Sub", ["x", "mean"], ["centred"]),
        ("Relu", ["centred"], ["y"]),
        inputs=[("x", TensorProto.FLOAT, [1, 1, "height", "width"])],
        outputs=["y"],
    )
    interface = Interface(inputs=(image,), outputs=(Output(name="y"),))
    for size in ((4, 4), (2, 8)):
        pixels = np.random.default_rng(0).integers(0, 32, size).astype(np.uint8)
        got = answer(model, interface, {"image": Image.fromarray(pixels, "L")}, target)["y"]
        half = pixels / 2
        np.testing.assert_allclose(got[0, 0], np.maximum(half - half.mean(), 0), atol=0.02)
