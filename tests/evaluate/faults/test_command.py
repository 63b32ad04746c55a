"""`inspect FILE --check`, and what a file that cannot be read at all comes to."""

import json
import shutil

import pytest

from converter import check_file
from converter.cli import main
from converter.errors import EvaluationError
from converter.evaluate.proto import Model_pb2
from converter.package.archive import zip_package


@pytest.fixture
def broken(small, tmp_path):
    """A NeuralNetwork with two faults."""
    spec = Model_pb2.Model.FromString(small["neuralnetwork"].read_bytes())
    spec.neuralNetworkClassifier.stringClassLabels.vector[1] = "cat"
    spec.specificationVersion = 2
    path = tmp_path / "broken.mlmodel"
    path.write_bytes(spec.SerializeToString())
    return path


def test_a_right_file_is_said_to_have_none(small, capsys):
    assert main(["inspect", str(small["mlprogram"]), "--check"]) == 0
    assert capsys.readouterr().out == f"{small['mlprogram']}: no faults found\n"


def test_a_zipped_package_is_checked_under_its_own_name(small, tmp_path, capsys):
    package = tmp_path / "small.mlpackage"
    shutil.copytree(small["mlprogram"], package)
    (package / "Data/com.apple.CoreML/weights/weight.bin").write_bytes(bytes(64))
    zip_package(package, tmp_path / "small.mlpackage.zip")
    assert main(["inspect", str(tmp_path / "small.mlpackage.zip"), "--check"]) == 7
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{tmp_path / 'small.mlpackage.zip'} > function main > const ")


def test_faults_are_printed_with_place_and_fix(broken, capsys):
    assert main(["inspect", str(broken), "--check"]) == 7
    version, labels = capsys.readouterr().out.split("fix:")[:2]
    assert version.startswith(f"{broken}: the specification version is 2, but ")
    assert f"{broken}: labels stand there more than once (cat)" in labels


def test_faults_are_printed_as_json(broken, capsys):
    assert main(["inspect", str(broken), "--check", "--json"]) == 7
    faults = json.loads(capsys.readouterr().out)
    assert [set(fault) for fault in faults] == [{"file", "problem", "fix", "model", "function", "op", "name"}] * 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a model at all", "it does not parse"),
        (b"", "it holds no model of any type"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(content, words, tmp_path):
    path = tmp_path / "x.mlmodel"
    path.write_bytes(content)
    (fault,) = check_file(path)
    assert words in fault.problem
    assert (fault.file, fault.op) == (str(path), "")


def test_a_path_without_a_file_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="there is no such file"):
        check_file(tmp_path / "none.mlmodel")
