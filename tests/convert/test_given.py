"""A file that was converted elsewhere: taken byte for byte, or refused with every difference at once."""

from dataclasses import replace

import coremltools as ct
import numpy as np
import pytest
import torch

from converter.convert.given import given
from converter.errors import ConversionError
from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Metadata,
    Normalization,
    Output,
    Range,
    Source,
    Target,
    TensorInput,
)

PACKAGE = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16", compute_units="CPU_ONLY")
NETWORK = Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32")
IMAGE = ImageInput(
    name="image", color="RGB", size=(8, 8), normalization=Normalization(scale=1 / 255, mean=(0.0,) * 3, std=(1.0,) * 3)
)
LABELS = ("cat", "dog", "newt")
CLASSIFIER = Interface(
    inputs=(IMAGE,),
    outputs=(Output(name="scores"),),
    classifier=Classifier(labels=LABELS, activation="softmax", probabilities_name="classLabel_probs"),
)
PLAIN = Interface(
    inputs=(TensorInput(name="x", shape=(1, 3, 8, 8), dtype="float32"),), outputs=(Output(name="scores"),)
)


def source(interface):
    return Source(
        name="m", place="models.yml:1:1 m", description="", interface=interface, metadata=Metadata(), files=()
    )


class Net(torch.nn.Module):
    def forward(self, x):
        return (x.mean((2, 3)) * 2).softmax(1)


def converted(inputs, *, to="mlprogram", labels=None, **more):
    traced = torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8))
    if to == "mlprogram":
        more = {"minimum_deployment_target": ct.target.iOS17, "compute_precision": ct.precision.FLOAT32, **more}
    if labels:
        more["classifier_config"] = ct.ClassifierConfig(list(labels))
    elif to == "mlprogram":
        more["outputs"] = [ct.TensorType(name="scores", dtype=np.float32)]
    return ct.convert(traced, inputs=inputs, convert_to=to, skip_model_load=True, **more)


IMAGE_TYPE = {"name": "image", "shape": (1, 3, 8, 8)}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("given") / "theirs.mlpackage"
    converted([ct.ImageType(**IMAGE_TYPE)], labels=LABELS).save(str(path))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("given") / "plain.mlpackage"
    tensor = ct.TensorType(name="x", shape=(1, 3, 8, ct.RangeDim(4, 16, default=8)), dtype=np.float32)
    converted([tensor], compute_precision=ct.precision.FLOAT16).save(str(path))
    return path


def files(package):
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def test_a_package_is_taken_byte_for_byte_and_says_what_it_is(classifier, tmp_path):
    conversion = given(source(CLASSIFIER), classifier, PACKAGE, tmp_path / "m.mlpackage")
    assert files(tmp_path / "m.mlpackage") == files(classifier)
    assert conversion.route == "given"
    target = conversion.target
    assert (target.deployment_target, target.compute_precision, target.compute_units) == (
        "iOS17",
        "float32",
        "CPU_ONLY",
    )
    assert conversion.versions == {"coremltools": ct.__version__, "torch": torch.__version__}


def test_a_network_is_taken_byte_for_byte(tmp_path):
    made = converted([ct.ImageType(**IMAGE_TYPE)], to="neuralnetwork", labels=LABELS)
    spec = made.get_spec()
    ct.utils.rename_feature(spec, spec.description.predictedProbabilitiesName, "classLabel_probs")
    ct.utils.save_spec(spec, str(tmp_path / "theirs.mlmodel"))
    conversion = given(source(CLASSIFIER), tmp_path / "theirs.mlmodel", NETWORK, tmp_path / "m.mlmodel")
    assert (tmp_path / "m.mlmodel").read_bytes() == (tmp_path / "theirs.mlmodel").read_bytes()
    assert (conversion.target.deployment_target, conversion.target.compute_precision) == ("iOS13", "float32")


def test_half_precision_is_seen(plain, tmp_path):
    assert given(source(PLAIN), plain, PACKAGE, tmp_path / "m.mlpackage").target.compute_precision == "float16"


def test_bgr_is_no_difference_of_the_interface(tmp_path):
    """The app hands over the same picture; whether the order is the source's is measured."""
    converted([ct.ImageType(**IMAGE_TYPE, color_layout=ct.colorlayout.BGR)], labels=LABELS).save(
        str(tmp_path / "bgr.mlpackage")
    )
    given(source(CLASSIFIER), tmp_path / "bgr.mlpackage", PACKAGE, tmp_path / "m.mlpackage")


def image(**changes):
    return replace(CLASSIFIER, inputs=(replace(IMAGE, **changes),))


def labelled(*labels):
    return replace(CLASSIFIER, classifier=replace(CLASSIFIER.classifier, labels=labels))


TENSOR = PLAIN.inputs[0]
# the manifest's interface, and what is said of the classifier of 8 x 8 pixels
DIFFERENCES = [
    (image(name="picture"), ["no input 'picture'; the file has 'image'", "also wants an input 'image'"]),
    (image(size=(8, 16)), ["does not take 8 x 16 pixels (height x width); its own size is 8 x 8"]),
    (image(ranges=(Range(8, 32), Range(8, 32))), ["does not take 32 x 32"]),
    (image(enumerated=((8, 8), (16, 16))), ["does not take 16 x 16"]),
    (image(color="GRAYSCALE"), ["takes RGB, the manifest says GRAYSCALE"]),
    (labelled("cat", "dog"), ["has 3 labels, the manifest 2", "with 'newt'"]),
    (labelled("cat", "dog", "frog"), ["without 'frog', with 'newt'"]),
    (
        replace(CLASSIFIER, classifier=replace(CLASSIFIER.classifier, probabilities_name="classLabelProbs")),
        ["no output 'classLabelProbs' (a dictionary of probabilities); the file has 'classLabel', 'classLabel_probs'"],
    ),
    (
        Interface(inputs=PLAIN.inputs, outputs=(Output(name="classLabel_probs"),)),
        ["no input 'x'", "output 'classLabel_probs' is a dictionary, the manifest says a multi-array"],
    ),
    (
        replace(image(size=(4, 4)), outputs=(*CLASSIFIER.outputs, Output(name="features"))),
        ["does not take 4 x 4", "no output 'features'"],
    ),
]


@pytest.mark.parametrize(("interface", "said"), DIFFERENCES)
def test_every_difference_of_the_interface_is_said_at_once(classifier, tmp_path, interface, said):
    with pytest.raises(ConversionError, match=r"models\.yml:1:1 m > convert > the given theirs\.mlpackage: ") as caught:
        given(source(interface), classifier, PACKAGE, tmp_path / "m.mlpackage")
    assert [words for words in said if words not in str(caught.value)] == []
    assert not (tmp_path / "m.mlpackage").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "int32"}, "is float32, the manifest says int32"),
        ({"shape": (1, 3, 8, Range(4, 32, 8))}, "does not take the shape [1, 3, 8, 32]"),
        ({"shape": (3, 8, 8)}, "does not take the shape [3, 8, 8]"),
        ({"shape": (1, 3, 8, 8), "enumerated": ((1, 3, 8, 8), (1, 3, 8, 3))}, "the shape [1, 3, 8, 3]"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_refused(plain, tmp_path, changes, said):
    with pytest.raises(ConversionError) as caught:
        given(source(replace(PLAIN, inputs=(replace(TENSOR, **changes),))), plain, PACKAGE, tmp_path / "m.mlpackage")
    assert said in str(caught.value)


def test_a_file_that_takes_more_than_the_manifest_says_is_taken(plain, tmp_path):
    tensor = replace(TENSOR, shape=(1, 3, 8, Range(4, 12, 8)))
    given(source(replace(PLAIN, inputs=(tensor,))), plain, PACKAGE, tmp_path / "m.mlpackage")


def test_what_is_no_core_ml_file_is_refused(tmp_path):
    (tmp_path / "text.mlmodel").write_text("no model")
    (tmp_path / "empty.mlpackage").mkdir()
    for name, target in (("text.mlmodel", NETWORK), ("empty.mlpackage", PACKAGE)):
        with pytest.raises(ConversionError, match="cannot be read") as caught:
            given(source(CLASSIFIER), tmp_path / name, target, tmp_path / f"m.{target.format}")
        assert str(tmp_path) not in str(caught.value)
