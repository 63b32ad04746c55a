"""What the gates are for: each mistake that people make between PyTorch and Core ML fails them, and by how much.

The reference is asked through the right interface, the conversion is given a wrong one; then the saved file is held
against the reference as a build does it.
"""

from dataclasses import replace

import pytest

from converter.convert import convert
from converter.load import attachments, load
from converter.manifest import read_manifest
from converter.model import Interface, Target
from converter.validate import reference_of, validate
from converter.validate.samples import samples

MLMODEL = Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32")
MLPACKAGE = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16")


def with_image(interface: Interface, **changes) -> Interface:
    (image,) = interface.inputs
    return replace(interface, inputs=(replace(image, **changes),))


def with_normalization(interface: Interface, **changes) -> Interface:
    return with_image(interface, normalization=replace(interface.inputs[0].normalization, **changes))


def unchanged(interface: Interface) -> Interface:
    return interface


def bgr(interface: Interface) -> Interface:
    return with_image(interface, color="BGR")


def averaged_std(interface: Interface) -> Interface:
    """As Apple's documentation has it."""
    return with_normalization(interface, std=(0.226, 0.226, 0.226))


def normalized_twice(interface: Interface) -> Interface:
    """((x - mean) / std - mean) / std, as where the app normalises what the model normalises again."""
    right = interface.inputs[0].normalization
    pairs = list(zip(right.mean, right.std, strict=True))
    return with_normalization(
        interface, mean=tuple(mean + mean * std for mean, std in pairs), std=tuple(std * std for _, std in pairs)
    )


def not_normalized(interface: Interface) -> Interface:
    channels = interface.inputs[0].channels
    return with_normalization(interface, mean=(0.0,) * channels, std=(1.0,) * channels)


def shuffled_labels(interface: Interface) -> Interface:
    """Every label one class off, as where a list begins with a background class."""
    labels = interface.classifier.labels
    return replace(interface, classifier=replace(interface.classifier, labels=(*labels[1:], labels[0])))


def prepared(name, examples, cache):
    """A model of models.yml, loaded, and its reference."""
    model = next(m for m in read_manifest(examples / "models.yml").models if m.name == name)
    source = load(model, root=model.folder, cache=cache)
    return model, source, reference_of(source, attachments(model, cache=cache), seeds=model.validation.seeds)


def checked(prepared, mutate, route, target, folder):
    """The mutated conversion, held against the right reference; also the smallest PSNR."""
    model, source, reference = prepared
    mutant = replace(source, interface=mutate(source.interface))
    conversion = convert(mutant, route, target, folder / f"mutant.{target.format}")
    validation = validate(source, reference, conversion, model.validation)
    return validation, min(metrics.psnr_db for metrics in validation.metrics)


def missed(validation) -> set[str]:
    return {gate.name for gate in validation.gates if not gate.passed}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def photographs(examples, cache):
    """The calibrated MobileNetV2 and what it says of the two photographs."""
    return prepared("mobilenet_v2_calibrated", examples, cache)


@pytest.fixture(scope="module")
def digits(examples, cache):
    """The trained digits network and what it says of the held-out pictures."""
    return prepared("digits", examples, cache)


RIGHT = [("onnx", MLMODEL, 100), ("direct", MLPACKAGE, 40)]  # measured: 114 and 48 dB


@pytest.mark.parametrize(("route", "target", "at_least_db"), RIGHT)
def test_the_right_conversion_of_mobilenet_passes(photographs, tmp_path, route, target, at_least_db):
    validation, psnr_db = checked(photographs, unchanged, route, target, tmp_path)
    assert not missed(validation)
    assert psnr_db > at_least_db


WRONG = [  # below what, in dB; measured: 9, 11, 10, 35, 9
    (bgr, "onnx", MLMODEL, 15),
    (normalized_twice, "onnx", MLMODEL, 15),
    (not_normalized, "onnx", MLMODEL, 15),
    (averaged_std, "onnx", MLMODEL, 50),
    (bgr, "direct", MLPACKAGE, 15),
]


@pytest.mark.parametrize(("mutate", "route", "target", "below_db"), WRONG)
def test_a_wrong_conversion_of_mobilenet_fails(photographs, tmp_path, mutate, route, target, below_db):
    validation, psnr_db = checked(photographs, mutate, route, target, tmp_path)
    assert "psnr_db" in missed(validation)
    assert psnr_db < below_db


def test_shuffled_labels_of_mobilenet_fail(photographs, tmp_path):
    """The scores are right, so only what they are called can show it."""
    validation, psnr_db = checked(photographs, shuffled_labels, "onnx", MLMODEL, tmp_path)
    assert "top1" in missed(validation)
    assert psnr_db > 100


@pytest.mark.parametrize("shorter_side", [224, 232])
def test_a_wrong_crop_fails(photographs, examples, tmp_path, shorter_side):
    """224 squeezes the whole picture in, 232 is what torchvision's newer weights want; these want 256."""
    model, source, reference = photographs
    image = source.interface.inputs[0]
    wrong = with_image(source.interface, resize=replace(image.resize, shorter_side=shorter_side))
    files = [examples / "images" / name for name in ("china.jpg", "flower.jpg")]
    cropped = replace(reference, samples=samples(wrong, files, seeds=0))
    conversion = convert(source, "onnx", MLPACKAGE, tmp_path / "right.mlpackage")
    validation = validate(source, cropped, conversion, model.validation)
    assert "psnr_db" in missed(validation)
    assert validation.metrics[0].psnr_db < 20


@pytest.mark.parametrize(("route", "target"), [("direct", MLMODEL), ("onnx", MLPACKAGE)])
def test_the_right_conversion_of_the_digits_answers_as_pytorch_does(digits, tmp_path, route, target):
    validation, _ = checked(digits, unchanged, route, target, tmp_path)
    assert not missed(validation)
    assert validation.accuracy == validation.reference_accuracy


@pytest.mark.parametrize("mutate", [normalized_twice, not_normalized])
def test_a_wrong_normalization_of_the_digits_fails(digits, tmp_path, mutate):
    validation, _ = checked(digits, mutate, "onnx", MLPACKAGE, tmp_path)
    assert "psnr_db" in missed(validation)


def test_shuffled_labels_of_the_digits_fail(digits, tmp_path):
    validation, _ = checked(digits, shuffled_labels, "onnx", MLPACKAGE, tmp_path)
    assert {"min_accuracy", "max_accuracy_drop"} <= missed(validation)
    assert validation.accuracy == 0
