"""Core ML's stand-in under coremltools' own MLModel, in processes that hold what requirements/validate.txt brings."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h

import converter
from converter.cli import main
from converter.errors import EvaluationError, TimeLimitError
from converter.model import Interface, Output, Reference, Sample, TensorInput, ValidationRecord
from converter.package.checksums import sha256
from converter.plain import from_plain
from converter.validate.apart import Limits, ask_apart
from converter.validate.coreml import CoreML, placements
from converter.validate.engines import Engine
from converter.validate.gates import Gates
from converter.validate.references import References, write_references

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "stand_in"

CUSTOMIZE = """
import runpy, sys
REFUSED = {refused!r}

class Refuse:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"requirements/validate.txt does not bring {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
if {stands_in!r}:
    runpy.run_path({stand_in!r})
"""


def locked() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "validate.txt").read_text(), re.MULTILINE))


@pytest.fixture
def lean(tmp_path: Path, monkeypatch):
    """Processes that are started from now on find nothing that the lock does not bring."""

    def start(*, stands_in=True):
        names = importlib.metadata.packages_distributions()
        refused = sorted(n for n, by in names.items() if not {b.lower().replace("_", "-") for b in by} & locked())
        assert {"torch", "onnx", "pydantic", "rich", "jinja2"} <= set(refused)
        assert not {"numpy", "PIL", "coremltools", "click"} & set(refused)
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        stand_in = str(STAND_IN / "sitecustomize.py")
        text = CUSTOMIZE.format(refused=refused, stands_in=stands_in, stand_in=stand_in)
        (folder / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("STAND_IN_PYTHON", sys.executable)

    return start


def validated(*arguments):
    command = [sys.executable, ROOT / "entrypoint.py", "validate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def graph(nodes, inputs, outputs, *weights):
    inputs = [h.make_tensor_value_info(n, d, s) for n, d, s in inputs]
    outputs = [h.make_tensor_value_info(n, T.FLOAT, s) for n, s in outputs]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in weights]
    return h.make_model(h.make_graph(nodes, "g", inputs, outputs, weights), opset_imports=[h.make_opsetid("", 17)])


MANIFEST = """
defaults: {route: onnx}
models:
  - name: seen
    source: {onnx: {path: seen.onnx, sha256: SEEN}}
    formats: [mlmodel]
    validate: {compute_units_required: [ALL]}
    inputs: [{name: image, image: {size: 4, color: RGB, normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4]}}}]
    classifier: {labels: [left, "right, not left", "3"], softmax: true}
  - name: counted
    source: {onnx: {path: counted.onnx, sha256: COUNTED}}
    formats: [{mlpackage: {deployment_target: iOS16}}]
    inputs:
      - {name: ids, tensor: {shape: [1, 3], dtype: int32}}
      - {name: half, tensor: {shape: [{lower: 1, upper: 5, default: 2}, 3], dtype: float16}}
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """What `convert` leaves of a picture classifier and of a network with integers, halves and flexible sides."""
    folder = tmp_path_factory.mktemp("lean")
    head = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
    seen = graph(
        [h.make_node("Flatten", ["image"], ["flat"]), h.make_node("MatMul", ["flat", "w"], ["scores"])],
        [("image", T.FLOAT, (1, 3, 4, 4))],
        [("scores", (1, 3))],
        ("w", head),
    )
    counted = graph(
        [h.make_node("Cast", ["ids"], ["floats"], to=T.FLOAT), h.make_node("Add", ["floats", "half"], ["sum"])],
        [("ids", T.INT32, (1, 3)), ("half", T.FLOAT, ("n", 3))],
        [("sum", ("n", 3))],
    )
    onnx.save(seen, folder / "seen.onnx")
    onnx.save(counted, folder / "counted.onnx")
    digests = {name.upper(): sha256(folder / f"{name}.onnx") for name in ("seen", "counted")}
    (folder / "models.yml").write_text(re.sub(r"\b(SEEN|COUNTED)\b", lambda found: digests[found[0]], MANIFEST))
    assert main(["convert", str(folder / "models.yml"), "--output", str(folder / "dist")]) == 0
    return folder / "dist"


def test_elsewhere_than_on_macos_the_job_says_so_with_what_its_lock_brings(lean, dist):
    lean(stands_in=False)
    done = validated(dist, "--engine", "coreml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the engine coreml needs macOS" in done.stderr


def test_a_real_folder_is_checked_with_what_the_lock_brings(lean, dist, tmp_path, monkeypatch):
    lean()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    units = "--compute-units=CPU_ONLY"
    done = validated(dist, "--engine", "coreml", units, "--record", tmp_path / "validation.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 files passed on coreml" in done.stdout
    record = from_plain(ValidationRecord, json.loads((tmp_path / "validation.json").read_text()))
    assert [(file.file, file.compute_units, file.required) for file in record.files] == [
        ("seen/seen.mlmodel", "CPU_ONLY", True),
        ("seen/seen.mlmodel", "ALL", True),  # the manifest says so
        ("counted/counted.mlpackage.zip", "CPU_ONLY", True),
    ]
    assert record.passed
    assert "2 of 2 files passed" in (tmp_path / "summary.md").read_text()
    assert record.versions["coremltools"]
    for file in record.files:
        assert len(file.sha256) == 64
        assert file.drift[0].psnr_db == np.inf, "the same evaluator answers for both"
        assert 0 < file.times.load_s < 600
        assert 0 < file.times.predict_s < 60
        assert 1 <= file.times.predictions <= 10
    layers, everywhere, operations = (file.placements for file in record.files)
    assert [(layer.op_type, layer.preferred, layer.cost) for layer in layers][-1] == ("softmaxND", "CPU", None)
    assert {layer.preferred for layer in everywhere} == {"Neural Engine"}
    assert {operation.cost for operation in operations} == {0.5}
    assert {"add", "const"} & {operation.op_type for operation in operations} == {"add"}


def test_a_failure_has_its_exit_code_and_the_next_model_goes_on(lean, dist, tmp_path, monkeypatch):
    lean()
    faults = {
        "seen.mlmodel CPU_ONLY": "abort",
        "seen.mlmodel CPU_AND_GPU": "raise",
        "counted.mlpackage CPU_ONLY": "segfault",
        "counted.mlpackage CPU_AND_GPU": "kill",
    }
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps(faults))
    done = validated(dist, "--engine=coreml", "--compute-units=CPU_AND_GPU", "--record", tmp_path / "validation.json")
    assert done.returncode == 5
    assert "ended by SIGABRT\n    *** Terminating app due to uncaught exception" in done.stdout
    assert "CoreFoundation" not in done.stdout
    assert "seen.mlmodel: not passed on Core ML (Linux, x86_64), CPU_AND_GPU (for information): sample" in done.stdout
    assert "seen.mlmodel: passed 2 gates on Core ML (Linux, x86_64), ALL\n" in done.stdout
    assert "0 of 2 files passed" in done.stdout
    assert "; for information, 0 of 2 checks on other compute units did\n" in done.stdout
    record = from_plain(ValidationRecord, json.loads((tmp_path / "validation.json").read_text()))
    ends = [(file.passed, file.required, file.error.partition("\n")[0]) for file in record.files]
    ended = "the worker process was ended by"
    assert ends == [
        (False, True, f"{ended} SIGABRT"),
        (False, False, 'sample seed 0: Core ML refuses: Error compiling model: "a stand-in for Core ML\'s words".'),
        (True, True, ""),
        (False, True, f"{ended} SIGSEGV"),
        (False, False, f"{ended} SIGKILL, as happens when memory runs out"),
    ]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved network that doubles, what it was asked, and its answer."""
    folder = tmp_path_factory.mktemp("doubles")
    doubles = graph([h.make_node("Add", ["x", "x"], ["y"])], [("x", T.FLOAT, (2, 3))], [("y", (2, 3))])
    path = converter.convert_onnx(doubles, folder / "doubles.mlpackage", compute_precision="float32")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    reference = Reference(
        samples=(Sample(name="seed 0", inputs={"x": x}),),
        outputs=({"y": 2 * x},),
        labelled=(),
        labelled_scores=None,
        engine="numpy",
        seconds=0.0,
    )
    interface = Interface(inputs=(TensorInput(name="x", shape=(2, 3), dtype="float32"),), outputs=(Output(name="y"),))
    references = References(model="doubles", interface=interface, gates=Gates(), reference=reference, candidates=())
    write_references(folder / "doubles.references.npz", references)
    return path


def asked(saved: Path, **limits):
    engine = Engine(name="Core ML", load=CoreML, placements=placements)
    return ask_apart(saved, saved.with_name("doubles.references.npz"), engine, Limits(**{"timeout_s": 120, **limits}))


def test_answers_come_back_whole(lean, saved):
    lean()
    told = asked(saved)
    assert (told.note, [operation.op_type for operation in told.placements]) == ("", ["add"])
    (answer,) = told.answers.samples
    np.testing.assert_array_equal(answer.values["y"], 2 * np.arange(6).reshape(2, 3))


LOADED = "validate > doubles.mlpackage on Core ML: "
ASKED = "validate > doubles.mlpackage on Core ML > sample seed 0: "


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "abort on load",
            LOADED + "the worker process was ended by SIGABRT\n    *** Terminating app due to uncaught exception",
        ),
        ("kill", LOADED + "the worker process was ended by SIGKILL, as happens when memory runs out"),
        ("refuse", LOADED + 'Core ML refuses: Error compiling model: "a stand-in for Core ML\'s words".'),
        ("raise", ASKED + "Core ML refuses: Error compiling model"),
        ("wrong name", ASKED + "the saved model has no output y; it has y_1"),
    ],
)
def test_each_end_is_an_error_with_its_words(lean, saved, monkeypatch, fault, said):
    lean()
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"doubles.mlpackage": fault}))
    with pytest.raises(EvaluationError) as caught:
        asked(saved)
    assert str(caught.value).startswith(said)
    if fault in ("refuse", "raise"):
        assert "it printed:\n    E5RT: a stand-in for what Core ML prints\n  fix: " in str(caught.value)


@pytest.mark.parametrize("fault", ["hang on load", "hang"])
def test_a_hang_ends_with_the_time_that_it_has(lean, saved, monkeypatch, fault):
    lean()
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"doubles.mlpackage": fault}))
    with pytest.raises(EvaluationError, match="no answer within 4 s") as caught:
        asked(saved, timeout_s=4)
    assert isinstance(caught.value.__cause__, TimeLimitError)
    assert "--timeout" in caught.value.fix


def test_a_file_that_eats_memory_ends_at_its_limit(lean, saved, monkeypatch):
    lean()
    monkeypatch.setenv("STAND_IN_FAULTS", '{"doubles.mlpackage": "eat"}')
    with pytest.raises(EvaluationError, match=r"it took [\d.]+ GB of memory, and may take 1 GB") as caught:
        asked(saved, memory_bytes=1_000_000_000)
    assert "--memory-limit" in caught.value.fix


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("plan refused", 'Core ML refuses: Error compiling model: "a stand-in for Core ML\'s words".'),
        ("plan aborts", "the worker process was ended by SIGABRT"),
        ("plan hangs", "no answer within 0.2 s"),
    ],
)
def test_a_compute_plan_that_is_not_to_be_had_is_a_note(lean, saved, monkeypatch, fault, said):
    lean()
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"doubles.mlpackage": fault}))
    told = asked(saved, plan_s=0.2 if fault == "plan hangs" else 60)
    assert told.note == f"where its operations would run is not known: {said}"
    assert told.plan_hung == (fault == "plan hangs")
    assert told.times.predictions == 10
    assert told.answers.samples[0].values["y"].shape == (2, 3)


@pytest.mark.parametrize(("fault", "shape"), [("nan", (2, 3)), ("wrong shape", (1, 2, 3))])
def test_wrong_answers_are_answers_and_judged_by_the_gates(lean, saved, monkeypatch, fault, shape):
    lean()
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"doubles.mlpackage": fault}))
    (answer,) = asked(saved).answers.samples
    assert answer.values["y"].shape == shape
    assert np.isnan(answer.values["y"]).all() == (fault == "nan")
