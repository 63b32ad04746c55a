"""The index against the file system: it never gives the digest of bytes that a file no longer holds."""

import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from converter.store import Index

HOUR_NS = 3_600_000_000_000


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def age(path: Path, ns: int = HOUR_NS) -> None:
    moment = time.time_ns() - ns
    os.utime(path, ns=(moment, moment))


@pytest.fixture
def reads(monkeypatch):
    """The files that were really read."""
    found: list[str] = []
    hashed = Index._hashed
    monkeypatch.setattr(Index, "_hashed", lambda self, name, *more: found.append(name) or hashed(self, name, *more))
    return found


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("one")
    age(path)
    return path


def again(index: Index) -> Index:
    index.save()
    return Index(index._file)


def test_an_unchanged_file_is_read_once(index, file, reads):
    assert index.sha256(file) == digest("one")
    assert again(index).sha256(file) == digest("one")
    assert reads == [str(file)]


def test_a_file_that_was_changed_a_moment_ago_is_read_again(index, file, reads):
    os.utime(file)
    index.sha256(file)
    # the clock has not moved on: size and mtime are the same, and the bytes are not
    found = file.stat()
    file.write_text("two")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert again(index).sha256(file) == digest("two")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text("two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def rewritten(path: Path) -> None:
    found = path.stat()
    path.write_text("two")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("two"), replaced, rewritten], ids=["touched", "another inode", "old time"]
)
def test_whatever_changes_a_file_is_seen(index, file, change):
    index.sha256(file)
    change(file)
    assert again(index).sha256(file) == digest("two")


def test_a_link_to_a_read_only_file_of_a_store_costs_no_reading_and_a_link_to_another_does(
    index, file, reads, tmp_path
):
    for mode, expected in ((0o444, 1), (0o644, 2)):
        file.chmod(mode)
        reads.clear()
        age(file, HOUR_NS + mode)
        index = again(index)
        index.sha256(file, shared=True)
        (tmp_path / f"link-{mode}").hardlink_to(file)
        again(index).sha256(file, shared=True)
        assert len(reads) == expected


def test_a_read_only_source_that_is_rewritten_with_its_old_time_is_seen(index, file):
    """A build system writes its outputs so, with one time for all of them."""
    file.chmod(0o444)
    index.sha256(file)
    file.chmod(0o644)
    rewritten(file)
    file.chmod(0o444)
    assert again(index).sha256(file) == digest("two")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "files": {"a": [1]}, "facts": {}}', b"\xff"]
)
def test_a_broken_index_is_begun_anew(tmp_path, file, content):
    place = tmp_path / "index.json"
    place.write_bytes(content)
    index = Index(place)
    assert index.sha256(file) == digest("one")
    index.save()
    assert str(file) in json.loads(place.read_text())["files"]


def test_an_index_that_cannot_be_written_is_done_without(tmp_path, file):
    (tmp_path / "taken").write_text("")
    index = Index(tmp_path / "taken" / "index.json")
    assert index.sha256(file) == digest("one")
    index.save()


def test_a_fact_about_bytes_is_found_once(index):
    assert index.fact("external", "a" * 64, lambda: ["net.weights"]) == ("net.weights",)
    assert again(index).fact("external", "a" * 64, lambda: pytest.fail("it is known")) == ("net.weights",)


def test_what_was_not_used_for_30_days_is_forgotten(index, file, monkeypatch):
    index.sha256(file)
    index.save()
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    later = Index(index._file)
    later.fact("external", "a" * 64, list)
    later.save()
    assert json.loads(index._file.read_text())["files"] == {}


def _look(place, files):
    index = Index(place)
    for file in files:
        index.sha256(file)
        index.save()


def test_several_processes_lose_nothing_of_one_another(tmp_path):
    files = [tmp_path / str(number) for number in range(40)]
    for file in files:
        file.write_text(file.name)
    place = tmp_path / "index.json"
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=_look, args=(place, files[start::4])) for start in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    assert set(json.loads(place.read_text())["files"]) == {str(file) for file in files}
