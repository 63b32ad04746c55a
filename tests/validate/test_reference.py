from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torchvision.transforms import functional as torchvision

from converter.errors import SourceError, ValidationError
from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Metadata,
    Normalization,
    Output,
    Sample,
    Source,
    TensorInput,
)
from converter.validate.reference import normalized, reference
from converter.validate.samples import samples

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def image(color="RGB", mean=MEAN, std=STD, scale=1 / 255):
    normalization = Normalization(scale=scale, mean=mean, std=std)
    return ImageInput(name="image", color=color, size=(6, 8), normalization=normalization)


def tensor_source(*, outputs=("y",), dtype="float32", shape=(1, 4), activation=None, **model):
    return Source(
        **{
            "name": "net",
            "place": "models.yml:1:1 net",
            "description": "",
            "interface": Interface(
                inputs=(TensorInput(name="x", shape=shape, dtype=dtype),),
                outputs=tuple(Output(name=name) for name in outputs),
                classifier=Classifier(labels=tuple("abcd"), activation=activation) if activation else None,
            ),
            "metadata": Metadata(),
            "files": (),
            **model,
        }
    )


def test_pixels_are_normalised_as_torchvision_does():
    (array,) = normalized(Interface(inputs=(image(),), outputs=()), {"image": PIXELS})
    expected = torchvision.normalize(torchvision.to_tensor(PIXELS), list(MEAN), list(STD))
    np.testing.assert_allclose(array, expected[None].numpy(), atol=1e-6)
    assert array.dtype == np.float32


def test_bgr_reverses_the_channels_and_takes_mean_and_std_in_that_order():
    bgr = image("BGR", mean=MEAN[::-1], std=STD[::-1])
    (array,) = normalized(Interface(inputs=(bgr,), outputs=()), {"image": PIXELS})
    (rgb,) = normalized(Interface(inputs=(image(),), outputs=()), {"image": PIXELS})
    np.testing.assert_array_equal(array, rgb[:, ::-1])


def test_grey_pixels_get_one_channel():
    grey = image("GRAYSCALE", mean=(0.5,), std=(0.5,))
    (array,) = normalized(Interface(inputs=(grey,), outputs=()), {"image": PIXELS[..., 0]})
    np.testing.assert_allclose(array, ((PIXELS[..., 0] / 255 - 0.5) / 0.5)[None, None], atol=1e-6)


def test_scores_stand_before_the_appended_activation(source, net):
    asked = reference(source, samples(source.interface, seeds=2))
    (array,) = normalized(source.interface, asked.samples[0].inputs)
    with torch.no_grad():
        np.testing.assert_array_equal(asked.outputs[0]["scores"], net(torch.from_numpy(array)).numpy())
    assert asked.scores_activation is None
    assert asked.engine == f"torch {torch.__version__}"


def test_labelled_scores_are_one_row_a_sample(source):
    found = samples(source.interface, seeds=3)
    asked = reference(source, found, found)
    assert asked.labelled_scores.shape == (3, 10)
    np.testing.assert_array_equal(asked.labelled_scores[1], asked.outputs[1]["scores"][0])


class Ending(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.last = last

    def forward(self, x):
        return self.last(x.sigmoid() * 3), x * 2


@pytest.mark.parametrize(
    ("last", "activation"),
    [
        (nn.Softmax(-1), "softmax"),
        (nn.Softmax(1), "softmax"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Softmax(0), None),
        (nn.Identity(), None),
        (nn.Sequential(nn.Softmax(-1), nn.ReLU()), None),
        (nn.LogSoftmax(-1), None),
    ],
)
@pytest.mark.parametrize("kind", ["module", "script", "exported"])
def test_the_input_of_the_sources_own_activation_is_used(last, activation, kind):
    net, example = Ending(last).eval(), torch.linspace(-2, 2, 4)[None]
    if kind == "exported":
        model = {"exported": torch.export.export(net, (example,))}
    else:
        model = {"module": torch.jit.trace(net, example) if kind == "script" else net}
    asked = reference(tensor_source(outputs=("y", "z"), **model), [Sample(name="s", inputs={"x": example.numpy()})])
    expected = example.sigmoid() * 3 if activation else net(example)[0]
    np.testing.assert_allclose(asked.outputs[0]["y"], expected.numpy(), atol=1e-6)
    np.testing.assert_allclose(asked.outputs[0]["z"], example.numpy() * 2)
    assert asked.scores_activation == activation


def test_a_second_activation_is_compared_before_the_appended_one():
    asked = reference(
        tensor_source(module=nn.Softmax(-1), activation="softmax"),
        [Sample(name="s", inputs={"x": np.zeros((1, 4), np.float32)})],
    )
    np.testing.assert_allclose(asked.outputs[0]["y"], 0.25)
    assert asked.scores_activation is None


def write_onnx(path: Path, *nodes, outputs, opset=17, dtype=TensorProto.FLOAT, external=False) -> Path:
    weight = numpy_helper.from_array(np.arange(16, dtype=np.float32).reshape(4, 4) / 8 - 1, "w")
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "g",
        [helper.make_tensor_value_info("in/x", dtype, [1, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in outputs],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path, save_as_external_data=external, location="w.bin", size_threshold=0)
    return path


MATMUL = ("MatMul", ["in/x", "w"], ["scores"])
X = np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)
SCORES = X @ (np.arange(16, dtype=np.float32).reshape(4, 4) / 8 - 1)


@pytest.mark.parametrize(
    ("node", "opset", "activation"),
    [
        (("Softmax", ["scores"], ["out"]), 17, "softmax"),
        (("Softmax", ["scores"], ["out"], {"axis": 1}), 17, "softmax"),
        (("Softmax", ["scores"], ["out"], {"axis": 0}), 17, None),
        (("Softmax", ["scores"], ["out"]), 11, "softmax"),
        (("Sigmoid", ["scores"], ["out"]), 17, "sigmoid"),
        (("Relu", ["scores"], ["out"]), 17, None),
    ],
)
def test_onnx_models_are_looked_behind_their_activation(tmp_path: Path, node, opset, activation):
    path = write_onnx(tmp_path / "m.onnx", MATMUL, node, outputs=["out"], opset=opset)
    asked = reference(tensor_source(onnx_file=path), [Sample(name="s", inputs={"x": X})])
    assert asked.scores_activation == activation
    assert set(asked.outputs[0]) == {"y"}
    if activation:
        np.testing.assert_allclose(asked.outputs[0]["y"], SCORES, rtol=1e-5)
    assert asked.engine.startswith("onnxruntime ")


def test_an_identity_after_the_activation_is_looked_through(tmp_path: Path):
    nodes = [MATMUL, ("Softmax", ["scores"], ["p"]), ("Identity", ["p"], ["out"])]
    asked = reference(
        tensor_source(onnx_file=write_onnx(tmp_path / "m.onnx", *nodes, outputs=["out"])),
        [Sample(name="s", inputs={"x": X})],
    )
    assert asked.scores_activation == "softmax"


def test_onnx_outputs_keep_their_order_and_weights_may_be_external(tmp_path: Path):
    nodes = [MATMUL, ("Softmax", ["scores"], ["p"]), ("Neg", ["scores"], ["n"])]
    path = write_onnx(tmp_path / "m.onnx", *nodes, outputs=["p", "n", "scores"], external=True)
    assert (tmp_path / "w.bin").exists()
    asked = reference(tensor_source(outputs=("a", "b", "c"), onnx_file=path), [Sample(name="s", inputs={"x": X})])
    # The scores are an output of the model's own already; the probabilities are then compared as they are.
    assert asked.outputs[0]["a"].sum() == pytest.approx(1)
    np.testing.assert_allclose(asked.outputs[0]["b"], -SCORES, rtol=1e-5)
    np.testing.assert_allclose(asked.outputs[0]["c"], SCORES, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_integers_reach_the_source_in_its_own_type(dtype):
    class Tokens(nn.Module):
        def forward(self, x):
            assert x.dtype == dtype
            return nn.functional.embedding(x, torch.eye(10))

    source = tensor_source(module=Tokens(), dtype="int32", example=(torch.zeros((1, 4), dtype=dtype),))
    assert reference(source, samples(source.interface, seeds=1)).outputs[0]["y"].shape == (1, 4, 10)


def test_an_onnx_models_int64_input_is_fed(tmp_path: Path):
    nodes = [("Cast", ["in/x"], ["f"], {"to": TensorProto.FLOAT}), ("MatMul", ["f", "w"], ["out"])]
    path = write_onnx(tmp_path / "m.onnx", *nodes, outputs=["out"], dtype=TensorProto.INT64)
    source = tensor_source(onnx_file=path, dtype="int32")
    assert reference(source, samples(source.interface, seeds=1)).outputs[0]["y"].shape == (1, 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_source_that_answers_nan_is_refused(value):
    class Broken(nn.Module):
        def forward(self, x):
            return x, torch.where(x > 0, value, x)

    source = tensor_source(module=Broken(), outputs=("y", "z"))
    found = [Sample(name="fine", inputs={"x": -np.ones((1, 4), np.float32)}), Sample(name="worse", inputs={"x": X})]
    with pytest.raises(
        ValidationError, match="sample worse: the source model's own output 'z' holds 3 NaN or infinite"
    ):
        reference(source, found)


def test_a_source_that_refuses_a_sample_is_a_clear_error(with_interface, source):
    small = with_interface(
        inputs=(
            replace(
                source.interface.inputs[0],
                color="GRAYSCALE",
                normalization=image("GRAYSCALE", (0.0,), (1.0,)).normalization,
            ),
        )
    )
    with pytest.raises(
        SourceError, match=r"models\.yml:1:1 small > validate > sample seed 0: the source model fails on image"
    ):
        reference(small, samples(small.interface, seeds=1))


def test_outputs_without_a_name_are_an_error():
    with pytest.raises(ValidationError, match="gives 2 outputs, the interface has 1: y"):
        reference(tensor_source(module=Ending(nn.Identity())), [Sample(name="s", inputs={"x": X})])


def test_dictionaries_and_nested_tuples_are_flattened_in_order():
    class Nested(nn.Module):
        def forward(self, x):
            return {"out": x, "more": (x + 1, [x + 2, None])}

    asked = reference(tensor_source(module=Nested(), outputs=("a", "b", "c")), [Sample(name="s", inputs={"x": X})])
    np.testing.assert_array_equal([asked.outputs[0][name] for name in "abc"], [X, X + 1, X + 2])


@pytest.mark.parametrize(("saturates", "told"), [(True, True), (False, False)])
def test_a_reference_of_8_bit_products_says_where_the_processor_saturates_them(
    tmp_path: Path, monkeypatch, saturates, told
):
    nodes = [
        ("DynamicQuantizeLinear", ["in/x"], ["q", "scale", "zero"]),
        ("MatMulInteger", ["q", "eight", "zero"], ["n"]),
        ("Cast", ["n"], ["out"], {"to": 1}),
    ]
    monkeypatch.setattr("converter.validate.reference._saturates", lambda: saturates)
    path = write_onnx(tmp_path / "m.onnx", *nodes, outputs=["out"])
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.int8), "eight"))
    onnx.save(model, path)
    asked = reference(tensor_source(onnx_file=path), [Sample(name="s", inputs={"x": X})])
    assert ("saturates products" in asked.engine) is told
