"""The record of a run, and what it says of models that the run leaves alone."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from converter import ledger
from converter.ledger import Ledger
from converter.model import Metadata, ModelRecord
from converter.package.dist import Dist

RECORD = ModelRecord(
    name="",
    place="models.yml:2:5",
    source="a net",
    source_files=(),
    attempts=(),
    artifacts=(),
    interface=None,
    metadata=Metadata(),
    notes=(),
    error="",
    exit_code=0,
    seconds={},
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run at a commit that builds `selected` of a and b, and finds some `unchanged`; gives what build.json says."""

    def begin(commit, selected, unchanged=()):
        monkeypatch.setattr(ledger, "commit_of", lambda folder: commit)
        (tmp_path / "models.yml").write_text("models: []")
        manifest = SimpleNamespace(
            models=[SimpleNamespace(name="a"), SimpleNamespace(name="b")], folder=tmp_path, path=tmp_path / "models.yml"
        )
        with Dist(tmp_path / "dist") as dist, Ledger.open(dist, manifest, selected, None) as book:
            book.begin({name: replace(book.earlier[name], reused=True) for name in unchanged})
            for name in set(selected) - set(unchanged):
                (dist.workspace(name) / f"{name}.references.npz").write_text("")
                book.enter(replace(RECORD, name=name))
        models = json.loads((tmp_path / "dist/build.json").read_text())["models"]
        return {model["name"]: (model["commit"], model["reused"]) for model in models}

    return begin


def test_a_model_that_a_run_leaves_alone_is_not_called_unchanged(run, tmp_path):
    assert run("one", ("a", "b")) == {"a": ("one", False), "b": ("one", False)}
    assert run("two", ("a", "b"), unchanged=("a", "b")) == {"a": ("one", True), "b": ("one", True)}
    assert run("three", ("a",)) == {"a": ("three", False), "b": ("one", False)}
    report = (tmp_path / "dist/report.md").read_text()
    assert report.count("Left alone by the last run: it was converted at commit `one`") == 1
