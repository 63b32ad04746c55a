"""Commands as a step of a workflow runs them, from a folder below the workspace."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.cli import main
from converter.model import CheckedFile, Validation, ValidationRecord
from converter.workflow import Annotations, results

ROOT = Path(__file__).parent.parent.parent
GOOD = Validation(engine="", metrics=(), gates=(), accuracy=None, reference_accuracy=None, seconds=0.0)
TOKEN = "ghs_0123456789abcdefghijABCDEFGHIJ012345"

MANIFEST = """
defaults: {formats: [mlmodel], route: onnx, validate: {seeds: 2}}
models:
  - {name: good, source: {onnx: {path: net.onnx, sha256: SHA256}}}
  - {name: fails, source: {factory: "nets.py:fails"}, inputs: [{name: x, tensor: {shape: [1, 2]}}]}
"""
NETS = """
def fails():
    print("::error::printed by a model's code")
    raise RuntimeError("::add-mask::good\\n##[error]from a model's code")
"""


@dataclass
class Step:
    folder: Path

    @property
    def outputs(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8")

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text(encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.folder / "workspace"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }


def begin(folder) -> Step:
    """A step whose working folder is `apps`, in the workspace."""
    (folder / "workspace/.git").mkdir(parents=True)
    (folder / "workspace/apps/models").mkdir(parents=True)
    return Step(folder)


@pytest.fixture
def step(tmp_path, monkeypatch):
    begun = begin(tmp_path)
    for name, value in begun.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path / "workspace/apps")
    return begun


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A step that converted two models, one of which fails; and what it printed."""
    begun = begin(tmp_path_factory.mktemp("built"))
    apps = begun.folder / "workspace/apps"
    write_models(apps / "models")
    command = [sys.executable, ROOT / "entrypoint.py", "convert", "models/models.yml", "--output", "out", "--no-cache"]
    environment = {**os.environ, **begun.environment, "GITHUB_TOKEN": TOKEN}
    done = subprocess.run(command, cwd=apps, env=environment, capture_output=True, text=True, check=False)
    return begun, done


def write_models(folder):
    net = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")],
    )
    model = helper.make_model(net, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content = model.SerializeToString()
    (folder / "net.onnx").write_bytes(content)
    (folder / "nets.py").write_text(NETS)
    (folder / "models.yml").write_text(MANIFEST.replace("SHA256", hashlib.sha256(content).hexdigest()))


def test_a_wrong_manifest_is_annotated_line_by_line_and_summed_up(step, runner, capsys):
    Path("models/models.yml").write_text("models:\n" + "".join(f"  - nam: a{n}\n" for n in range(40)))
    assert main(["check", "models/models.yml"]) == 2
    said = capsys.readouterr()
    assert said.err == "", "the runner reads two streams side by side"
    runner.read(said.out)
    shown = runner.shown("error")
    assert len(shown) == len(runner.issues) == 10
    assert {issue.properties["file"] for issue in shown[:9]} == {"apps/models/models.yml"}
    complaints = sum("models/models.yml:" in line for line in runner.log)
    assert shown[-1].message == f"and {complaints - 9} more, see the log"
    assert "models/models.yml:2:5" in step.summary


def test_a_wrong_command_line_is_annotated(step, runner, capsys):
    assert main(["check", "--no-such"]) == 2
    runner.read(capsys.readouterr().out)
    (issue,) = runner.shown("error")
    assert "--no-such" in issue.message


def test_a_run_tells_what_was_built_and_what_failed(built, runner, outputs):
    step, done = built
    assert done.returncode == 3
    assert done.stderr == ""
    runner.read(done.stdout)
    assert runner.did == ["group", "endgroup", "group", "endgroup", "error"]
    (issue,) = runner.issues
    assert issue.properties == {"file": "apps/models/models.yml", "line": "5", "col": "5", "title": "fails failed"}
    assert "##[error]from a model's code" in issue.message
    assert "> good" in runner.log
    assert any(line.endswith("fails: FAILED") for line in runner.log), "outside its group"

    found = outputs(step.outputs)
    out = step.folder / "workspace/apps/out"
    assert found == {
        "dist": str(out),
        "record": str(out / "build.json"),
        "report": str(out / "report.md"),
        "page": str(out / "report.html"),
        "changed": '["good"]',
        "failed": '["fails"]',
    }
    assert json.loads(Path(found["record"]).read_text())["models"]
    assert "## 1 of 2 models passed" in step.summary
    assert "### fails failed" in step.summary
    assert "| good | onnx | mlmodel |" in step.summary
    assert TOKEN not in done.stdout + step.outputs + step.summary


def test_a_folder_that_does_not_answer_again_is_annotated(built, step, runner, capsys, outputs):
    shutil.copytree(built[0].folder / "workspace/apps/out", "out")
    Path("out/good/good.mlmodel").write_bytes(b"broken")
    assert main(["validate", "out", "--record", "validation.json"]) == 5
    assert outputs(step.outputs) == {"record": str(Path("validation.json").absolute())}
    runner.read(capsys.readouterr().out)
    (issue,) = runner.shown("error")
    place = issue.properties["file"], issue.properties["line"]
    assert place == ("apps/models/models.yml", "4"), "also where there is no checkout"
    assert issue.properties["title"].startswith("good/good.mlmodel failed on ")
    assert "sha256" in issue.message
    assert "### `good/good.mlmodel` failed" in step.summary


def test_what_is_information_is_a_notice_and_what_is_required_an_error(built, step):
    required = CheckedFile(
        model="good", file="good/good.mlmodel", sha256="", engine="Core ML (a Mac)", error="no answer within 600 s"
    )
    informs = replace(required, compute_units="ALL", required=False, error="no answer within 120 s")
    passing = replace(required, compute_units="CPU_AND_GPU", error="", validation=GOOD)
    files = (informs, required, passing)
    record = ValidationRecord(engine="coreml", machine="a Mac", versions={}, commit="", files=files, seconds=1.0)
    annotations = Annotations()
    results.checked(annotations, record, built[0].folder / "workspace/apps/out", None)
    error, notice = annotations.lines()
    assert error.startswith("::error ")
    assert error.endswith("title=good/good.mlmodel failed on Core ML (a Mac)%2C CPU_ONLY::no answer within 600 s")
    assert notice.startswith("::notice ")
    assert notice.endswith("title=good/good.mlmodel did not pass on Core ML (a Mac)%2C ALL::no answer within 120 s")
    assert "## 0 of 1 files passed" in step.summary
    assert "### `good/good.mlmodel` did not pass on `ALL`" in step.summary


def test_a_plan_is_summed_up(step, capsys, outputs):
    write_models(Path("models"))
    assert main(["plan", "models/models.yml", "--shards", "2"]) == 0
    assert set(outputs(step.outputs)) == {"matrix", "plan"}
    assert "## 2 models, shards: 2" in step.summary


def entrypoint(step, redirection, *arguments):
    """Run by a shell, as a step does it; what stdout and stderr receive."""
    command = f'"$0" "$1" {" ".join(arguments)} {redirection}'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, ROOT / "entrypoint.py"],
        cwd=step.folder / "workspace/apps",
        env={**os.environ, **step.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


def test_what_is_written_to_a_file_holds_no_commands_and_errors_are_seen(step):
    Path("models/models.yml").write_text("models: 1 # ::error::\n")
    for redirection in ("> file.txt", "> /dev/null"):
        out, err = entrypoint(step, redirection, "check", "models/models.yml")
        assert out == ""
        assert "\n::error file=apps/models/models.yml,line=1" in err
    assert Path("file.txt").read_text() == ""


def test_data_for_other_programs_stays_as_it_is(step):
    """A mark is in an ONNX op's domain, say."""
    (out, err), (plain, _) = (entrypoint(step, "", "schema"), entrypoint(step, "| cat", "schema"))
    assert json.loads(out) == json.loads(plain)
    assert err == ""
    out, err = entrypoint(step, "", "inspect", "none::error::.mlmodel", "--json")
    assert out == ""
    assert "::stop-commands::" in err
    assert "\n::error::" in err


def test_otherwise_all_is_one_stream(step, runner):
    Path("models/models.yml").write_text("models: 1\n")
    out, err = entrypoint(step, "| cat", "check", "models/models.yml")
    assert err == ""
    assert len(runner.read(out).shown("error")) == 1
