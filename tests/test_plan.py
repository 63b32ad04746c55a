"""A release is planned without running any model's code, and held to the plan; three shards make one release."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from onnx import TensorProto, helper

from converter.cli import main
from converter.errors import ConversionError, ManifestError, ValidationError
from converter.manifest import read_manifest
from converter.plain import to_plain
from converter.plan import MATRIX_MAX, OUTPUT_BYTES_MAX, matrix, outputs, plan, read_plan, shards_for, to_json
from converter.shards import Shard, shard_from

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("said", "models", "shards"), [("auto", 1, 1), ("auto", 19, 19), ("auto", 10_000, 20), ("7", 2, 7), ("300", 2, 300)]
)
def test_the_number_of_shards(said, models, shards):
    assert shards_for(said, models) == shards


@pytest.mark.parametrize("said", ["0", "-1", "many", "", "1.5", "10001", "9" * 30])
def test_what_is_no_number_of_shards_is_refused(said):
    with pytest.raises(ManifestError, match="no number of shards"):
        shards_for(said, 3)


@pytest.fixture
def make_manifest(tmp_path):
    """A manifest of tiny ONNX models, each with another bias, in a repository of its own."""

    def make(count, more=""):
        (tmp_path / ".git").mkdir(exist_ok=True)
        lines = ["defaults: {formats: [mlmodel], validate: {seeds: 1}}", "models:"]
        for index in range(count):
            value = helper.make_tensor("b", TensorProto.FLOAT, [1, 3], [index, 1.0, -1.0])
            graph = helper.make_graph(
                [helper.make_node("Add", ["x", "b"], ["s"]), helper.make_node("Relu", ["s"], ["y"])],
                "tiny",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
                [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
                [value],
            )
            content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
            content = content.SerializeToString()
            (tmp_path / f"net{index}.onnx").write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            lines.append(
                f"  - {{name: net{index}, source: {{onnx: {{path: net{index}.onnx, sha256: {digest}}}}}, "
                "inputs: [{name: x, tensor: {shape: [1, 3]}}]}"
            )
        (tmp_path / "models.yml").write_text("\n".join([*lines, more, ""]))
        return tmp_path / "models.yml"

    return make


def test_a_plan_says_every_model_once_its_commit_and_its_targets(make_manifest, monkeypatch):
    monkeypatch.setenv("GITHUB_SHA", "abc")
    targets = "publish: [{github: {draft: true}}, {s3: models}, {directory: public}]"
    found = plan(read_manifest(make_manifest(5, targets)), 2)
    assert (found.manifest, found.commit) == ("models.yml", "abc")
    assert [shard.shard for shard in found.shards] == ["1/2", "2/2"]
    assert sorted(name for shard in found.shards for name in shard.models) == [f"net{i}" for i in range(5)]
    assert found.targets == ({"github": {"draft": True}}, {"s3": {"bucket": "models"}}, {"directory": "public"})
    assert read_plan(to_json(found)) == found


def test_the_command_shows_a_line_for_each_model_and_writes_the_workflows_outputs(
    make_manifest, tmp_path, capsys, monkeypatch
):
    manifest = make_manifest(3)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert main(["plan", str(manifest), "--shards", "4"]) == 0
    said = capsys.readouterr().out
    for index in range(3):
        assert re.search(rf"^\d/4 +net{index} +\d+ B +onnx net{index}\.onnx$", said, re.MULTILINE), said
    assert re.search(r"^\d/4 +–$", said, re.MULTILINE)
    assert "3 models, " in said
    written = (tmp_path / "output").read_text()
    values = dict(re.findall(r"^(\S+)<<(?:.+)\n(.+)\n", written, re.MULTILINE))
    jobs = json.loads(values["matrix"])["include"]
    assert [(job["shard"], job["artifact"]) for job in jobs] == [(f"{i}/4", f"{i}-of-4") for i in (1, 2, 3, 4)]
    assert sorted(", ".join(job["models"] for job in jobs if job["models"]).split(", ")) == ["net0", "net1", "net2"]
    assert main(["plan", str(manifest), "--shards", "4", "--json"]) == 0
    assert values["plan"] in capsys.readouterr().out


def test_planning_imports_neither_torch_nor_coremltools_nor_onnx():
    code = """
import sys
from converter.cli import main
code = main(["plan", "examples/imagenet.yml", "--json"])
heavy = {"torch", "torchvision", "coremltools", "onnx", "onnxruntime", "numpy", "boto3"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def planned(count, name, shards=20):
    names = [f"{name}{index:05}" for index in range(count)]
    shares = [{"shard": f"{i + 1}/{shards}", "models": names[i::shards], "size_bytes": 10**12} for i in range(shards)]
    return read_plan(
        json.dumps({"manifest": "models.yml", "commit": "0" * 40, "shards": shares, "targets": [], "schema": 1})
    )


def test_ten_thousand_models_fit_into_a_jobs_outputs():
    found = outputs(planned(10_000, "a-name-of-thirty-two-letters", MATRIX_MAX))
    assert sum(len(value.encode("utf-16-le")) for value in found.values()) < OUTPUT_BYTES_MAX
    assert "and 30 more" in found["matrix"]


def test_what_github_would_not_pass_on_is_refused():
    with pytest.raises(ManifestError, match="hands on at most"):
        outputs(planned(10_000, "x" * 59))
    with pytest.raises(ManifestError, match="at most 256 jobs, 257 shards"):
        matrix(planned(300, "net", 257))


@pytest.mark.parametrize("said", ["{}", "{", '{"manifest": 1}', "no-such-file.json"])
def test_what_is_no_plan_is_refused(said):
    with pytest.raises(ManifestError, match="--plan"):
        read_plan(said)


def run(*arguments, environment=None):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "STRATEGY_"))}
    return subprocess.run(
        [sys.executable, ROOT / "entrypoint.py", *map(str, arguments)],
        env={**clean, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in (".lock", "build.json", "report.md", "report.html")
    }


def test_three_shards_of_the_command_merge_to_what_one_run_builds(make_manifest, tmp_path):
    manifest = make_manifest(2, "publish: [{directory: public}]")
    common = ["--cache", tmp_path / "cache"]
    engines = [
        (["--shard", "1/3"], {}),
        ([], {"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "3"}),
        ([], {"STRATEGY_JOB_INDEX": "2", "STRATEGY_JOB_TOTAL": "3"}),
    ]
    for index, (options, environment) in enumerate(engines, 1):
        part = tmp_path / f"dist-{index}-of-3"
        done = run("convert", manifest, "--output", part, *options, *common, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.match(rf"shard {index} of 3: \d of 2 models\n", done.stdout), done.stdout
        record = json.loads((part / "build.json").read_text())
        assert record["shard"] == f"{index}/3"
        assert record["expected"] == ["net0", "net1"]
    parts = sorted(tmp_path.glob("dist-*-of-3"))
    for hidden in tmp_path.glob("dist-*-of-3/.*"):  # artifacts lose them
        hidden.unlink()
    merged = tmp_path / "merged"
    assert main(["merge", *map(str, parts), "--output", str(merged)]) == 0

    whole = tmp_path / "whole"
    environment = {"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "3"}
    own = ["--cache", tmp_path / "another"]  # nothing of it is taken from the shards
    done = run("convert", manifest, "--shard", "1/1", "--output", whole, *own, environment=environment)
    assert done.returncode == 0, done.stderr
    assert tree(merged) == tree(whole)

    (tmp_path / "plan.json").write_text(run("plan", manifest, "--shards", "3", "--json").stdout)
    to = ["--to", "directory", "--set", f"folder={tmp_path / 'public'}"]
    assert main(["publish", str(merged), "--plan", str(tmp_path / "plan.json"), *to, "--dry-run"]) == 0
    assert main(["publish", str(parts[0]), *to]) == 8
    text = to_plain(read_plan(str(tmp_path / "plan.json")))
    assert main(["publish", str(merged), "--plan", json.dumps({**text, "commit": "other"}), *to]) == 8


def test_a_shard_in_an_earlier_runs_folder_drops_the_other_models(make_manifest, tmp_path):
    manifest, dist = make_manifest(1), tmp_path / "dist"
    options = ["--cache", str(tmp_path / "cache"), "--output", str(dist)]
    assert main(["convert", str(manifest), *options]) == 0
    assert (dist / "net0/net0.mlmodel").is_file()
    other = next(shard for shard in plan(read_manifest(manifest), 2).shards if not shard.models)
    assert main(["convert", str(manifest), "--shard", other.shard, *options]) == 0
    assert not (dist / "net0").exists()
    assert (dist / "SHA256SUMS").read_text() == ""


def test_an_empty_shard_is_a_finished_part(make_manifest, tmp_path, capsys):
    manifest, dist = make_manifest(1), tmp_path / "dist"
    share = next(shard for shard in plan(read_manifest(manifest), 3).shards if not shard.models)
    arguments = ["convert", str(manifest), "--shard", share.shard, "--output", str(dist), "--cache", str(tmp_path)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"shard {share.shard[0]} of 3: 0 of 1 models\n")
    record = json.loads((dist / "build.json").read_text())
    assert (record["models"], record["expected"], record["shard"]) == ([], ["net0"], share.shard)


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--shard", "5/4"], {}, "shards count from 1 to 4"),
        (["--shard", "1/2", "--only", "net0"], {}, "--only and shard 1/2 do not go together"),
        ([], {"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETIONS is not set"),
    ],
)
def test_a_wrong_shard_is_one_clear_error(arguments, environment, words, make_manifest, tmp_path, capsys, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["convert", str(make_manifest(1)), "--output", str(tmp_path / "dist"), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_shard_that_would_be_published_to_a_folder_is_refused_before_anything_is_built(
    make_manifest, tmp_path, capsys
):
    manifest = make_manifest(2, "publish: [{s3: models}, {directory: public}]")
    assert main(["run", str(manifest), "--shard", "1/2", "--output", str(tmp_path / "dist")]) == 2
    assert "shard 1/2 alone can be published to S3 only" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_the_documents_kubernetes_job_says_each_pod_its_shard():
    text = (ROOT / "docs/scale.md").read_text()
    (job,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(apiVersion: .*?)```", text, re.DOTALL))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert job["spec"]["completionMode"] == "Indexed"
    last = {**environment, "JOB_COMPLETION_INDEX": str(job["spec"]["completions"] - 1)}
    assert shard_from(last) == Shard(job["spec"]["completions"], job["spec"]["completions"])
    first = job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]
    assert first == [kind.exit_code for kind in (ManifestError, ConversionError, ValidationError)]
