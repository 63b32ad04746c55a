"""`validate --artifacts`: what Xcode's tools and Vision say of a folder, with stand-ins for both."""

import contextlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from converter.cli import main
from converter.convert import convert
from converter.errors import OutputError
from converter.model import (
    BuildRecord,
    Classifier,
    ImageInput,
    Interface,
    Metadata,
    ModelRecord,
    Normalization,
    Output,
    Reference,
    Sample,
    Source,
    Target,
    TensorInput,
    ValidationRecord,
)
from converter.package.archive import zip_package
from converter.package.checksums import artifact, sha256
from converter.package.record import to_json
from converter.plain import from_plain
from converter.validate import dist as dist_module
from converter.validate import xcrun
from converter.validate.check import Answers
from converter.validate.engines import Engine
from converter.validate.gates import Gates
from converter.validate.pictures import seeded_picture
from converter.validate.references import Candidate, References, write_references
from converter.validate.xcode import with_xcode

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand_in" / "xcode.py"

LABELS = ("left", "right, not left", "3")
IMAGE = ImageInput(
    name="image", color="RGB", size=(4, 4), normalization=Normalization(scale=1 / 255, mean=(0.0,) * 3, std=(1.0,) * 3)
)
SEEN = Interface(
    inputs=(IMAGE,), outputs=(Output(name="scores"),), classifier=Classifier(labels=LABELS, activation="sigmoid")
)
COUNTED = Interface(inputs=(TensorInput(name="ids", shape=(1, 3), dtype="int32"),), outputs=(Output(name="sum"),))
WEIGHTS = np.random.default_rng(0).normal(size=(48, 3)) / 255
WEIGHTS -= WEIGHTS.mean(0)  # or the brightest weights would win for every picture

SEEN_METADATA = {
    "inputSchema": [
        {"name": "image", "type": "Image", "width": "4", "height": "4", "colorspace": "RGB", "hasSizeFlexibility": "0"}
    ],
    "outputSchema": [
        {"name": "classLabelProbs", "type": "Dictionary", "keyType": "String"},
        {"name": "classLabel", "type": "String"},
    ],
    "classLabels": list(LABELS),
}
COUNTED_METADATA = {
    "inputSchema": [
        {"name": "ids", "type": "MultiArray", "dataType": "Int32", "shape": "[1, 3]", "hasShapeFlexibility": "0"}
    ],
    "outputSchema": [
        {"name": "sum", "type": "MultiArray", "dataType": "Float32", "shape": "[1, 3]", "hasShapeFlexibility": "0"}
    ],
}


def picture_samples() -> tuple[Sample, ...]:
    return tuple(Sample(name=f"seed {i}", inputs={"image": seeded_picture(i, IMAGE)}) for i in range(5))


def references(name, interface, samples, outputs, files) -> References:
    return References(
        model=name,
        interface=interface,
        gates=Gates(),
        reference=Reference(
            samples=samples, outputs=outputs, labelled=(), labelled_scores=None, engine="numpy", seconds=0.0
        ),
        candidates=tuple(Candidate(file=f, precision="float32", answers=Answers(engine="", samples=())) for f in files),
    )


def model_record(folder: Path, name: str, place="models.yml:3:5 seen") -> ModelRecord:
    return ModelRecord(
        name=name,
        place=place,
        source="",
        source_files=(),
        attempts=(),
        artifacts=tuple(artifact(file, folder) for file in sorted((folder / name).iterdir())),
        interface=None,
        metadata=Metadata(),
        notes=(),
        error="",
        exit_code=0,
        seconds={},
    )


def write(folder: Path, *models: References) -> Path:
    """An output folder's record and references; the model files are there already."""
    for model in models:
        write_references(folder / model.model / f"{model.model}.references.npz", model)
    records = tuple(model_record(folder, model.model) for model in models)
    build = BuildRecord(manifest="models.yml", commit="abc", models=records, seconds=1.0)
    (folder / "build.json").write_text(to_json(build))
    return folder


def package(folder: Path, name: str, told: dict) -> None:
    made = folder / "aside" / f"{name}.mlpackage"
    made.mkdir(parents=True)
    (made / "model.json").write_text(json.dumps(told))
    zip_package(made, folder / name / f"{name}.mlpackage.zip")


@pytest.fixture
def seen() -> References:
    samples = picture_samples()
    outputs = tuple({"scores": (s.inputs["image"].ravel() @ WEIGHTS)[None].astype(np.float32)} for s in samples)
    return references("seen", SEEN, samples, outputs, ("seen.mlmodel", "seen.mlpackage"))


@pytest.fixture
def dist(tmp_path: Path, seen) -> Path:
    """An image classifier in both formats, and a model that Vision has no use for, in JSON that stands for them."""
    folder = tmp_path / "dist"
    (folder / "seen").mkdir(parents=True)
    (folder / "counted-up").mkdir()
    told = {"metadata": [SEEN_METADATA], "weights": WEIGHTS.tolist()}
    (folder / "seen" / "seen.mlmodel").write_text(json.dumps(told))
    package(folder, "seen", told)
    package(folder, "counted-up", {"metadata": [COUNTED_METADATA]})
    samples = (Sample(name="seed 0", inputs={"ids": np.zeros((1, 3), np.int32)}),)
    counted = references(
        "counted-up", COUNTED, samples, ({"sum": np.zeros((1, 3), np.float32)},), ("counted-up.mlpackage",)
    )
    return write(folder, seen, counted)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch):
    """Puts `xcrun` on the path; its argument says what goes wrong, see stand_in/xcode.py."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "xcrun").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    (folder / "xcrun").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda faults: monkeypatch.setenv("STAND_IN_XCODE", json.dumps(faults))


@pytest.fixture
def alone(tmp_path: Path, seen) -> Path:
    """The image classifier in one format."""
    folder = tmp_path / "alone"
    (folder / "seen").mkdir(parents=True)
    told = {"metadata": [SEEN_METADATA], "weights": WEIGHTS.tolist()}
    (folder / "seen" / "seen.mlmodel").write_text(json.dumps(told))
    return write(folder, replace(seen, candidates=seen.candidates[:1]))


EMPTY = ValidationRecord(engine="coreml", machine="", versions={}, commit="", files=(), seconds=2.0)


def checked(dist, artifacts, timeout_s=600.0) -> tuple[ValidationRecord, str]:
    """The record, and what was said."""
    lines: list[str] = []
    record = with_xcode(EMPTY, dist, artifacts, timeout_s=timeout_s, say=lines.append)
    return record, "\n".join(lines)


def test_every_file_is_compiled_and_every_classifier_seen(dist, tools, tmp_path):
    artifacts = tmp_path / "made"
    record, said = checked(dist, artifacts)
    assert all(check.passed for check in record.app_checks), said
    assert [(c.model, c.file, c.problems) for c in record.compiled] == [
        ("seen", "seen/seen.mlmodel", ()),
        ("seen", "seen/seen.mlpackage.zip", ()),
        ("counted-up", "counted-up/counted-up.mlpackage.zip", ()),
    ]
    made = [made for compiled in record.compiled for made in compiled.artifacts]
    assert [one.path for one in made] == [
        "seen/mlmodel/seen.mlmodelc.zip",
        "seen/mlmodel/seen.swift",
        "seen/mlpackage/seen.mlmodelc.zip",
        "seen/mlpackage/seen.swift",
        "counted-up/mlpackage/counted-up.mlmodelc.zip",
        "counted-up/mlpackage/counted_up.swift",
    ]
    assert all(sha256(artifacts / one.path) == one.sha256 for one in made)
    with zipfile.ZipFile(artifacts / made[0].path) as archive:
        assert "seen.mlmodelc/metadata.json" in archive.namelist()
    assert [(seen.file, seen.crop, len(seen.pictures), seen.notes) for seen in record.vision] == [
        ("seen/seen.mlmodel", "centerCrop", 10, ()),
        ("seen/seen.mlpackage.zip", "centerCrop", 10, ()),
    ]
    assert len({picture.expected for picture in record.vision[0].pictures}) > 1
    assert record.seconds > 2.0
    assert said.splitlines() == [
        "seen.mlmodel: compiled: seen/mlmodel/seen.mlmodelc.zip, seen/mlmodel/seen.swift",
        "seen.mlmodel: Vision (centerCrop): 10 of 10 pictures are named as the source names them",
        "seen.mlpackage: compiled: seen/mlpackage/seen.mlmodelc.zip, seen/mlpackage/seen.swift",
        "seen.mlpackage: Vision (centerCrop): 10 of 10 pictures are named as the source names them",
        "counted-up.mlpackage: compiled: counted-up/mlpackage/counted-up.mlmodelc.zip, "
        "counted-up/mlpackage/counted_up.swift",
        f"{artifacts}: 5 of 5 checks passed in Xcode and Vision",
    ]


def test_the_same_compiled_model_gives_the_same_bytes_and_earlier_ones_go(alone, tools, tmp_path):
    tools({"swiftc": "fail"})
    first, _ = checked(alone, tmp_path / "made")
    stale = tmp_path / "made" / "seen" / "mlmodel" / "OldName.swift"
    stale.write_text("class OldName {}")
    kept = tmp_path / "made" / "notes.txt"
    kept.write_text("the user's own")
    again, _ = checked(alone, tmp_path / "made")
    assert [c.artifacts for c in first.compiled] == [c.artifacts for c in again.compiled]
    assert not stale.exists()
    assert kept.exists()


NOT_COMPILED = "it is not compiled, so nothing was shown to it"
COMPILE, GENERATE = "xcrun coremlcompiler compile", "xcrun coremlcompiler generate"
WORDS = "    coremlc: Error: a stand-in for what it says"
# what goes wrong, and what is said of the compiled model and of Vision
FAULTS = [
    ({"compile": "fail"}, f"{COMPILE} ended with exit code 1\n{WORDS}", NOT_COMPILED),
    ({"compile": "abort"}, f"{COMPILE} was ended by SIGABRT\n    libc++abi: a stand-in", NOT_COMPILED),
    ({"compile": "hang"}, f"{COMPILE}: no answer within 3 s", NOT_COMPILED),
    ({"compile": "nothing"}, f"{COMPILE} says nothing, but leaves no seen.mlmodelc", NOT_COMPILED),
    ({"compile": [0, "classLabels", ["a"]]}, "the compiled model has 1 class labels, not 3\nclass label 0: the ", None),
    ({"compile": [0, "inputSchema", 0, "width", "5"]}, "says size 4 × 5, not 4 × 4", None),
    ({"compile": [0, "inputSchema", {}]}, "the compiled model lacks the input 'image'; it has none", None),
    ({"compile": [0, "inputSchema", [1]]}, "the compiled model's metadata.json cannot be read: TypeError", None),
    ({"generate": "fail aloud"}, f"{GENERATE} ended with exit code 1\n    printed on standard output", ""),
    ({"generate": "rubbish"}, f"{GENERATE} says nothing, but leaves no Swift class", ""),
    ({"swiftc": "fail"}, "", f"xcrun swiftc -O ended with exit code 1\n{WORDS}"),
    ({"swiftc": "nothing"}, "", "classify cannot be started: No such file or directory"),
    ({"classify": "abort"}, "", "classify was ended by SIGABRT\n    libc++abi: a stand-in for what it printed"),
    ({"classify": "nothing"}, "", "Vision has answered to 0 of 15 pictures"),
    ({"classify": "rubbish"}, "", "Vision has answered to 1 of 15 pictures"),
]


@pytest.mark.parametrize(("faults", "problem", "error"), FAULTS, ids=[json.dumps(f[0]) for f in FAULTS])
def test_what_goes_wrong_is_said_in_words(faults, problem, error, alone, tools, tmp_path):
    tools(faults)
    record, said = checked(alone, tmp_path / "made", timeout_s=3 if "hang" in str(faults) else 600)
    (compiled,), (seen,) = record.compiled, record.vision
    assert problem in compiled.words
    assert compiled.passed is not bool(problem)
    if error is not None:
        assert error in seen.words
        assert seen.passed is not bool(error)
    for words in (problem, error or ""):
        assert words.partition("\n")[0] in said
    assert not record.passed


def test_a_failure_of_one_file_is_not_the_next_ones(dist, tools, tmp_path):
    (dist / "seen" / "seen.mlmodel").write_text("{")
    record, said = checked(dist, tmp_path / "made")
    assert [compiled.passed for compiled in record.compiled] == [False, True, True], said
    assert [seen.passed for seen in record.vision] == [False, True]


def test_what_one_tool_makes_is_kept_where_the_other_fails(alone, tools, tmp_path):
    tools({"compile": "fail"})
    record, _ = checked(alone, tmp_path / "made")
    assert [one.path for one in record.compiled[0].artifacts] == ["seen/mlmodel/seen.swift"]


def test_a_missing_or_broken_file_is_a_failure_of_its_own(dist, tools, tmp_path):
    (dist / "seen" / "seen.mlmodel").unlink()
    (dist / "seen" / "seen.mlpackage.zip").write_bytes(b"no zip")
    record, said = checked(dist, tmp_path / "made")
    assert record.compiled[0].problems == ("the file is missing",)
    assert "cannot be unzipped" in record.compiled[1].words
    assert record.compiled[2].passed
    assert "seen.mlmodel: FAILED in Xcode: the file is missing" in said


def test_references_that_cannot_be_read_fail_their_model_alone(dist, tools, tmp_path):
    (dist / "seen" / "seen.references.npz").write_bytes(b"none")
    record, _ = checked(dist, tmp_path / "made")
    assert [(c.file, c.passed) for c in record.compiled] == [
        ("seen/seen.references.npz", False),
        ("counted-up/counted-up.mlpackage.zip", True),
    ]


@pytest.mark.parametrize(
    ("model", "file"),
    [("seen", "../seen.mlmodel"), ("../made", "seen.mlmodel"), ("seen", ".."), ("other", "seen.mlmodel")],
)
def test_names_that_lead_out_of_the_folder_are_refused(model, file, alone, seen, tools, tmp_path):
    """The folder comes from a machine that has run models' code."""
    precious = tmp_path / "made" / "mlmodel" / "precious.swift"
    precious.parent.mkdir(parents=True)
    precious.write_text("the user's own")
    candidates = (replace(seen.candidates[0], file=file),)
    write_references(alone / "seen" / "seen.references.npz", replace(seen, model=model, candidates=candidates))
    record, _ = checked(alone, tmp_path / "made" / "xcode")
    (compiled,) = record.compiled
    assert "is no name of a model or file of its own" in compiled.words
    assert precious.exists()


def test_artifacts_that_cannot_be_written_end_it(dist, tools, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "seen").write_text("a file")
    with pytest.raises(OutputError, match=r"made cannot be written: .*\n  fix: give another folder by --artifacts"):
        checked(dist, tmp_path / "made")


class Alike:
    """Core ML, which answers as the source does."""

    def activation_input(self, output):
        return None

    def predict(self, inputs, *, outputs=None):
        if "ids" in inputs:
            return {"sum": np.zeros((1, 3), np.float32)}
        scores = 1 / (1 + np.exp(-(np.asarray(inputs["image"]).ravel() @ WEIGHTS)))
        return {
            "classLabelProbs": dict(zip(LABELS, scores, strict=True)),
            "classLabel": LABELS[int(scores.argmax())],
        }


@pytest.fixture
def core_ml(monkeypatch):
    monkeypatch.setattr(dist_module, "engine_called", lambda name: Engine(name="Core ML", load=lambda path: Alike()))
    monkeypatch.setattr(dist_module, "UnderCoreML", lambda units, limits: dist_module.Evaluated("coreml"))


def validate(dist, tmp_path, *more) -> int:
    given = ["--engine", "coreml", "--artifacts", tmp_path / "made", "--record", tmp_path / "validation.json", *more]
    return main(["validate", *map(str, (dist, *given))])


def recorded(tmp_path) -> ValidationRecord:
    return from_plain(ValidationRecord, json.loads((tmp_path / "validation.json").read_text()))


def test_the_command_records_all_of_it(dist, tools, core_ml, tmp_path, capsys):
    assert validate(dist, tmp_path) == 0
    record = recorded(tmp_path)
    assert record.passed
    assert (len(record.files), len(record.compiled), len(record.vision)) == (3, 3, 2)
    assert "seen.mlpackage: Vision (centerCrop): 10 of 10 pictures" in capsys.readouterr().out


def test_a_class_that_vision_names_otherwise_fails_the_command(dist, tools, core_ml, tmp_path, capsys, monkeypatch):
    summary, told = tmp_path / "summary.md", json.loads((dist / "seen" / "seen.mlmodel").read_text())
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    told["weights"] = (-WEIGHTS).tolist()
    (dist / "seen" / "seen.mlmodel").write_text(json.dumps(told))
    record = json.loads((dist / "build.json").read_text())
    for entry in record["models"][0]["artifacts"]:
        entry["sha256"] = sha256(dist / entry["path"])
    (dist / "build.json").write_text(json.dumps(record))
    assert validate(dist, tmp_path) == 5
    said = capsys.readouterr().out
    assert recorded(tmp_path).files[0].passed
    assert [seen.passed for seen in recorded(tmp_path).vision] == [False, True]
    assert re.search(r"FAILED in Vision \(centerCrop\): \d of 10 pictures are .*; seed 0 is '.*', not '", said)
    assert "::error file=" in said or "::error title=seen/seen.mlmodel failed in Vision" in said
    assert "`seen/seen.mlmodel` failed in Vision (centerCrop)" in summary.read_text()


def test_without_xcode_nothing_is_asked(dist, core_ml, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert validate(dist, tmp_path) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: --artifacts needs Xcode, and there is no xcrun here\n  fix: ")
    assert not (tmp_path / "made").exists()


def test_a_tool_that_xcode_lacks_is_said_before_anything_is_asked(dist, tools, core_ml, tmp_path, capsys):
    tools({"coremlcompiler": "missing"})
    assert validate(dist, tmp_path) == 2
    out, err = capsys.readouterr()
    assert (out, 'unable to find utility "coremlcompiler"' in err) == ("", True)


def test_artifacts_are_refused_with_another_engine(dist, tools, tmp_path, capsys):
    assert main(["validate", str(dist), "--artifacts", str(tmp_path / "made")]) == 2
    assert "--artifacts goes with --engine coreml" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_asked(dist, tools, core_ml, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["validate", str(dist), "--engine", "coreml", "--artifacts", str(tmp_path / "file" / "made")]) == 6
    assert "cannot be written: Not a directory\n  fix: give another folder by --artifacts" in capsys.readouterr().err


def test_what_the_job_on_macos_has_is_enough():
    """requirements/validate.txt brings coremltools, numpy, Pillow and click."""
    heavy = ("torch", "onnx", "onnxruntime", "pydantic", "jinja2", "yaml", "rich", "requests", "boto3")
    code = f"import sys; sys.modules |= dict.fromkeys({heavy}); import converter.validate.xcode; print('here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "here\n", done.stderr


class Scores(torch.nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1) @ torch.from_numpy(WEIGHTS * 255).float()


def test_a_real_conversion_is_cropped_and_classified_as_it_was_checked(tmp_path, monkeypatch):
    """The stand-in for Vision crops by what is documented, and asks the reference evaluator, in this process."""
    tools = runpy.run_path(str(STAND_IN))["main"]

    def run(command, *, timeout_s):
        tool, *arguments = map(str, command[1:] if command[0] == "xcrun" else ["classify", *command[1:]])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            tools(tool, *arguments)
        return said.getvalue()

    monkeypatch.setattr(xcrun, "run", run)
    folder = tmp_path / "dist"
    (folder / "seen").mkdir(parents=True)
    source = Source(
        name="seen",
        place="models.yml:1:1 seen",
        description="a net",
        interface=SEEN,
        metadata=Metadata(),
        files=(),
        module=Scores().eval(),
        example=(torch.zeros(1, 3, 4, 4),),
    )
    target = Target(format="mlmodel", deployment_target="iOS14", compute_precision="float32")
    convert(source, "direct", target, folder / "seen" / "seen.mlmodel")
    samples = picture_samples()
    outputs = tuple({"scores": (s.inputs["image"].ravel() @ WEIGHTS)[None].astype(np.float32)} for s in samples)
    write(folder, references("seen", SEEN, samples, outputs, ("seen.mlmodel",)))
    record, said = checked(folder, tmp_path / "made")
    assert [check.passed for check in record.app_checks] == [True, True], said
    assert record.vision[0].notes == ()
