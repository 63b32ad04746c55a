"""Which models of a run are reused, from where, and what is said of the others."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from converter.cli import main
from converter.errors import ManifestError
from converter.store import Index, surroundings
from converter.store.reuse import Reuse, explained

ROOT = Path(__file__).parents[2]
LONG_AGO = 1_500_000_000


@pytest.fixture
def dist(tmp_path):
    return tmp_path / "dist"


@pytest.fixture
def reuse(repository, tmp_path):
    """What a new run would reuse; `said` is what it complained of."""
    said: list[str] = []

    def begin(**options):
        manifest = repository.manifest
        settings = {"cache": repository.cache, "store": str(tmp_path / "store"), "say": said.append, **options}
        return Reuse(manifest, manifest.models, **settings)

    begin.said = said
    return begin


@pytest.fixture
def earlier(repository, reuse, dist):
    """All models converted and kept."""
    records = {}
    with reuse() as run:
        for name in ("made", "graph", "seen"):
            records[name] = run.keyed(repository.built(name, dist))
            run.put(records[name], dist / name)
    assert all(record.key for record in records.values())
    return records


def folders(tmp_path, names):
    for name in names:
        (tmp_path / "work" / name).mkdir(parents=True)
    return {name: tmp_path / "work" / name for name in names}


def test_what_lies_in_the_output_folder_stays_there(reuse, dist, earlier):
    with reuse() as run:
        found = run.in_place(dist, earlier)
    assert found == {name: replace(record, reused=True) for name, record in earlier.items()}


def test_a_reused_record_says_where_the_model_stands_now(repository, reuse, dist, earlier):
    repository.text = "# one line more\n" + repository.text
    with reuse() as run:
        (record, *_) = run.in_place(dist, earlier).values()
    assert record.place == "models.yml:6:5 made"
    assert record.commit == earlier["made"].commit  # of then: that is when it was converted


def test_without_an_output_folder_models_come_out_of_the_store(reuse, tmp_path, earlier):
    with reuse() as run:
        found = run.from_store(folders(tmp_path, earlier))
    assert found == {name: replace(record, reused=True) for name, record in earlier.items()}
    assert (tmp_path / "work/graph/graph.mlmodel").read_text() == "a model of graph"


def test_what_was_fetched_is_not_read_again_where_it_lies(reuse, dist, tmp_path, earlier, monkeypatch):
    for file in (tmp_path / "store").rglob("*"):
        if file.is_file():
            os.utime(file, (LONG_AGO, LONG_AGO))  # old enough for the index to trust
    with reuse() as run:
        work = folders(tmp_path, earlier)
        fetched = run.from_store(work)
        for name, folder in work.items():
            shutil.rmtree(dist / name)
            folder.rename(dist / name)
        run.placed(work, dist)
    read = []
    hashed = Index._hashed
    monkeypatch.setattr(Index, "_hashed", lambda index, name, found: read.append(name) or hashed(index, name, found))
    with reuse() as run:
        assert run.in_place(dist, fetched).keys() == earlier.keys()
    assert [name for name in read if name.startswith(str(dist))] == []


def test_anew_reuses_nothing(reuse, dist, tmp_path, earlier):
    with reuse(anew=True) as run:
        assert run.in_place(dist, earlier) == {}
        assert run.from_store(folders(tmp_path, earlier)) == {}


def test_what_no_longer_holds_is_reused_from_nowhere_and_explained(reuse, dist, tmp_path, earlier):
    with reuse(holds=lambda record: record.name != "graph") as run:
        assert set(run.in_place(dist, earlier)) == {"made", "seen"}
        assert set(run.from_store(folders(tmp_path, earlier))) == {"made", "seen"}
        assert run.reasons(dist, earlier)["graph"] == "it is worse than its baseline"


def test_times_alone_change_nothing(repository, reuse, dist, earlier):
    for file in [*repository.root.rglob("*"), *dist.rglob("*")]:
        os.utime(file, (LONG_AGO, LONG_AGO))
    with reuse() as run:
        assert set(run.in_place(dist, earlier)) == set(earlier)


def test_a_file_of_the_output_folder_that_was_changed_is_fetched_again(reuse, dist, tmp_path, earlier):
    (dist / "graph/graph.mlmodel").write_text("edited")
    with reuse() as run:
        assert set(run.in_place(dist, earlier)) == {"made", "seen"}
        assert set(run.from_store(folders(tmp_path, ["graph"]))) == {"graph"}


def test_a_module_that_git_ignores_counts_once_it_was_imported(repository, reuse, dist, tmp_path, earlier):
    repository.write("code/generated.py", "VERSION = 2\n")
    with reuse() as run:
        assert set(run.in_place(dist, earlier)) == {"graph", "seen"}
        assert run.from_store(folders(tmp_path, ["made"])) == {}
        assert run.reasons(dist, earlier)["made"] == "code/generated.py changed"


def test_a_model_whose_sources_change_meanwhile_is_not_kept(repository, reuse, dist, tmp_path):
    with reuse() as run:
        record = repository.built("made", dist)
        repository.write("code/layers.py", "WIDTH = 3\n")
        record = run.keyed(record)
        run.put(record, dist / "made")
        assert record.key == ""
        assert record.notes == ("its sources changed while it was converted: it may be made of some of both",)
    assert not (tmp_path / "store").exists()


def test_what_did_not_pass_is_neither_kept_nor_reused(repository, reuse, dist, tmp_path):
    failed = replace(repository.built("graph", dist), error="psnr_db is too low", exit_code=5)
    with reuse() as run:
        run.put(run.keyed(failed), dist / "graph")
        assert run.in_place(dist, {"graph": failed}) == {}
        assert run.reasons(dist, {"graph": failed})["graph"] == "it did not pass the last time"
    assert not (tmp_path / "store").exists()


def test_a_damaged_entry_is_said_and_converted_anew(reuse, tmp_path, earlier):
    key = earlier["graph"].key
    file = tmp_path / "store" / key[:2] / key / "graph.mlmodel"
    file.chmod(0o644)
    file.write_text("edited")
    with reuse() as run:
        found = run.from_store(folders(tmp_path, earlier))
    assert set(found) == {"made", "seen"}
    assert reuse.said == [f"note: graph: entry {key[:12]} is damaged: graph.mlmodel is not the file of its record"]
    assert list((tmp_path / "work/graph").iterdir()) == []


def test_an_entry_under_another_name_is_not_taken(reuse, tmp_path, earlier):
    """Names become folders: what an entry says is not enough."""
    key = earlier["graph"].key
    record = tmp_path / "store" / key[:2] / key / "record.json"
    record.write_text(record.read_text().replace('"name":"graph"', '"name":".."').replace('"graph/', '"../'))
    with reuse() as run:
        assert set(run.from_store(folders(tmp_path, earlier))) == {"made", "seen"}


def test_a_store_in_trouble_is_said_once_and_stops_nothing(repository, reuse, dist, tmp_path):
    (tmp_path / "taken").write_text("")
    with reuse(store=str(tmp_path / "taken")) as run:
        assert run.from_store(folders(tmp_path, ["made", "graph", "seen"])) == {}
        record = run.keyed(repository.built("graph", dist))
        run.put(record, dist / "graph")
    assert reuse.said == [f"note: made: {tmp_path}/taken cannot be used: Not a directory"]


@pytest.mark.parametrize("text", ["gs://bucket/prefix", "s3://", "s3://user:secret@bucket/x", "https://host/x"])
def test_another_address_is_refused(reuse, text):
    with pytest.raises(ManifestError, match="this is no store"):
        reuse(store=text)


def explains(repository, tmp_path, dist):
    return explained(repository.manifest, dist=dist, cache=repository.cache, store=str(tmp_path / "store"))


CHANGES = {
    "options changed (formats)": ("graph", lambda r: r.text.replace("formats: [mlmodel]\n    extra", "extra")),
    "code/layers.py changed": ("made", lambda r: r.write("code/layers.py", "WIDTH = 2\n")),
    "code/more.py is new": ("made", lambda r: r.write("code/more.py", "")),
    "code/net.py changed, code/layers.py is gone": (
        "made",
        lambda r: (r.write("code/net.py", "def build(width): ..."), (r.root / "code/layers.py").unlink()),
    ),
    "heldout/cat/1.png changed": ("made", lambda r: r.write("heldout/cat/1.png", "two")),
    "nets/net.weights changed": ("graph", lambda r: r.write_graph(1.0)),
    "labels come from a URL without sha256": (
        "made",
        lambda r: r.text.replace("labels: labels.txt", "labels: {url: 'https://example.org/labels.txt'}"),
    ),
}


@pytest.mark.parametrize("empty", [False, True], ids=["output folder", "store alone"])
@pytest.mark.parametrize("words", CHANGES)
def test_a_change_is_explained_by_its_name(repository, earlier, tmp_path, dist, words, empty, monkeypatch):
    model, change = CHANGES[words]
    monkeypatch.setattr("converter.store.reuse.earlier", lambda folder: {} if empty else earlier)
    assert set(explains(repository, tmp_path, dist).values()) == {"unchanged"}
    changed = change(repository)
    if isinstance(changed, str):
        repository.text = changed
    expected = dict.fromkeys(earlier, "unchanged") | {model: words}
    assert explains(repository, tmp_path, dist) == expected


def test_another_version_is_explained(repository, reuse, dist, earlier, monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version
    version = real("coremltools")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.1" if name == "coremltools" else real(name))
    with reuse() as run:
        assert run.reasons(dist, earlier)["graph"] == f"coremltools {version} -> 9.1"


def test_a_model_that_was_never_there_is_new(repository, dist, tmp_path):
    assert set(explains(repository, tmp_path, dist).values()) == {"new"}


def test_a_run_that_reuses_all_models_imports_nothing_heavy(repository, earlier, tmp_path):
    code = f"""
import sys
from pathlib import Path
from converter.store import Index, surroundings
surroundings._OURS = Path({str(surroundings._OURS)!r})
from converter.cli import main
code = main(sys.argv[1:])
sys.exit(code or " ".join({{"torch", "coremltools", "numpy", "onnx", "boto3"}} & set(sys.modules)) or 0)
"""
    manifest, store, out = repository.root / "models.yml", tmp_path / "store", tmp_path / "out"
    command = ["convert", manifest, "--cache", repository.cache, "--store", store]
    for source in ("store", "output folder"):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "-o", out], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "reused, as nothing changed: made, graph, seen" in done.stdout, source
    assert (out / "graph/graph.mlmodel").read_text() == "a model of graph"


def test_a_plan_explains_too(repository, earlier, tmp_path, capsys):
    repository.write("code/layers.py", "WIDTH = 2\n")
    manifest, store = repository.root / "models.yml", tmp_path / "store"
    command = ["plan", str(manifest), "--explain", "--cache", str(repository.cache), "--store", str(store)]
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    assert "made: code/layers.py changed\ngraph: unchanged\nseen: unchanged\n" in capsys.readouterr().out
