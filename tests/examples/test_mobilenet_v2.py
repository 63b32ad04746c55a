"""mobilenet_v2.yml from end to end, with a calibrated checkpoint in the place of the weights that need a network."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import MobileNet_V2_Weights

import converter
from converter.convert import convert
from converter.load import attachments, load
from converter.manifest import read_manifest
from converter.validate import reference_of, validate

SOURCE = "source: {torchvision: mobilenet_v2, weights: IMAGENET1K_V1}"


@pytest.fixture(scope="module")
def built(examples, networks, tmp_path_factory):
    """The source, the saved model's path and its validation."""
    folder = tmp_path_factory.mktemp("mobilenet_v2")
    manifest = (examples / "mobilenet_v2.yml").read_text(encoding="utf-8")
    assert SOURCE in manifest
    offline = SOURCE.replace("}", ", checkpoint: calibrated.safetensors}")
    (folder / "mobilenet_v2.yml").write_text(manifest.replace(SOURCE, offline), encoding="utf-8")
    for name in ("images", "imagenet"):
        shutil.copytree(examples / name, folder / name)
    save_file(networks["mobilenet_v2"].state_dict(), folder / "calibrated.safetensors")

    (model,) = read_manifest(folder / "mobilenet_v2.yml").models
    (target,), (route,) = model.targets, model.routes
    source = load(model, root=model.folder, cache=folder / "cache")
    conversion = convert(source, route, target, folder / f"{model.name}.{target.format}")
    reference = reference_of(source, attachments(model, cache=folder / "cache"), seeds=model.validation.seeds)
    return source, conversion.path, validate(source, reference, conversion, model.validation)


def test_it_passes_its_gates_as_mobilenet_v2_mlmodel(built):
    _, path, validation = built
    assert path.name == "mobilenet_v2.mlmodel"
    assert validation.passed, [gate.words for gate in validation.gates]


def test_the_two_duplicate_names_are_repaired_and_the_repair_is_said(built):
    classifier = built[0].interface.classifier
    assert len(set(classifier.labels)) == 1000
    for name in ("crane", "maillot"):
        assert any(name in repair for repair in classifier.repairs)


def test_a_picture_gets_the_label_and_the_probabilities_that_torch_gives_it(built, networks, examples):
    """torchvision's own transforms and softmax are the oracle."""
    source, path, _ = built
    photograph = Image.open(examples / "images" / "flower.jpg")
    with torch.inference_mode():
        logits = networks["mobilenet_v2"](MobileNet_V2_Weights.IMAGENET1K_V1.transforms()(photograph)[None])
    expected = logits.softmax(1)[0].numpy()

    scaled = photograph.resize((256 * photograph.width // photograph.height, 256), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - 224) / 2), 16
    answer = converter.load_model(path).predict({"image": scaled.crop((left, top, left + 224, top + 224))})
    assert set(answer) == {"classLabel", "classLabelProbs"}
    labels = source.interface.classifier.labels
    assert answer["classLabel"] == labels[int(expected.argmax())]
    np.testing.assert_allclose([answer["classLabelProbs"][label] for label in labels], expected, atol=1e-5)
