import hashlib

import pytest

from converter.errors import PublishError
from converter.model import Artifact
from converter.publish.directory import Directory


@pytest.fixture
def dist(tmp_path):
    dist = tmp_path / "dist"
    (dist / "net").mkdir(parents=True)
    (dist / "net/net.mlmodel").write_text("weights")
    (dist / "net/net.references.npz").write_text("references")
    for name in ("build.json", "SHA256SUMS", "report.md"):
        (dist / name).write_text(name)
    return dist


def artifacts():
    def one(path, text, published):
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Artifact(path=path, sha256=digest, size_bytes=len(text), published=published)

    return [one("net/net.mlmodel", "weights", True), one("net/net.references.npz", "references", False)]


def test_published_files_lie_side_by_side_with_the_record(dist, tmp_path):
    places = Directory(tmp_path / "public").publish(dist, artifacts())
    assert places == [str(tmp_path / "public/net.mlmodel")]
    names = sorted(p.name for p in (tmp_path / "public").iterdir())
    assert names == ["SHA256SUMS", "build.json", "net.mlmodel", "report.md"]


def test_what_is_there_already_is_left_alone(dist, tmp_path):
    Directory(tmp_path / "public").publish(dist, artifacts())
    before = (tmp_path / "public/net.mlmodel").stat().st_ino
    Directory(tmp_path / "public").publish(dist, artifacts())
    assert (tmp_path / "public/net.mlmodel").stat().st_ino == before


def test_a_file_that_is_not_what_the_record_says_is_refused(dist, tmp_path):
    (dist / "net/net.mlmodel").write_text("other")
    with pytest.raises(PublishError, match="is not what build"):
        Directory(tmp_path / "public").publish(dist, artifacts())
    assert not (tmp_path / "public/net.mlmodel").exists()


def test_a_folder_that_cannot_be_written_is_refused(dist, tmp_path):
    (tmp_path / "public").write_text("a file")
    with pytest.raises(PublishError, match="cannot write"):
        Directory(tmp_path / "public").publish(dist, artifacts())
