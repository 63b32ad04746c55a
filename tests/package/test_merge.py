"""Parts of a manifest become one folder, or are refused with everything that is wrong with them."""

import re
import shutil
import subprocess

import pytest

from converter.errors import OutputError
from converter.package import merge as merging
from converter.package.merge import merge
from converter.package.record import read_record


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture
def parts(make_part):
    return [
        make_part("1/3", "a", "c", expected="abc"),
        make_part("2/3", expected="abc"),
        make_part("3/3", "b", expected="abc"),
    ]


def test_parts_become_what_one_machine_would_have_built(parts, make_part, tmp_path):
    record = merge(parts, tmp_path / "dist")
    assert [model.name for model in record.models] == ["a", "b", "c"]
    assert (record.shard, record.expected, record.seconds) == ("", ("a", "b", "c"), 4.5)
    assert read_record(tmp_path / "dist") == record
    alone = tree(make_part("whole", "a", "b", "c", expected="abc"))
    merged = tree(tmp_path / "dist")
    for name in ("build.json", "report.md"):  # they tell the seconds
        alone[name] = alone[name].replace(b"1.5", b"4.5")
    alone["report.html"] = alone["report.html"].replace(b"1.5 s", b"4.5 s")
    assert merged == alone
    (tmp_path / "flat").mkdir()
    for file in (tmp_path / "dist").rglob("*"):
        if file.is_file():
            shutil.copy(file, tmp_path / "flat")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "flat", check=True)


def test_a_second_merge_changes_nothing_and_parts_are_left_alone(parts, tmp_path):
    before = [tree(part) for part in parts]
    merge(parts, tmp_path / "dist")
    first = tree(tmp_path / "dist")
    merge(parts[::-1], tmp_path / "dist")
    assert tree(tmp_path / "dist") == first
    assert [tree(part) for part in parts] == before


def test_files_are_linked_where_that_is_possible_and_copied_elsewhere(parts, tmp_path, monkeypatch):
    merge(parts, tmp_path / "dist")
    assert (tmp_path / "dist/a/a.mlmodel").samefile(parts[0] / "a/a.mlmodel")

    def refuses(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(merging.os, "link", refuses)
    merge(parts, tmp_path / "copied")
    assert not (tmp_path / "copied/a/a.mlmodel").samefile(parts[0] / "a/a.mlmodel")
    assert tree(tmp_path / "copied") == tree(tmp_path / "dist")


def test_models_that_left_leave_the_output_too(parts, make_part, tmp_path):
    merge([make_part("old", "a", "z", expected="az")], tmp_path / "dist")
    assert (tmp_path / "dist/z").is_dir()
    merge(parts, tmp_path / "dist")
    assert not (tmp_path / "dist/z").exists()


def test_one_whole_manifest_merges_to_itself(make_part, tmp_path):
    whole = make_part("whole", "a", "b", expected="ab")
    merge([whole], tmp_path / "dist")
    assert tree(tmp_path / "dist") == tree(whole)


def test_a_failed_model_stays_in_the_record(make_part, tmp_path):
    parts = [make_part("1/2", "a", expected="ab"), make_part("2/2", "b", expected="ab", failed="b")]
    record = merge(parts, tmp_path / "dist")
    assert [model.passed for model in record.models] == [True, False]
    assert not (tmp_path / "dist/b").exists()
    assert "psnr_db is too low" in (tmp_path / "dist/report.md").read_text()


def refusal(folders, output):
    with pytest.raises(OutputError) as error:
        merge(folders, output)
    assert not (output / "build.json").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"names": "b", "commit": "def"}, "different commits: abc ({0}); def ({1})"),
        ({"names": "b", "manifest": "other.yml"}, "different manifests: models.yml ({0}); other.yml ({1})"),
        ({"names": "b", "expected": "abx"}, "different lists of models: {0}; {1}"),
        ({"names": "b", "text": "edited"}, "different texts of the manifest: {0}; {1}"),
        ({"names": "b", "shard": "2/3"}, "the parts are shards of 2 and of 3"),
        ({"names": "b", "shard": "1/2"}, "shard 1/2 is there 2 times: {0}, {1}"),
        ({"names": "b", "shard": "1/2"}, "shard 2/2 missing"),
        ({"names": "b", "shard": "whole"}, "{1}: not a shard, but a whole manifest"),
        ({"names": "ab"}, "model a is in several parts: {0}, {1}"),
        ({"names": ""}, "1 of 2 models missing: b"),
        ({"names": "bz"}, "not models of this manifest: z"),
        ({"names": "b", "also": ("b/A.mlmodel",)}, "several files are called a.mlmodel"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make_part, tmp_path, second, words):
    given = {"shard": "2/2", "names": "b", "expected": "ab", "folder": "other", **second}
    folders = [make_part("1/2", "a", expected="ab"), make_part(given.pop("shard"), *given.pop("names"), **given)]
    assert words.format(*folders) in refusal(folders, tmp_path / "dist")


def test_everything_wrong_is_said_at_once(make_part, tmp_path):
    first, last = make_part("1/4", "a", expected="abcd"), make_part("4/4", "d", expected="abcd", commit="other")
    (first / "a/a.mlmodel").write_bytes(b"changed")
    (last / "d/d.references.npz").unlink()
    (tmp_path / "empty").mkdir()
    said = refusal([first, last, tmp_path / "empty"], tmp_path / "dist")
    for words in (
        "different commits",
        "shards 2/4, 3/4 missing",
        "2 of 4 models missing: b, c",
        f"{first}/a/a.mlmodel is not the file that its record names",
        f"{last}/d/d.references.npz: there is no such file",
        f"{tmp_path}/empty holds no build.json",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"a/a.mlmodel"', '"a/../../secret"', "is not in the folder of a"),
        ('"a/a.mlmodel"', '"/etc/passwd"', "is not in the folder of a"),
        ('"a/a.mlmodel"', '"a/.."', "is not in the folder of a"),
        ('"a/a.mlmodel"', '"a/x\\n00  d.mlmodel"', "is no name of a file"),
        ('"name": "a"', '"name": ".."', "'..' is no name of a model"),
    ],
)
def test_a_record_cannot_reach_out_of_its_folder(make_part, tmp_path, old, new, words):
    part = make_part("1/1", "a", expected="a")
    text = (part / "build.json").read_text()
    assert old in text
    (part / "build.json").write_text(text.replace(old, new))
    assert words in refusal([part], tmp_path / "dist")


def test_a_link_is_no_file_of_a_part(make_part, tmp_path):
    part = make_part("1/1", "a", expected="a")
    (part / "a/a.mlmodel").rename(tmp_path / "elsewhere")
    (part / "a/a.mlmodel").symlink_to(tmp_path / "elsewhere")
    assert re.search(r"a\.mlmodel: there is no such file", refusal([part], tmp_path / "dist"))


def test_a_part_is_no_output(parts):
    before = tree(parts[0])
    with pytest.raises(OutputError, match="cannot be the output too"):
        merge(parts, parts[0])
    assert tree(parts[0]) == before
