import pytest
from torchvision.models import get_model_weights

from converter.manifest.read import read_manifest
from converter.manifest.schema import TorchvisionSource

MANIFESTS = ["models.yml", "mobilenet_v2.yml", "imagenet.yml"]


@pytest.fixture(scope="module", params=MANIFESTS)
def manifest(request, examples):
    return read_manifest(examples / request.param)


def test_every_manifest_is_listed_here(examples):
    assert sorted(path.name for path in examples.glob("*.yml")) == sorted(MANIFESTS)


def test_every_model_is_an_image_classifier_with_softmax(manifest):
    for model in manifest.models:
        assert [given.name for given in model.inputs] == ["image"]
        assert model.inputs[0].image is not None
        assert model.classifier is not None
        assert model.classifier.softmax


def test_every_model_says_what_xcode_shows(manifest):
    for model in manifest.models:
        metadata = model.metadata
        assert all([metadata.author, metadata.license, metadata.description, metadata.version])


def test_torchvisions_weights_exist(manifest):
    for model in manifest.models:
        if isinstance(model.source, TorchvisionSource):
            assert model.source.weights in get_model_weights(model.source.torchvision).__members__


def test_the_models_without_a_network_take_both_routes_to_both_formats(examples):
    manifest = read_manifest(examples / "models.yml")
    assert [model.name for model in manifest.models] == ["digits", "mobilenet_v2_calibrated", "resnet18_calibrated"]
    for model in manifest.models:
        assert model.routes == ("direct", "onnx")
        assert [target.format for target in model.targets] == ["mlmodel", "mlpackage"]
        assert not isinstance(model.source, TorchvisionSource)


def test_the_digits_are_gated_on_answering_as_pytorch_does(examples):
    digits = read_manifest(examples / "models.yml").models[0]
    assert digits.validation.limits["min_accuracy"] == 0.98
    assert digits.validation.limits["max_accuracy_drop"] < 1 / 360
