"""Pictures and arrays in, answers out; pixels by numpy's formula on a real photograph."""

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.models import datatypes
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate import load_model

BIAS = {"RGB": [-0.5, -0.25, -0.125], "BGR": [-0.5, -0.25, -0.125], "GRAYSCALE": -0.5}


class Doubled(torch.nn.Module):
    def forward(self, x):
        return x * 2.0


def pixels(picture, color):
    """[1, C, H, W] as Core ML hands it to the model, before scale and bias; BGR's bias is in B, G, R order."""
    if color == "GRAYSCALE":
        return np.asarray(picture.convert("L"), np.float32)[None, None]
    array = np.asarray(picture, np.float32).transpose(2, 0, 1)[None]
    return array if color == "RGB" else array[:, ::-1]


@pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])
@pytest.mark.parametrize("color", BIAS)
def test_a_picture_is_scaled_and_biased_by_the_formula(color, to, convert, china):
    layout = getattr(ct.colorlayout, color)
    shape = (1, 1 if color == "GRAYSCALE" else 3, 24, 32)
    image = ct.ImageType(name="image", shape=shape, scale=2 / 255, bias=BIAS[color], color_layout=layout)
    path = convert(Doubled(), [image], to=to, outputs=[ct.TensorType(name="y")])
    answer = load_model(path).predict({"image": china.convert("L") if color == "GRAYSCALE" else china})["y"]
    bias = np.reshape(np.array(BIAS[color], np.float32), (1, -1, 1, 1))
    np.testing.assert_allclose(answer, 2 * (pixels(china, color) * np.float32(2 / 255) + bias), atol=1e-6)


@pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_a_picture_that_passes_through_stays_itself(color, to, convert, china):
    layout = getattr(ct.colorlayout, color)
    image = ct.ImageType(name="image", shape=(1, 3, 24, 32), color_layout=layout)
    output = ct.ImageType(name="y", color_layout=layout)
    path = convert(torch.nn.ReLU(), [image], to=to, outputs=[output])
    answer = load_model(path).predict({"image": china})["y"]
    assert isinstance(answer, Image.Image)
    np.testing.assert_array_equal(np.asarray(answer), np.asarray(china.convert("RGBA")))


class Turned(torch.nn.Module):
    def forward(self, x):
        return torch.transpose(x, -2, -1)


def test_a_picture_may_arrive_as_bytes(convert, china):
    gray = {"color_layout": ct.colorlayout.GRAYSCALE}
    image = ct.ImageType(name="image", shape=(1, 1, 24, 32), grayscale_use_uint8=True, **gray)
    path = convert(Turned(), [image], outputs=[ct.ImageType(name="y", **gray)], target=ct.target.iOS17)
    answer = load_model(path).predict({"image": china.convert("L")})["y"]
    np.testing.assert_array_equal(np.asarray(answer), np.asarray(china.convert("L")).T)


def test_a_picture_output_is_clipped_to_its_levels(convert, china):
    image = ct.ImageType(name="image", shape=(1, 3, 24, 32))
    path = convert(Doubled(), [image], outputs=[ct.ImageType(name="y")])
    answer = np.asarray(load_model(path).predict({"image": china})["y"])
    np.testing.assert_array_equal(answer[:, :, :3], np.clip(np.asarray(china, np.int32) * 2, 0, 255))
    assert (answer[:, :, 3] == 255).all()


def refused(model, inputs):
    with pytest.raises(EvaluationError) as caught:
        model.predict(inputs)
    return str(caught.value)


def test_pictures_of_another_size_mode_or_kind_are_refused(classifier, china):
    model = load_model(classifier[0])
    assert "needs an image of 32 x 24 pixels (width x height), got 24 x 32" in refused(
        model, {"image": china.rotate(90, expand=True)}
    )
    assert "mode RGB, got L" in refused(model, {"image": china.convert("L")})
    assert "mode RGB, got RGBA" in refused(model, {"image": china.convert("RGBA")})
    assert "give a PIL.Image, not ndarray" in refused(model, {"image": np.asarray(china)})


def test_missing_and_unknown_inputs_are_said_together(classifier):
    message = refused(load_model(classifier[0]), {"picture": 1})
    assert "there is no input 'picture'; the inputs are image" in message
    assert "the input 'image' is missing" in message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 64)), "needs the shape [1, 64], got [2, 64]"),
        (np.zeros(64), "needs the shape [1, 64], got [64]"),
        (np.array([["a"] * 64]), "needs numbers"),
        (np.zeros((1, 64), complex), "needs numbers"),
        (Image.new("RGB", (64, 1)), "give a number array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given, words, package):
    assert words in refused(load_model(package), {"x": given})


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, list, torch.tensor])
def test_arrays_are_cast_to_the_described_type(kind, package):
    whole = np.arange(64).reshape(1, 64)
    given = whole.tolist() if kind is list else torch.tensor(whole) if kind is torch.tensor else whole.astype(kind)
    model = load_model(package)
    np.testing.assert_array_equal(model.predict({"x": given})["y"], model.predict({"x": whole.astype(np.float32)})["y"])


class Looked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(16, 4)

    def forward(self, x):
        return self.table(x.long())


def test_integers_are_taken_whole_and_in_range(convert):
    path = convert(Looked(), [ct.TensorType(name="x", shape=(1, 3), dtype=np.int32)])
    model = load_model(path)
    assert "needs whole numbers (INT32)" in refused(model, {"x": [[0.5, 1, 2]]})
    assert "outside INT32" in refused(model, {"x": [[0, 1, 2**40]]})
    assert next(iter(model.predict({"x": [[1.0, 2.0, 3.0]]}).values())).shape == (1, 3, 4)


def test_flexible_shapes_are_taken_inside_their_bounds(convert):
    shape = ct.Shape(shape=(1, ct.RangeDim(2, 5, default=3)))
    path = convert(Doubled(), [ct.TensorType(name="x", shape=shape)], outputs=[ct.TensorType(name="y")])
    model = load_model(path)
    for size in (2, 3, 5):
        np.testing.assert_array_equal(model.predict({"x": np.ones((1, size))})["y"], np.full((1, size), 2.0))
    assert (
        "needs the shape [1, 2..5], got [1, 6] (Size (6) of dimension (1) is not in allowed range (2..5))"
    ) in refused(model, {"x": np.ones((1, 6))})


def test_enumerated_picture_sizes_are_taken_and_others_refused(convert):
    shapes = ct.EnumeratedShapes(shapes=[(1, 3, 24, 32), (1, 3, 48, 64)], default=(1, 3, 24, 32))
    image = ct.ImageType(name="image", shape=shapes)
    model = load_model(convert(Doubled(), [image], outputs=[ct.TensorType(name="y")]))
    for size in ((32, 24), (64, 48)):
        assert model.predict({"image": Image.new("RGB", size)})["y"].shape == (1, 3, size[1], size[0])
    assert "needs an image of 32 x 24 or 64 x 48 pixels" in refused(model, {"image": Image.new("RGB", (40, 24))})


class Total(torch.nn.Module):
    def forward(self, x):
        return x.sum()


def test_a_scalar_has_the_shape_1(convert):
    path = convert(Total(), [ct.TensorType(name="x", shape=(2, 3))], outputs=[ct.TensorType(name="y")])
    answer = load_model(path).predict({"x": np.ones((2, 3))})["y"]
    assert answer.shape == (1,)
    assert answer.tolist() == [6.0]


def rank5_network(declared):
    """One that adds 1, as written before iOS 13."""
    features = ([("x", datatypes.Array(*declared))], [("y", None)])
    builder = ct.models.neural_network.NeuralNetworkBuilder(*features)
    builder.add_elementwise("add", ["x"], "y", mode="ADD", alpha=1.0)
    return ct.models.MLModel(builder.spec, skip_model_load=True)


@pytest.mark.parametrize(("declared", "given"), [((3,), (7, 2, 3, 1, 1)), ((3, 2, 4), (7, 1, 3, 2, 4))])
def test_old_networks_take_sequences_of_what_they_declare(declared, given):
    x = np.arange(np.prod(given), dtype=np.float32).reshape(given)
    np.testing.assert_array_equal(load_model(rank5_network(declared)).predict({"x": x})["y"], x + 1)


@pytest.mark.parametrize(("declared", "given"), [((3,), (7, 2, 4, 1, 1)), ((3, 2, 4), (7, 1, 3, 4, 2)), ((3,), (7, 3))])
def test_old_networks_refuse_sequences_of_something_else(declared, given):
    with pytest.raises(EvaluationError, match="needs the shape"):
        load_model(rank5_network(declared)).predict({"x": np.zeros(given)})
