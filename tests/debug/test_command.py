"""The command as it is typed, and what a run says by itself."""

import json

import pytest
import torch

from converter.cli import main
from converter.convert import convert
from converter.debug import first_that_differs, unasked
from converter.errors import ValidationError
from converter.manifest.schema import ValidationOptions
from converter.model import Attachments, Divergence, Interface, Metadata, Output, Source, Target, TensorInput
from converter.plain import from_plain
from converter.validate import reference_of

NETS = """
import torch


class Sum(torch.nn.Module):
    def forward(self, x):
        return torch.sum(x * 600, -1) / 600


def overflowing():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(2), Sum())


def right():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
"""
MANIFEST = """
models:
  - name: overflowing
    source: {factory: "nets.py:overflowing"}
    inputs: [{name: image, image: {size: 32, normalize: imagenet}}]
    formats: [mlpackage]
    route: onnx
  - name: right
    source: {factory: "nets.py:right"}
    inputs: [{name: image, image: {size: 8, normalize: imagenet}}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "models.yml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_the_operation_the_fix_and_the_files(folder, capsys):
    code = main(["debug", "overflowing", "--fix", "--json", "where.json", "--html", "where.html"])
    said = capsys.readouterr().out
    assert code == ValidationError.exit_code
    assert "the first operation that differs is reduce_sum_0 (reduce_sum)" in said
    (found,) = (from_plain(Divergence, one) for one in json.loads((folder / "where.json").read_text()))
    assert found.ops[found.first].op_type == "reduce_sum"
    assert f"float32_ops: [{', '.join(found.float32_ops)}]" in said
    assert "<svg" in (folder / "where.html").read_text()


def test_a_right_model_is_right_in_every_format(folder, capsys):
    assert main(["debug", "right"]) == 0
    said = capsys.readouterr().out
    assert said.count("nothing differs") == 2
    assert "right.mlmodel" in said
    assert "right.mlpackage" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wrong"], "no such model"),
        (["overflowing", "--format", "mlmodel"], "is built as mlpackage"),
        (["overflowing", "--route", "direct"], "goes by onnx alone"),
        (["overflowing", "--file", "nets.py", "--fix"], "--file takes no"),
        (["overflowing", "--manifest", "none.yml"], "none.yml"),
    ],
)
def test_what_the_manifest_does_not_have_is_refused(arguments, words, capsys):
    assert main(["debug", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_run_names_the_operation_at_fault_and_its_files_can_be_looked_at(folder, capsys):
    assert main(["convert", "models.yml", "-j", "2"]) == ValidationError.exit_code
    record = json.loads((folder / "dist/build.json").read_text())["models"][0]
    assert "psnr_db of output" in record["error"]
    assert 'cause: float16 overflow: reduce_sum "reduce_sum_0" is the first' in record["error"]
    assert "beyond float16's 65504" in record["error"]
    divergence = record["attempts"][0]["divergence"]
    assert divergence["ops"][divergence["first"]]["name"] == "reduce_sum_0"
    capsys.readouterr()
    assert main(["debug", "right", "--file", "dist/right/right.mlpackage.zip"]) == 0
    assert "nothing differs" in capsys.readouterr().out


@pytest.fixture
def small(tmp_path):
    """A source, its reference and a conversion of it."""
    interface = Interface(inputs=(TensorInput(name="x", shape=(2, 3), dtype="float32"),), outputs=(Output(name="y"),))
    source = Source(
        name="net",
        place="models.yml:2:5 net",
        description="a net",
        interface=interface,
        metadata=Metadata(),
        files=(),
        module=torch.nn.ReLU(),
        example=(torch.zeros(2, 3),),
    )
    target = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16")
    conversion = convert(source, "direct", target, tmp_path / "net.mlpackage")
    return source, reference_of(source, Attachments(), seeds=1), conversion


@pytest.mark.parametrize("limit", ["SMALL_BYTES", "SMALL_OPS", "SMALL_VALUES_BYTES"])
def test_a_large_model_is_left_to_the_command(limit, monkeypatch, small):
    command = "`debug net --format mlpackage --route direct` looks for the first operation that differs"
    assert first_that_differs(*small, ValidationOptions())[0] != command
    monkeypatch.setattr(unasked, limit, 0)
    words, divergence = first_that_differs(*small, ValidationOptions())
    assert (words.partition(";")[0], divergence) == (command, None)
    assert ("the values inside the model take more than" in words) is (limit == "SMALL_VALUES_BYTES")


def test_what_goes_wrong_while_looking_unasked_is_said(monkeypatch, small):
    def breaks(*_, **__):
        raise RuntimeError("the library gave up")

    monkeypatch.setattr(unasked, "look", breaks)
    words, divergence = first_that_differs(*small, ValidationOptions())
    assert words.endswith("; here it was not found: RuntimeError: the library gave up")
    assert divergence is None
