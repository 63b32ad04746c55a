"""A store in a folder: whole entries or none, with several writers, with kills, and with files that were changed."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from converter.package.checksums import artifact
from converter.store import Index, StoreError, store_at
from converter.store.folder import FolderStore


@pytest.fixture
def store(tmp_path, index):
    return FolderStore(tmp_path / "store", index)


@pytest.fixture
def entry(repository, store, tmp_path):
    """A model that was put, and its record."""
    record = repository.built("graph", tmp_path / "dist")
    store.put(record, tmp_path / "dist/graph")
    return record


def fetched(store, record, folder):
    folder.mkdir()
    store.fetch(record, folder)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_what_was_put_is_found_and_fetched(store, entry, tmp_path):
    assert store.find(entry.key) == entry
    assert store.newest("graph") == entry
    assert fetched(store, entry, tmp_path / "out") == {
        "graph.mlmodel": "a model of graph",
        "graph.references.npz": "answers of graph",
    }


def test_what_was_not_put_is_not_found(store):
    assert store.find("0" * 64) is None
    assert store.newest("graph") is None


def test_the_output_folder_and_the_store_share_no_file_that_was_converted(store, entry, tmp_path):
    """Who edits what a conversion wrote does not edit the store."""
    (tmp_path / "dist/graph/graph.mlmodel").write_text("edited")
    assert fetched(store, entry, tmp_path / "out")["graph.mlmodel"] == "a model of graph"


def test_a_fetched_file_cannot_be_edited_by_accident(store, entry, tmp_path):
    fetched(store, entry, tmp_path / "out")
    file = tmp_path / "out/graph.mlmodel"
    assert file.stat().st_nlink == 1 or file.stat().st_mode & 0o222 == 0


def files_of(store, entry) -> Path:
    return store.folder / entry.key[:2] / entry.key


def edited(file):
    file.chmod(0o644)
    file.write_text("a modle of graph")


def cut(file):
    file.chmod(0o644)
    os.truncate(file, 3)


def rewritten(change):
    def act(file):
        record = file.with_name("record.json")
        text = json.loads(record.read_text())
        change(text)
        record.write_text(json.dumps(text))

    return act


@pytest.mark.parametrize(
    "damage",
    [
        edited,
        cut,
        Path.unlink,
        lambda file: file.with_name("record.json").write_text("{"),
        rewritten(lambda text: text.update(key="0" * 64)),
        rewritten(lambda text: text["ingredients"].update({"tool torch": "0.1"})),
        rewritten(lambda text: text["artifacts"][0].update(path="../../escaped/graph.mlmodel")),
        rewritten(lambda text: text["artifacts"][0].update(path="other/graph.mlmodel")),
        rewritten(lambda text: text.update(artifacts=[])),
        rewritten(lambda text: text.update(error="it failed")),
    ],
    ids=["edited", "cut", "gone", "no JSON", "key", "ingredients", "path", "other model", "nothing", "failed"],
)
def test_a_damaged_entry_is_a_miss_that_is_said_and_can_be_made_anew(store, entry, tmp_path, damage):
    fetched(store, entry, tmp_path / "before")  # the index knows the files
    damage(files_of(store, entry) / "graph.mlmodel")
    with pytest.raises(StoreError, match=f"entry {entry.key[:12]} "):
        fetched(store, store.find(entry.key), tmp_path / "out")
    assert store.find(entry.key) is None
    store.put(entry, tmp_path / "dist/graph")
    assert fetched(store, entry, tmp_path / "again")["graph.mlmodel"] == "a model of graph"


def test_what_is_converted_anew_takes_the_place_of_other_bytes_with_the_same_key(store, entry, tmp_path):
    """As of a factory that reads a file which no manifest names."""
    file = tmp_path / "dist/graph/graph.mlmodel"
    file.write_text("what it became")
    artifacts = (artifact(file, tmp_path / "dist"), *entry.artifacts[1:])
    assert [other.path for other in entry.artifacts] == [other.path for other in artifacts]
    store.put(replace(entry, artifacts=artifacts), tmp_path / "dist/graph")
    assert fetched(store, store.find(entry.key), tmp_path / "out")["graph.mlmodel"] == "what it became"


def test_what_is_not_the_record_s_is_not_put(store, repository, tmp_path):
    record = repository.built("graph", tmp_path / "dist")
    (tmp_path / "dist/graph/graph.mlmodel").write_text("another one")
    with pytest.raises(StoreError, match="damaged"):
        store.put(record, tmp_path / "dist/graph")
    assert store.find(record.key) is None
    assert not list((store.folder / ".half").iterdir())


def _put_for_ever(folder, record, files):
    store = FolderStore(folder, Index(folder / "none"))
    while True:
        store.put(record, files)
        store._drop(record.key)


def _put(folder, record, files):
    FolderStore(folder, Index(folder / "none")).put(record, files)


def test_a_writer_that_is_killed_leaves_a_whole_entry_or_none(repository, tmp_path, index):
    record = repository.built("graph", tmp_path / "dist")
    context = multiprocessing.get_context("fork")
    for number in range(30):
        folder = tmp_path / "store"
        writer = context.Process(target=_put_for_ever, args=(folder, record, tmp_path / "dist/graph"))
        writer.start()
        time.sleep(0.002 * number)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        store = FolderStore(folder, index)
        if found := store.find(record.key):
            assert len(fetched(store, found, tmp_path / f"out{number}")) == 2


def test_two_writers_of_one_entry_leave_one(repository, tmp_path, index):
    record = repository.built("graph", tmp_path / "dist")
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "store", record, tmp_path / "dist/graph")
    writers = [context.Process(target=_put, args=arguments) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = FolderStore(tmp_path / "store", index)
    assert len(fetched(store, store.find(record.key), tmp_path / "out")) == 2
    assert not list((tmp_path / "store/.half").iterdir())


def test_entries_that_were_of_no_use_for_30_days_are_dropped(store, entry, repository, tmp_path):
    other = repository.of_other_tools(entry)
    store.put(other, tmp_path / "dist/graph")
    month = time.time() - 31 * 86_400
    for record in (entry, other):
        os.utime(files_of(store, record) / "record.json", (month, month))
    left = store.folder / ".half/left"
    left.mkdir()
    os.utime(left, (month, month))
    store.used(other.key)
    store.close()
    assert store.find(entry.key) is None
    assert store.find(other.key) == other
    assert store.newest("graph") == other
    assert not left.exists()


def test_a_store_that_cannot_be_written_is_said(repository, tmp_path, index):
    (tmp_path / "taken").write_text("")
    record = repository.built("graph", tmp_path / "dist")
    store = store_at(str(tmp_path / "taken"), index)
    with pytest.raises(StoreError, match=r"taken cannot be used"):
        store.put(record, tmp_path / "dist/graph")
    with pytest.raises(StoreError, match=r"taken cannot be used"):
        store.find(record.key)
