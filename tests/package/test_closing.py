"""The reports written anew, with what a Mac said of the same files."""

import json
from dataclasses import replace

import pytest

from converter.cli import main
from converter.model import (
    BuildRecord,
    CheckedFile,
    CompiledFile,
    Placement,
    ValidationRecord,
)
from converter.package.closing import closing_texts
from converter.package.record import read_record
from converter.plain import to_plain

MAC = "macOS 15.5, Apple M2"


@pytest.fixture
def dist(make_part):
    return make_part("whole", "a", "b", expected=("a", "b"), folder="dist")


@pytest.fixture
def checked(dist, tmp_path):
    """Write what `validate --record` would, for the models named; returns the file."""

    def write(*names, digest="", **more):
        artifacts = {a.path: a for model in read_record(dist).models for a in model.artifacts}
        files = []
        for name in names:
            path = next((p for p in artifacts if p.startswith(f"{name}/")), f"{name}/{name}.mlmodel")
            files.append(
                CheckedFile(
                    model=name,
                    file=path,
                    sha256=digest or (artifacts[path].sha256 if path in artifacts else "0" * 64),
                    engine="Core ML",
                    error="Core ML refuses: too large",
                    placements=(Placement(op_type="sparkling_conv", name="y", preferred="CPU", cost=0.5),),
                )
            )
        record = ValidationRecord(
            engine="coreml",
            machine="macOS 15.5, Apple M2",
            versions={},
            commit="",
            files=tuple(files),
            seconds=1,
            **more,
        )
        path = tmp_path / f"validation-{'-'.join(names)}.json"
        path.write_text(json.dumps(to_plain(record)))
        return path

    return write


def report(dist, *files, previous=None):
    options = [f"--validation={file}" for file in files] + ([f"--previous={previous}"] if previous else [])
    return main(["report", str(dist), *options])


def test_what_several_shards_checked_comes_into_page_report_and_record(dist, checked, capsys):
    sums = (dist / "SHA256SUMS").read_bytes()
    assert report(dist, checked("a"), checked("b")) == 0
    assert "2 models, 2 later checks" in capsys.readouterr().out
    for name in ("report.html", "report.md"):
        text = (dist / name).read_text()
        assert text.count("Core ML refuses: too large") == 2, name
        assert MAC in text
    assert [file.model for check in read_record(dist).checks for file in check.files] == ["a", "b"]
    assert (dist / "SHA256SUMS").read_bytes() == sums


def test_placements_are_shown_and_not_kept(dist, checked):
    report(dist, checked("a"))
    assert "sparkling_conv" in (dist / "report.html").read_text()
    assert "sparkling_conv" not in (dist / "build.json").read_text()


def test_a_later_report_without_validations_keeps_those_of_the_record(dist, checked):
    report(dist, checked("a"))
    before = (dist / "build.json").read_bytes()
    assert report(dist) == 0
    assert (dist / "build.json").read_bytes() == before
    assert "Core ML refuses" in (dist / "report.html").read_text()


def test_validations_of_other_files_are_refused_together(dist, checked, capsys, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    page = (dist / "report.html").read_bytes()
    compiled = (CompiledFile(model="stranger", file="stranger/stranger.mlmodel"),)
    assert report(dist, broken, checked("a", digest="1" * 64), checked("c", compiled=compiled)) == 6
    said = capsys.readouterr().err
    for words in (
        "broken.json is no record",
        "is another file in the folder",
        "has no model c",
        "has no model stranger",
    ):
        assert words in said
    assert (dist / "report.html").read_bytes() == page


def test_an_earlier_record_gives_the_changes(dist, make_part, capsys):
    old = make_part("whole", "a", "z", expected=("a", "z"), folder="old")
    assert report(dist, previous=old / "build.json") == 0
    text = (dist / "report.html").read_text()
    assert "<dt>Added</dt><dd>b</dd>" in text
    assert "<dt>Removed</dt><dd>z</dd>" in text


def test_an_earlier_record_that_cannot_be_read_is_a_note(dist, tmp_path, capsys):
    (tmp_path / "build.json").write_text('{"of": "another release"}')
    assert report(dist, previous=tmp_path / "build.json") == 0
    assert "note: what changed is not said" in capsys.readouterr().err


def test_a_folder_without_a_record_is_refused(tmp_path, capsys):
    assert report(tmp_path) == 6
    assert "build it first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_all_that_closes_a_folder_follows_from_the_record(dist):
    record = read_record(dist)
    assert dict(closing_texts(record)) == {
        name: (dist / name).read_text() for name in ("build.json", "report.md", "report.html", "SHA256SUMS")
    }
    assert closing_texts(replace(record, checks=())) == closing_texts(record)
    assert isinstance(record, BuildRecord)
