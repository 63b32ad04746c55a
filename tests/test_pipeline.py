"""The whole line on small networks: a manifest in, a folder of checked files out."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import converter
from converter.cli import main
from converter.package.dist import Dist

ROOT = Path(__file__).parent.parent

NETS = '''
import os
import signal
import time

import torch


def net(scale=1.0):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 64, 3)
    )


def crashes():
    os.kill(os.getpid(), signal.SIGKILL)


def refuses():
    raise RuntimeError("no weights today")


def slow():
    time.sleep(120)


class Median(torch.nn.Module):
    """Apple's frontend has no lowering of aten::median; torch's exporters neither."""

    def forward(self, x):
        return torch.linalg.matrix_exp(x[0, :, :3, :3]).reshape(1, -1)[:, :3]


def unsupported():
    return Median()


class Overflows(torch.nn.Module):
    """Fine in float32; in float16 everything is infinite."""

    def forward(self, x):
        return torch.exp(x.mean((2, 3)) * 0.01 + 12) * 0.001


def overflows():
    return Overflows()


def meddles():
    built = net()
    torch.nn.functional.relu = lambda x, inplace=False: torch.sigmoid(x)
    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    return built
'''

MANIFEST = """
defaults:
  inputs: [{name: image, image: {size: 10, normalize: imagenet}}]
  classifier: {labels: [cat, dog, newt], softmax: true}
  validate: {seeds: 3}
models:
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "nets.py").write_text(NETS)

    def write(*models, more=""):
        manifest = tmp_path / "models.yml"
        manifest.write_text(MANIFEST + "".join(f"  - {model}\n" for model in models) + more)
        return manifest

    return write


def net(name, factory="net", more=""):
    return f'{{name: {name}, source: {{factory: "nets.py:{factory}"}}{more}}}'


def hashes(dist: Path) -> dict[str, str]:
    files = [
        p for p in dist.rglob("*") if p.is_file() and p.suffix in (".mlmodel", ".zip", ".npz", ".txt", ".md", ".json")
    ]
    return {
        str(p.relative_to(dist)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.name not in ("build.json", "report.md", "report.html")
    }


def test_a_model_comes_out_in_both_formats_through_both_routes_twice_the_same(repository, tmp_path, capsys):
    manifest = repository(net("tiny", more=", route: [direct, onnx]"), more="publish: [{directory: public}]\n")
    dist = tmp_path / "dist"
    assert main(["run", str(manifest), "--output", str(dist)]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 models passed" in said
    first = hashes(dist)
    assert main(["run", str(manifest), "--output", str(dist), "--no-cache"]) == 0
    assert hashes(dist) == first

    names = sorted(p.name for p in (dist / "tiny").iterdir())
    assert names == [
        "tiny-direct.mlmodel",
        "tiny-direct.mlpackage.zip",
        "tiny-onnx.mlmodel",
        "tiny-onnx.mlpackage.zip",
        "tiny.labels.json",
        "tiny.labels.txt",
        "tiny.md",
        "tiny.references.npz",
    ]
    assert sorted(p.name for p in dist.iterdir()) == [
        ".lock",
        "SHA256SUMS",
        "build.json",
        "report.html",
        "report.md",
        "tiny",
    ]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "public", check=True)

    record = json.loads((dist / "build.json").read_text())
    (model,) = record["models"]
    assert {(a["route"], a["format"]) for a in model["attempts"]} == {
        (route, format) for route in ("direct", "onnx") for format in ("mlmodel", "mlpackage")
    }
    for attempt in model["attempts"]:
        limit = 90 if attempt["format"] == "mlmodel" else 35
        (metrics,) = attempt["validation"]["metrics"]
        assert float(metrics["psnr_db"]) >= limit
        assert metrics["on"] == "before softmax"
    assert set(model["seconds"]) == {"load", "reference", "convert", "validate", "package"}

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8))
    answer = converter.load_model(dist / "tiny/tiny-onnx.mlmodel").predict({"image": picture})
    assert set(answer) == {"classLabel", "classLabelProbs"}
    assert set(answer["classLabelProbs"]) == {"cat", "dog", "newt"}
    assert answer["classLabel"] == max(answer["classLabelProbs"], key=answer["classLabelProbs"].get)
    assert sum(answer["classLabelProbs"].values()) == pytest.approx(1, abs=1e-5)
    with zipfile.ZipFile(dist / "tiny/tiny-direct.mlpackage.zip") as archive:
        archive.extractall(tmp_path)
    assert (
        converter.load_model(tmp_path / "tiny-direct.mlpackage").predict({"image": picture})["classLabel"]
        in answer["classLabelProbs"]
    )

    assert main(["validate", str(dist)]) == 0
    (dist / "tiny/tiny-onnx.mlmodel").write_bytes(b"broken")
    assert main(["validate", str(dist)]) == 5
    assert "tiny-onnx.mlmodel" in capsys.readouterr().out


def test_a_file_that_was_converted_elsewhere_is_checked_and_published_as_it_is(repository, tmp_path, capsys):
    """Our own file of another run stands for it; the second model has other labels, and says so."""
    first = tmp_path / "first"
    assert main(["convert", str(repository(net("tiny", more=", formats: mlpackage"))), "--output", str(first)]) == 0
    shutil.copyfile(first / "tiny/tiny.mlpackage.zip", tmp_path / "theirs.mlpackage.zip")
    formats = ", formats: [{mlpackage: {file: theirs.mlpackage.zip}}]"
    labels = ", classifier: {labels: [cat, dog, frog], softmax: true}"
    manifest = repository(net("theirs", more=formats), net("other", more=formats + labels))
    dist = tmp_path / "dist"
    assert main(["convert", str(manifest), "--output", str(dist)]) == 4
    said = capsys.readouterr().out
    assert "the file's labels are others: without 'frog', with 'newt'" in said
    assert str(tmp_path / "theirs") not in said
    with (
        zipfile.ZipFile(first / "tiny/tiny.mlpackage.zip") as ours,
        zipfile.ZipFile(dist / "theirs/theirs.mlpackage.zip") as given,
    ):
        expected = {name.removeprefix("tiny."): ours.read(name) for name in ours.namelist()}
        assert {name.removeprefix("theirs."): given.read(name) for name in given.namelist()} == expected
    passed = next(
        model for model in json.loads((dist / "build.json").read_text())["models"] if model["name"] == "theirs"
    )
    (attempt,) = passed["attempts"]
    assert (attempt["route"], attempt["validation"]["causes"]) == ("given", [])


def test_a_model_that_fails_never_stops_the_others(repository, tmp_path, capsys):
    manifest = repository(
        net("crashes", "crashes"), net("refuses", "refuses"), net("good"), net("unsupported", "unsupported")
    )
    dist = tmp_path / "dist"
    assert main(["convert", str(manifest), "--output", str(dist), "--jobs", "2"]) == 1
    said = capsys.readouterr().out
    assert "1 of 4 models passed" in said
    assert "no weights today" in said
    assert "SIGKILL" in said
    assert "Traceback" not in said
    record = json.loads((dist / "build.json").read_text())
    assert [(m["name"], m["exit_code"]) for m in record["models"]] == [
        ("crashes", 9),
        ("refuses", 3),
        ("good", 0),
        ("unsupported", 4),
    ]
    assert {line.split()[1].split(".")[0] for line in (dist / "SHA256SUMS").read_text().splitlines()} == {"good"}
    report = (dist / "report.md").read_text()
    for name in ("crashes", "refuses", "good", "unsupported"):
        assert name in report


def test_a_model_that_misses_a_gate_is_set_aside_and_nothing_is_published(repository, tmp_path, capsys):
    gates = ", classifier: null, validate: {seeds: 2}"
    manifest = repository(net("overflows", "overflows", gates), net("good"), more="publish: [{directory: public}]\n")
    dist = tmp_path / "dist"
    assert main(["run", str(manifest), "--output", str(dist)]) == 5
    said = capsys.readouterr()
    assert "psnr_db" in said.out
    assert "nothing is published" in said.err
    assert not (tmp_path / "public").exists()
    assert not (dist / "overflows").exists()
    assert (dist / ".failed/overflows/overflows.mlpackage").is_dir()
    assert (dist / "good/good.mlmodel").is_file()
    (record,) = [m for m in json.loads((dist / "build.json").read_text())["models"] if m["name"] == "overflows"]
    routes = [
        (a["format"], a["route"], not a["error"] and all(g["passed"] for g in a["validation"]["gates"]))
        for a in record["attempts"]
    ]
    assert routes == [("mlmodel", "direct", True), ("mlpackage", "direct", False), ("mlpackage", "onnx", False)]


def test_what_a_factory_changes_in_its_process_stays_there(repository, tmp_path):
    """The reference would change with the conversion, and the check would pass."""
    quick = ", formats: [mlmodel], route: direct"
    manifest = repository(net("before", more=quick), net("meddles", "meddles", quick), net("after", more=quick))
    dist = tmp_path / "dist"
    main(["convert", str(manifest), "--output", str(dist), "--jobs", "1"])
    assert (dist / "after/after.mlmodel").read_bytes() == (dist / "before/before.mlmodel").read_bytes()


def test_only_builds_what_it_names_and_keeps_the_rest(repository, tmp_path, capsys):
    manifest = repository(net("one"), net("two"), net("three"))
    dist = tmp_path / "dist"
    mlmodel = ", formats: [mlmodel], route: onnx"
    manifest = repository(*(net(name, more=mlmodel) for name in ("one", "two", "three")))
    assert main(["convert", str(manifest), "-o", str(dist)]) == 0
    before = (dist / "one/one.mlmodel").stat().st_ino
    manifest = repository(*(net(name, more=mlmodel) for name in ("one", "two")))
    assert main(["convert", str(manifest), "-o", str(dist), "--only", "two"]) == 0
    assert (dist / "one/one.mlmodel").stat().st_ino == before
    assert not (dist / "three").exists(), "it left the manifest"
    assert [m["name"] for m in json.loads((dist / "build.json").read_text())["models"]] == ["one", "two"]
    assert "1 of 1 models passed" in capsys.readouterr().out


def running_in_session(session: int) -> list[str]:
    """The processes of a session that are not yet dead."""
    found = subprocess.run(["ps", "-eo", "sess=,stat=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in found.splitlines()]
    return [args for leader, state, args in lines if int(leader) == session and not state.startswith("Z")]


def test_ctrl_c_stops_the_workers_and_keeps_finished_models(repository, tmp_path):
    manifest = repository(net("good", more=", formats: [mlmodel], route: onnx"), net("slow", "slow"))
    command = [sys.executable, ROOT / "entrypoint.py", "convert", manifest, "-o", tmp_path / "dist"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    assert running.stdout
    for line in running.stdout:
        if "slow: load" in line:
            break
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 20
    while alive := running_in_session(running.pid):
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
    assert (tmp_path / "dist/good/good.mlmodel").is_file()
    assert "good.mlmodel" in (tmp_path / "dist/SHA256SUMS").read_text()
    assert not (tmp_path / "dist/.work").exists()


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a small disk is mounted, which needs root")
def test_a_full_disk_is_one_clear_error(repository, tmp_path, capsys):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let root mount")
    try:
        assert main(["convert", str(repository(net("good"))), "-o", str(small / "dist")]) == 6
        said = capsys.readouterr()
        assert "is full" in said.out + said.err
        assert "--output" in said.out + said.err
    finally:
        subprocess.run(["umount", small], check=True)


def test_extra_files_and_labels_travel_along(repository, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    manifest = repository(net("good", more=", formats: [mlmodel], route: onnx, extra: [tokenizer.json]"))
    assert main(["convert", str(manifest), "-o", str(tmp_path / "dist")]) == 0
    assert (tmp_path / "dist/good/good.tokenizer.json").read_text() == "{}"
    assert (tmp_path / "dist/good/good.labels.txt").read_text() == "cat\ndog\nnewt\n"
    assert "good.tokenizer.json" in (tmp_path / "dist/SHA256SUMS").read_text()
    shutil.rmtree(tmp_path / "dist")


QUICK = ", formats: [mlmodel], route: onnx"


def reused(dist: Path) -> dict[str, bool]:
    return {model["name"]: model["reused"] for model in json.loads((dist / "build.json").read_text())["models"]}


def test_models_that_nothing_changed_for_are_not_converted_again(repository, tmp_path, capsys, monkeypatch):
    # while people work on the converter itself it changes, and every model with it
    monkeypatch.setattr("converter.store.surroundings._OURS", ROOT / "converter" / "manifest")
    dist, manifest = tmp_path / "dist", repository(net("one", more=QUICK), net("two", more=QUICK))
    command = ["convert", str(manifest), "-o", str(dist), "--explain"]
    assert main(command) == 0
    assert "one: new\ntwo: new\n" in capsys.readouterr().out
    first = hashes(dist)
    model = dist / "one/one.mlmodel"
    inode = model.stat().st_ino
    assert reused(dist) == {"one": False, "two": False}

    writes = []
    write = Dist.write
    monkeypatch.setattr(Dist, "write", lambda self, texts: writes.append(1) or write(self, texts))
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "one: unchanged\ntwo: unchanged\n" in said
    assert "reused, as nothing changed: one, two" in said
    assert [line.split()[-2] for line in said.splitlines() if line.startswith("| ") and "mlmodel" in line] == [
        "reused"
    ] * 2
    assert model.stat().st_ino == inode, "it stays where it is"
    assert len(writes) == 1, "the record is not written model by model"
    assert reused(dist) == {"one": True, "two": True}

    shutil.rmtree(dist)
    assert main(command) == 0
    assert hashes(dist) == first, "out of the store"
    assert reused(dist) == {"one": True, "two": True}
    assert main(["validate", str(dist)]) == 0

    manifest = repository(net("one", more=QUICK), net("two", more=f"{QUICK}, metadata: {{version: '2'}}"))
    capsys.readouterr()
    assert main(command) == 0
    assert "one: unchanged\ntwo: options changed (metadata)\n" in capsys.readouterr().out
    assert reused(dist) == {"one": True, "two": False}
    assert {name for name, digest in hashes(dist).items() if first[name] != digest} == {"two/two.md", "two/two.mlmodel"}


def test_what_a_killed_run_had_finished_is_not_converted_again(repository, tmp_path, capsys):
    manifest = repository(net("good", more=QUICK), net("slow", "slow"))
    command = [sys.executable, ROOT / "entrypoint.py", "convert", manifest, "-o", tmp_path / "dist"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path)
    assert running.stdout
    for line in running.stdout:
        if "slow: load" in line:
            break
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    assert main(["convert", str(manifest), "-o", str(tmp_path / "dist"), "--only", "good"]) == 0
    assert "reused, as nothing changed: good" in capsys.readouterr().out
    assert (tmp_path / "dist/good/good.mlmodel").is_file()


def test_two_runs_at_once_share_a_store(repository, tmp_path):
    manifest = repository(net("one", more=QUICK))
    entrypoint = [sys.executable, ROOT / "entrypoint.py", "convert", manifest, "--store", tmp_path / "store"]
    running = [subprocess.Popen([*entrypoint, "-o", tmp_path / name], stdout=subprocess.DEVNULL) for name in ("a", "b")]
    assert [process.wait() for process in running] == [0, 0]
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert main(["convert", str(manifest), "--store", str(tmp_path / "store"), "-o", str(tmp_path / "c")]) == 0
    assert reused(tmp_path / "c") == {"one": True}


def test_a_model_that_is_worse_than_its_baseline_is_set_aside_until_the_baseline_is_updated(
    repository, tmp_path, capsys
):
    asked = ', formats: [mlmodel], route: direct, validate: {baseline: "base.json"}'
    manifest, dist, baseline = repository(net("tiny", more=asked)), tmp_path / "dist", tmp_path / "base.json"
    command = ["convert", str(manifest), "--output", str(dist)]
    assert main(command) == 0
    assert not baseline.exists()
    assert "tiny/tiny.mlmodel has no figures in base.json" in (dist / "report.md").read_text()

    assert main([*command, "--update-baseline"]) == 0
    assert "base.json: the figures of 1 files are the baseline now" in capsys.readouterr().out
    assert reused(dist) == {"tiny": True}  # a baseline says nothing of how a model is made
    written = json.loads(baseline.read_text())
    figures = written["files"]["tiny/tiny.mlmodel"]["reference"]
    assert list(figures) == ["psnr_db of classLabelProbs", "top1 of classLabelProbs"]

    assert main(command) == 0
    assert reused(dist) == {"tiny": True}
    (record,) = json.loads((dist / "build.json").read_text())["models"]
    (gates,) = ([gate["name"] for gate in a["validation"]["gates"]] for a in record["attempts"])
    assert gates[-2:] == ["baseline psnr_db", "baseline top1"]
    assert record["notes"] == []

    figures["top1 of classLabelProbs"] = 1.5  # as if it had been better once
    baseline.write_text(json.dumps(written))
    assert main(["plan", str(manifest), "--output", str(dist)]) == 0
    assert main([*command, "--explain"]) == 5
    said = " ".join(capsys.readouterr().out.split())
    assert "tiny: it is worse than its baseline" in said
    assert "was 150.00 % in base.json and is 100.00 % now" in said
    assert not (dist / "tiny").exists()

    assert main([*command, "--update-baseline"]) == 0
    assert json.loads(baseline.read_text())["files"]["tiny/tiny.mlmodel"]["reference"] == {
        **figures,
        "top1 of classLabelProbs": 1.0,
    }
    validated = ["validate", str(dist), "--baseline", str(baseline)]
    assert main(validated) == 0
    assert main([*validated, "--update-baseline"]) == 0
    baseline.write_text(
        baseline.read_text().replace('"top1 of classLabelProbs": 1.0', '"top1 of classLabelProbs": 1.5')
    )
    assert main(validated) == 5


def test_a_baseline_is_updated_only_where_one_is_named(repository, tmp_path, capsys):
    manifest = repository(net("tiny"))
    assert main(["convert", str(manifest), "--output", str(tmp_path / "dist"), "--update-baseline"]) == 2
    assert "no model names a baseline" in capsys.readouterr().err
    (tmp_path / "base.json").write_text("[]")
    manifest = repository(net("tiny", more=", validate: {baseline: base.json}"))
    assert main(["convert", str(manifest), "--output", str(tmp_path / "dist")]) == 2
    assert "base.json is no baseline" in capsys.readouterr().err
