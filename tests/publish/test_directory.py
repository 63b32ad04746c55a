import subprocess
from urllib.parse import urlparse

import pytest

from converter.errors import OutputError, PublishError
from converter.publish import finished
from converter.publish.directory import Directory


def actions(published):
    return [(file.name, file.action) for file in published.files]


def publish(dist, folder):
    return Directory(folder).publish(finished(dist), lambda name, sent, size: None)


def test_published_files_lie_side_by_side_with_the_record(make_dist, tmp_path):
    published = publish(make_dist(), tmp_path / "public")
    names = [file.name for file in published.files]
    assert names == ["net.mlmodel", "net.labels.txt", "report.md", "build.json", "SHA256SUMS"]
    assert sorted(p.name for p in (tmp_path / "public").iterdir()) == sorted(names)
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "public", check=True)
    assert urlparse(published.files[0].url).path == str(tmp_path / "public/net.mlmodel")


def test_the_page_is_published_where_the_folder_has_one(make_dist, tmp_path):
    dist = make_dist()
    (dist / "report.html").write_text("<!doctype html>")
    names = [file.name for file in publish(dist, tmp_path / "public").files]
    assert names == ["net.mlmodel", "net.labels.txt", "report.md", "report.html", "build.json", "SHA256SUMS"]


def test_a_second_run_copies_nothing_and_says_so(make_dist, tmp_path):
    dist = make_dist()
    publish(dist, tmp_path / "public")
    before = (tmp_path / "public/net.mlmodel").stat().st_ino
    assert {action for _, action in actions(publish(dist, tmp_path / "public"))} == {"skipped"}
    assert (tmp_path / "public/net.mlmodel").stat().st_ino == before


def test_the_plan_says_what_would_happen_and_changes_nothing(make_dist, tmp_path):
    publish(make_dist(), tmp_path / "public")
    (tmp_path / "public/net.labels.txt").unlink()
    dist = make_dist({"net/net.mlmodel": b"new weights", "net/net.labels.txt": b"a\nb\n"})
    steps = {step.name: step.action for step in Directory(tmp_path / "public").plan(finished(dist))}
    assert steps["net.mlmodel"] == "replace"
    assert steps["net.labels.txt"] == "upload"
    assert steps["report.md"] == "skip"
    assert (tmp_path / "public/net.mlmodel").read_bytes() == b"weights"
    assert dict(actions(publish(dist, tmp_path / "public")))["net.mlmodel"] == "replaced"


def test_a_folder_that_cannot_be_written_is_refused(make_dist, tmp_path):
    (tmp_path / "public").write_text("a file")
    with pytest.raises(PublishError, match="cannot write"):
        publish(make_dist(), tmp_path / "public")


def test_a_changed_file_is_refused(make_dist):
    dist = make_dist()
    (dist / "net/net.mlmodel").write_bytes(b"other")
    with pytest.raises(PublishError, match="is not the file that build"):
        finished(dist)


def test_a_folder_with_a_failed_model_is_refused(make_dist):
    with pytest.raises(PublishError, match="net did not pass"):
        finished(make_dist(error="it failed"))


def test_two_files_of_one_name_are_refused(make_dist):
    with pytest.raises(PublishError, match="labels"):
        finished(make_dist({"net/labels.txt": b"a", "other/Labels.txt": b"b"}))


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(OutputError, match="holds no build"):
        finished(tmp_path)
