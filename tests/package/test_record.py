import json
import math

import pytest

from converter.errors import OutputError
from converter.model import (
    Artifact,
    Attempt,
    BuildRecord,
    Classifier,
    Gate,
    ImageInput,
    Interface,
    Metadata,
    ModelRecord,
    Normalization,
    Output,
    OutputMetrics,
    Range,
    SourceFile,
    TensorInput,
    Validation,
)
from converter.package.record import read_record, to_json


def record():
    metrics = OutputMetrics(output="p", on="before softmax", psnr_db=math.inf, max_abs_error=0.0, cosine=1.0)
    gate = Gate(name="psnr_db", limit=90.0, measured=math.inf, passed=True, words="fine")
    validation = Validation(
        engine="reference evaluator",
        metrics=(metrics,),
        gates=(gate,),
        accuracy=0.98,
        reference_accuracy=0.98,
        seconds=1.5,
    )
    image = ImageInput(
        name="image",
        color="RGB",
        size=(8, 8),
        normalization=Normalization(scale=1 / 255, mean=(0.1, 0.2, 0.3), std=(1, 1, 1)),
        ranges=(Range(lower=4, upper=16, default=8), Range(lower=4, upper=16, default=8)),
    )
    tensor = TensorInput(name="tokens", shape=(1, Range(lower=1, upper=9, default=4)), dtype="int32")
    model = ModelRecord(
        name="net",
        place="models.yml:3:5 net",
        source="onnx net.onnx",
        source_files=(SourceFile(origin="net.onnx", sha256="0" * 64, size_bytes=3),),
        attempts=(Attempt(route="onnx", format="mlmodel", validation=validation),),
        artifacts=(Artifact(path="net/net.mlmodel", sha256="1" * 64, size_bytes=9, published=True),),
        interface=Interface(
            inputs=(image, tensor), outputs=(Output(name="p"),), classifier=Classifier(labels=("höher", "b"))
        ),
        metadata=Metadata(author="A", additional={"k": "v"}),
        notes=("one",),
        error="",
        exit_code=0,
        seconds={"load": 1.25},
        commit="abc",
    )
    return BuildRecord(manifest="models.yml", commit="abc", models=(model,), seconds=2.0)


def test_a_record_comes_back_as_it_went(tmp_path):
    (tmp_path / "build.json").write_text(to_json(record()), encoding="utf-8")
    assert read_record(tmp_path) == record()


def test_the_record_is_strict_json():
    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(to_json(record()), parse_constant=refuse)["models"][0]["name"] == "net"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"manifest": 3}'])
def test_a_folder_without_a_record_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "build.json").write_text(content)
    with pytest.raises(OutputError):
        read_record(tmp_path)
