import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate.layers import Network
from converter.evaluate.proto import FeatureTypes_pb2

COLOURS = FeatureTypes_pb2.ImageFeatureType.ColorSpace
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 2, 4)).astype(np.float32))
BIASES = {"redBias": -0.25, "greenBias": 0.5, "blueBias": 1.5, "grayBias": 9.0}


@pytest.fixture(scope="module")
def seen(model):
    """What the first layer sees of an image."""

    def run(pixels, colour, rank5=False, feature="image", **preprocessing):
        spec = model([("copy", ["image"], ["y"], {})], ["image"], rank5=rank5)
        spec.description.input[0].type.imageType.colorSpace = COLOURS.Value(colour)
        spec.description.input[0].type.imageType.height = 2
        for kind, fields in preprocessing.items():
            step = spec.neuralNetwork.preprocessing.add(featureName=feature)
            getattr(step, kind).MergeFrom(type(getattr(step, kind))(**fields))
        return Network(spec).run({"image": pixels}, ["y"])["y"]

    return run


@pytest.mark.parametrize(
    ("colour", "biases"), [("RGB", [-0.25, 0.5, 1.5]), ("BGR", [1.5, 0.5, -0.25]), ("GRAYSCALE", [9.0])]
)
def test_an_image_is_scaled_and_shifted_by_colour(seen, colour, biases):
    pixels = PIXELS[:, : len(biases)]
    expected = pixels / 4 + torch.tensor(biases)[:, None, None]
    got = seen(pixels, colour, scaler={"channelScale": 0.25} | BIASES)
    assert torch.equal(got, expected)


def test_an_image_without_preprocessing_keeps_its_pixels(seen):
    assert torch.equal(seen(PIXELS.to(torch.uint8), "RGB"), PIXELS)


def test_a_mean_image_is_subtracted(seen):
    mean = torch.arange(24.0)
    assert torch.equal(seen(PIXELS, "RGB", meanImage={"meanImage": mean.tolist()}), PIXELS - mean.reshape(3, 2, 4))


def test_a_mean_image_of_another_size_is_refused(seen):
    with pytest.raises(EvaluationError, match='input "image": the mean image holds 23 values, the image 24'):
        seen(PIXELS, "RGB", meanImage={"meanImage": [0.0] * 23})


def test_preprocessing_of_an_unknown_input_is_refused(seen):
    with pytest.raises(EvaluationError, match='preprocessing of "picture", which is no image input'):
        seen(PIXELS, "RGB", feature="picture", scaler={"channelScale": 2})


def test_rank_five_images_have_a_sequence_axis(seen):
    assert torch.equal(seen(PIXELS, "RGB", rank5=True), PIXELS[None])


@pytest.mark.parametrize(
    ("given", "seen_shape"), [((6,), (1, 1, 6, 1, 1)), ((2, 3, 4), (1, 1, 2, 3, 4)), ((5, 2, 1, 3, 4), (5, 2, 1, 3, 4))]
)
def test_rank_five_arrays(model, given, seen_shape):
    network = Network(model([("copy", ["x"], ["y"], {})], ["x"], rank5=True))
    assert network.run({"x": torch.zeros(given)}, ["y"])["y"].shape == seen_shape


def test_rank_five_outputs_take_their_declared_shape(model):
    spec = model([("flatten", ["x"], ["y"], {})], ["x"], rank5=True)
    spec.description.output[0].type.multiArrayType.shape.append(24)
    assert Network(spec).run({"x": torch.arange(24.0).reshape(2, 3, 4)}, ["y"])["y"].tolist() == list(range(24))


def test_an_image_fed_output_may_leave_out_the_leading_axis(model):
    """As coremltools' test_multiarray_to_image_input_util expects, with a transposition of three axes too."""
    for kind, fields, shape in (("copy", {}, (3, 2, 4)), ("transpose", {"axes": [1, 2, 0]}, (2, 4, 3))):
        spec = model([(kind, ["x"], ["y"], fields)], ["x"])
        spec.description.output[0].type.multiArrayType.shape.extend(shape)
        y = Network(spec).run({"x": PIXELS}, ["y"])["y"]
        assert torch.equal(y, PIXELS[0] if kind == "copy" else PIXELS[0].permute(1, 2, 0))


@pytest.mark.parametrize(("given", "declared"), [((1, 3, 1, 1), (1, 1, 3)), ((2, 1, 4), (2, 4)), ((2, 4), (1, 2, 4))])
def test_an_output_has_its_declared_axes_of_size_one(given, declared, model):
    """As coremltools' test_multiarray_to_image_input_util_transpose_elimination expects."""
    spec = model([("copy", ["x"], ["y"], {})], ["x"])
    spec.description.output[0].type.multiArrayType.shape.extend(declared)
    x = torch.arange(1.0, 1 + torch.Size(given).numel()).reshape(given)
    assert torch.equal(Network(spec).run({"x": x}, ["y"])["y"], x.reshape(declared))


@pytest.mark.parametrize("declared", [(3, 2), (6,), (2, 3, 2)])
def test_an_output_of_another_shape_stays_as_it_is(declared, model):
    spec = model([("copy", ["x"], ["y"], {})], ["x"])
    spec.description.output[0].type.multiArrayType.shape.extend(declared)
    assert Network(spec).run({"x": torch.zeros(2, 3)}, ["y"])["y"].shape == (2, 3)


def test_rank_five_arrays_of_other_ranks_are_refused(model):
    network = Network(model([("copy", ["x"], ["y"], {})], ["x"], rank5=True))
    with pytest.raises(EvaluationError, match=r'input "x": an array of rank 2 \(\[3, 4\]\) for a network of rank 5'):
        network.run({"x": torch.zeros(3, 4)}, ["y"])


def test_integers_become_floats(model):
    network = Network(model([("copy", ["x"], ["y"], {})], ["x"]))
    y = network.run({"x": torch.tensor([1, 2], dtype=torch.int32)}, ["y"])["y"]
    assert (y.dtype, y.tolist()) == (torch.float32, [1.0, 2.0])
