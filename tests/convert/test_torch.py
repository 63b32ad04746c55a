"""Both routes from torch, on what the interface can say; the oracle is torch itself, asked in float32."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import converter
from converter.convert import convert
from converter.errors import ConversionError
from converter.model import Classifier, Interface, Normalization, Output, Range, Target, TensorInput

TARGETS = {
    "mlmodel": Target(format="mlmodel", deployment_target="iOS14", compute_precision="float32"),
    "float32": Target(format="mlpackage", deployment_target="iOS15", compute_precision="float32"),
    "float16": Target(format="mlpackage", deployment_target="iOS17", compute_precision="float16"),
}
TOLERANCE = {"mlmodel": 1e-4, "float32": 1e-4, "float16": 2e-2}
every_way = pytest.mark.parametrize(
    ("route", "target"), [(route, target) for route in ("direct", "onnx") for target in TARGETS]
)


def predict(source, route, target, folder, inputs):
    target = TARGETS[target]
    path = convert(source, route, target, folder / f"net.{target.format}").path
    return converter.load_model(path).predict(inputs)


def picture(image, size=None, seed=0):
    height, width = size or image.size
    shape = (height, width) if image.color == "GRAYSCALE" else (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def normalized(image, pixels):
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if image.color == "BGR":
        channels = channels[::-1]
    mean, std = (
        np.reshape(v, (-1, 1, 1)).astype(np.float32) for v in (image.normalization.mean, image.normalization.std)
    )
    return torch.from_numpy(((channels * np.float32(image.normalization.scale) - mean) / std)[None].copy())


@every_way
@pytest.mark.parametrize("color", ["RGB", "BGR", "GRAYSCALE"])
def test_pixels_reach_the_model_exactly_normalised(route, target, color, make_source, image, tmp_path):
    """A convolution with zero padding shows a bias that was folded where it does not belong."""
    channels = 1 if color == "GRAYSCALE" else 3
    normalization = Normalization(
        scale=1 / 255, mean=image.normalization.mean[:channels], std=image.normalization.std[:channels]
    )
    image = replace(image, color=color, normalization=normalization)
    torch.manual_seed(1)
    module = torch.nn.Conv2d(channels, 2, 3, padding=1).eval()
    source = make_source(image, module=module)
    pixels = picture(image)
    (answer,) = predict(source, route, target, tmp_path, {"image": Image.fromarray(pixels)}).values()
    with torch.no_grad():
        expected = module(normalized(image, pixels)).numpy()
    np.testing.assert_allclose(answer, expected, atol=TOLERANCE[target] * np.abs(expected).max())


@every_way
def test_pixels_as_they_are(route, target, make_source, image, tmp_path):
    image = replace(image, normalization=Normalization(scale=1, mean=(0, 0, 0), std=(1, 1, 1)))
    pixels = picture(image)
    source = make_source(image, module=torch.nn.ReLU())
    (answer,) = predict(source, route, target, tmp_path, {"image": Image.fromarray(pixels)}).values()
    np.testing.assert_array_equal(answer[0].transpose(1, 2, 0), pixels)


@every_way
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_follow_from_the_scores(route, target, activation, make_source, image, net, tmp_path):
    classifier = Classifier(labels=("cat", "dog", "newt"), activation=activation)
    pixels = picture(image)
    source = make_source(image, classifier=classifier)
    answer = predict(source, route, target, tmp_path, {"image": Image.fromarray(pixels)})
    with torch.no_grad():
        scores = net(normalized(image, pixels))[0]
    expected = torch.softmax(scores, -1) if activation == "softmax" else torch.sigmoid(scores)
    given = [answer["classLabelProbs"][label] for label in classifier.labels]
    np.testing.assert_allclose(given, expected.numpy(), atol=TOLERANCE[target])
    assert answer["classLabel"] == classifier.labels[int(scores.argmax())]


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_a_transformer_layer_is_said_in_plain_ops(route, make_source, tmp_path):
    """In eval mode torch runs it as one fused op, which neither frontend knows; the user's setting comes back."""
    torch.manual_seed(4)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.rand(1, 5, 8)
    source = make_source(TensorInput(name="x", shape=(1, 5, 8), dtype="float32"), module=layer, example=(x,))
    (answer,) = predict(source, route, "float32", tmp_path, {"x": x.numpy()}).values()
    with torch.no_grad():
        np.testing.assert_allclose(answer, layer(x).numpy(), atol=1e-4)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_a_picture_of_any_size_as_output_is_refused_with_the_way_out(route, make_source, image, tmp_path):
    ranges = (Range(lower=8, upper=32, default=12), Range(lower=8, upper=32, default=16))
    image = replace(image, ranges=ranges)
    source = make_source(image, module=torch.nn.ReLU())
    outputs = (Output(name="picture", color="RGB"),)
    source = replace(source, interface=replace(source.interface, outputs=outputs))
    with pytest.raises(ConversionError, match="symbolic dimensions") as refused:
        convert(source, route, TARGETS["mlmodel"], tmp_path / "net.mlmodel")
    assert "mlpackage alone" in refused.value.fix


class Inverse(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.inv(x)


def test_what_torch_cannot_export_is_said_in_plain_words(make_source, tmp_path):
    spec = TensorInput(name="x", shape=(1, 4, 4), dtype="float32")
    source = make_source(spec, module=Inverse(), example=(torch.eye(4)[None],))
    with pytest.raises(ConversionError, match="linalg_inv") as refused:
        convert(source, "onnx", TARGETS["float32"], tmp_path / "net.mlpackage")
    assert not any(noise in str(refused.value) for noise in ("\x1b", "Please feel free", "Next steps"))


class TwoHeads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(20, 6)
        self.linear = torch.nn.Linear(6, 4)

    def forward(self, tokens, weights):
        pooled = (self.embedding(tokens) * weights[..., None]).sum(1)
        return self.linear(pooled), pooled


@every_way
@pytest.mark.parametrize("exported", [False, True], ids=["module", "exported"])
def test_several_inputs_and_outputs_keep_their_order_and_names(route, target, exported, make_source, tmp_path):
    torch.manual_seed(2)
    module = TwoHeads().eval()
    tokens, weights = torch.randint(0, 20, (1, 5)), torch.rand(1, 5)
    source = make_source(
        TensorInput(name="tokens", shape=(1, 5), dtype="int32"),
        TensorInput(name="weights", shape=(1, 5), dtype="float32"),
        module=module,
        example=(tokens, weights),
    )
    interface = replace(source.interface, outputs=(Output(name="logits"), Output(name="pooled")))
    program = torch.export.export(module, (tokens, weights)) if exported else None
    source = replace(source, interface=interface, exported=program, module=None if exported else module)
    inputs = {"tokens": tokens.numpy().astype(np.int32), "weights": weights.numpy()}
    answer = predict(source, route, target, tmp_path, inputs)
    with torch.no_grad():
        logits, pooled = module(tokens, weights)
    np.testing.assert_allclose(answer["logits"], logits.numpy(), atol=TOLERANCE[target])
    np.testing.assert_allclose(answer["pooled"], pooled.numpy(), atol=TOLERANCE[target])


FLEXIBLE = {
    "ranges": {"ranges": (Range(lower=8, upper=32, default=12), Range(lower=8, upper=32, default=16))},
    "enumerated": {"enumerated": ((20, 24),)},
}


@every_way
@pytest.mark.parametrize("flexible", FLEXIBLE)
def test_image_sizes_may_be_flexible(route, target, flexible, make_source, image, net, tmp_path):
    image = replace(image, **FLEXIBLE[flexible])
    source = make_source(image)
    path = convert(source, route, TARGETS[target], tmp_path / f"net.{TARGETS[target].format}").path
    model = converter.load_model(path)
    for size in [(12, 16), (20, 24)]:
        pixels = picture(image, size)
        (answer,) = model.predict({"image": Image.fromarray(pixels)}).values()
        with torch.no_grad():
            expected = net(normalized(image, pixels)).numpy()
        np.testing.assert_allclose(answer, expected, atol=TOLERANCE[target])


@every_way
def test_tensor_dimensions_may_be_flexible(route, target, make_source, tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()).eval()
    given = TensorInput(name="x", shape=(1, Range(lower=1, upper=9, default=5), 4), dtype="float32")
    source = make_source(given, module=module, example=(torch.zeros(1, 5, 4),))
    path = convert(source, route, TARGETS[target], tmp_path / f"net.{TARGETS[target].format}").path
    model = converter.load_model(path)
    for length in (1, 5, 9):
        x = np.random.default_rng(length).standard_normal((1, length, 4)).astype(np.float32)
        (answer,) = model.predict({"x": x}).values()
        with torch.no_grad():
            np.testing.assert_allclose(answer, module(torch.from_numpy(x)).numpy(), atol=TOLERANCE[target])


@every_way
def test_an_output_may_be_a_picture(route, target, make_source, image, tmp_path):
    image = replace(image, normalization=Normalization(scale=1, mean=(0, 0, 0), std=(1, 1, 1)))
    source = make_source(image, module=torch.nn.ReLU())
    source = replace(source, interface=Interface(inputs=(image,), outputs=(Output(name="picture", color="RGB"),)))
    pixels = picture(image)
    if TARGETS[target].format == "mlpackage" and TARGETS[target].deployment_target == "iOS15":
        pytest.skip("coremltools writes image outputs of ML Programs from iOS16 on")
    answer = predict(source, route, target, tmp_path, {"image": Image.fromarray(pixels)})["picture"]
    np.testing.assert_array_equal(np.asarray(answer.convert("RGB")), pixels)


def saved_and_loaded(module):
    memory = io.BytesIO()
    torch.jit.save(module, memory)
    memory.seek(0)
    return torch.jit.load(memory)


SCRIPTS = {
    "traced": lambda net, x: torch.jit.trace(net, x),
    "scripted": lambda net, x: torch.jit.script(net),
    "scripted and loaded": lambda net, x: saved_and_loaded(torch.jit.script(net)),
    "frozen": lambda net, x: torch.jit.freeze(torch.jit.script(net)),
    "frozen and loaded": lambda net, x: saved_and_loaded(torch.jit.freeze(torch.jit.script(net))),
}


@pytest.mark.parametrize("route", ["direct", "onnx"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_torchscript_takes_both_routes(route, script, make_source, image, tmp_path):
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()).eval()
    pixels = picture(image)
    source = make_source(image, module=SCRIPTS[script](net, normalized(image, pixels)))
    (answer,) = predict(source, route, "float32", tmp_path, {"image": Image.fromarray(pixels)}).values()
    with torch.no_grad():
        np.testing.assert_allclose(answer, net(normalized(image, pixels)).numpy(), atol=TOLERANCE["float32"])
