import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from coremltools.proto import FeatureTypes_pb2, Model_pb2

from converter.convert import convert, interface
from converter.errors import ConversionError
from converter.model import Classifier, Interface, Output, Target, TensorInput

MLMODEL = Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32")
MLPACKAGE = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16")
EVERY_WAY = [(route, target) for route in ("direct", "onnx") for target in (MLMODEL, MLPACKAGE)]
IDS = [f"{route}-{target.format}" for route, target in EVERY_WAY]


def written(source, route, target, folder) -> tuple[Path, Model_pb2.Model]:
    path = convert(source, route, target, folder / f"net.{target.format}").path
    spec = Model_pb2.Model()
    spec.ParseFromString((path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path).read_bytes())
    return path, spec


def tree_digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(p.relative_to(path).as_posix().encode() + p.read_bytes() for p in files)).hexdigest()


@pytest.mark.parametrize(("route", "target"), EVERY_WAY, ids=IDS)
def test_every_route_and_format_gives_the_same_interface(route, target, make_source, image, classifier, tmp_path):
    _, spec = written(make_source(image, classifier=classifier), route, target, tmp_path)
    said = spec.description
    assert [(i.name, i.shortDescription) for i in said.input] == [("image", "A photo")]
    picture = said.input[0].type.imageType
    assert (picture.height, picture.width) == (12, 16)
    assert picture.colorSpace == FeatureTypes_pb2.ImageFeatureType.ColorSpace.RGB
    outputs = {o.name: o.type.WhichOneof("Type") for o in said.output}
    assert outputs == {"classLabel": "stringType", "classLabelProbs": "dictionaryType"}
    assert (said.predictedFeatureName, said.predictedProbabilitiesName) == ("classLabel", "classLabelProbs")
    metadata = said.metadata
    assert (metadata.author, metadata.license, metadata.versionString) == ("A", "MIT", "1")
    assert metadata.userDefined["key"] == "value"
    assert metadata.userDefined["source.sha256.net.pth"] == "0" * 64
    assert metadata.userDefined["com.apple.coreml.model.preview.type"] == "imageClassifier"
    assert '"resize_shorter_side": 14' in metadata.userDefined["preprocessing"]
    assert not [key for key in metadata.userDefined if "date" in key]


@pytest.mark.parametrize(("route", "target"), EVERY_WAY, ids=IDS)
def test_two_conversions_give_the_same_bytes(route, target, make_source, image, classifier, tmp_path):
    source = make_source(image, classifier=classifier)
    digests = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        digests.add(tree_digest(written(source, route, target, folder)[0]))
    assert len(digests) == 1


class Refused(torch.nn.Module):
    def forward(self, x):
        return torch.fft.fft(torch.relu(x)).real.to(torch.complex64).imag.to(torch.bool).nonzero()


def test_a_conversion_that_failed_leaves_no_trace_in_the_next_one(make_source, image, classifier, tmp_path):
    source = make_source(image, classifier=classifier)
    before = tree_digest(written(source, "direct", MLMODEL, tmp_path)[0])
    with pytest.raises(ConversionError, match="torch frontend refused") as refused:
        convert(make_source(image, module=Refused()), "direct", MLMODEL, tmp_path / "no.mlmodel")
    assert refused.value.where == ("models.yml:2:5 net", "convert", "mlmodel by route direct")
    assert tree_digest(written(source, "direct", MLMODEL, tmp_path)[0]) == before


@pytest.mark.parametrize("route", ["direct", "onnx"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_pixels_are_scaled_once_and_shifted_per_channel(route, color, make_source, image, tmp_path):
    """NeuralNetwork.proto: the biases are named by colour, whatever the order of the channels."""
    _, spec = written(make_source(replace(image, color=color)), route, MLMODEL, tmp_path)
    scaler = spec.neuralNetwork.preprocessing[0].scaler
    first, second, third = image.normalization.mean
    if color == "BGR":
        first, third = third, first
    assert scaler.channelScale == pytest.approx(1 / 255)
    assert (scaler.redBias, scaler.greenBias, scaler.blueBias) == pytest.approx((-first, -second, -third))


BAD_INTERFACES = [
    (["1st", "x"], ["y"], None, "'1st' is no Core ML name"),
    (["a b"], ["y"], None, "'a b' is no Core ML name"),
    (["x", "x"], ["y"], None, "'x' is used 2 times"),
    (["x"], ["x"], None, "'x' is used 2 times"),
    (["classLabel"], ["y"], Classifier(labels=("a", "b")), "'classLabel' is used 2 times"),
    (["x"], ["y"], Classifier(labels=("a", "b", "a")), "label 'a' stands 2 times"),
]


@pytest.mark.parametrize(("inputs", "outputs", "classifier", "words"), BAD_INTERFACES)
def test_names_and_labels_that_core_ml_takes_wrongly_are_refused(inputs, outputs, classifier, words):
    bad = Interface(
        inputs=tuple(TensorInput(name=name, shape=(1,), dtype="float32") for name in inputs),
        outputs=tuple(Output(name=name) for name in outputs),
        classifier=classifier,
    )
    with pytest.raises(ConversionError, match=words):
        interface.check(bad)


@pytest.mark.parametrize("target", [MLMODEL, MLPACKAGE], ids=["mlmodel", "mlpackage"])
def test_other_names_are_kept(target, make_source, image, tmp_path):
    labels = Classifier(
        labels=("a", "b", "c"), activation="sigmoid", predicted_feature_name="best", probabilities_name="all_of_them"
    )
    _, spec = written(make_source(replace(image, name="photo"), classifier=labels), "direct", target, tmp_path)
    assert {i.name for i in spec.description.input} == {"photo"}
    assert {o.name for o in spec.description.output} == {"best", "all_of_them"}
    assert "Independent" in next(o.shortDescription for o in spec.description.output if o.name == "all_of_them")
