"""A store in S3, held to moto's own server."""

import urllib.request

import boto3
import pytest

from converter.store import StoreError, store_at
from converter.store.s3 import S3Store


@pytest.fixture
def client(s3_server, monkeypatch, tmp_path):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAHUSHHUSHHUSHHUSH",
        "AWS_SECRET_ACCESS_KEY": "hush/secret/hush",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST"), timeout=5)
    found = boto3.client("s3")
    found.create_bucket(Bucket="shelf")
    return found


@pytest.fixture
def store(client):
    return S3Store("shelf", "models/v1")


@pytest.fixture
def entry(repository, store, tmp_path):
    record = repository.built("graph", tmp_path / "dist")
    store.put(record, tmp_path / "dist/graph")
    return record


def keys(client):
    return [found["Key"] for found in client.list_objects_v2(Bucket="shelf").get("Contents", ())]


def test_what_was_put_is_found_and_fetched(store, entry, tmp_path, client, index):
    same = store_at("s3://shelf/models/v1/", index)
    assert same.find(entry.key) == entry
    assert same.newest("graph") == entry
    (tmp_path / "out").mkdir()
    same.fetch(entry, tmp_path / "out")
    assert (tmp_path / "out/graph.mlmodel").read_text() == "a model of graph"
    kinds = {key.split("/")[2] for key in keys(client)}
    assert all(key.startswith("models/v1/") for key in keys(client))
    assert kinds == {"files", "models", "names"}


def test_what_was_not_put_is_not_found(store):
    assert store.find("0" * 64) is None
    assert store.newest("graph") is None


def test_a_record_is_there_only_when_all_its_files_are(repository, client, store, tmp_path):
    """A writer that is killed at any request leaves no entry that lacks a file."""
    record = repository.built("graph", tmp_path / "dist")
    for left in range(3):
        stopping = S3Store("shelf", "models/v1")
        made = 0

        def stop(left=left, **_):
            nonlocal made
            made += 1
            if made > left:
                raise KeyboardInterrupt

        stopping._client.meta.events.register("before-send.s3.PutObject", stop)
        with pytest.raises(KeyboardInterrupt):
            stopping.put(record, tmp_path / "dist/graph")
        assert store.find(record.key) is None
    store.put(record, tmp_path / "dist/graph")
    assert store.find(record.key) == record


@pytest.mark.parametrize("content", [b"another", None], ids=["other bytes", "gone"])
def test_a_damaged_file_is_a_miss(store, entry, client, tmp_path, content):
    key = f"models/v1/files/{entry.artifacts[0].sha256}"
    client.delete_object(Bucket="shelf", Key=key)
    if content:
        client.put_object(Bucket="shelf", Key=key, Body=content)
    (tmp_path / "out").mkdir()
    with pytest.raises(StoreError):
        store.fetch(entry, tmp_path / "out")
    store.put(entry, tmp_path / "dist/graph")
    store.fetch(entry, tmp_path / "out")


def test_a_record_of_another_model_is_a_miss(store, entry, repository, client):
    other = repository.of_other_tools(entry)
    client.copy_object(
        Bucket="shelf",
        Key=f"models/v1/models/{other.key}.json",
        CopySource=f"shelf/models/v1/models/{entry.key}.json",
    )
    with pytest.raises(StoreError, match="is not the model that its key says"):
        store.find(other.key)


def test_trouble_is_said_without_a_secret_and_the_same_for_every_model(client, repository, tmp_path):
    store = S3Store("no-such-shelf", "")
    said = set()
    for key in ("0" * 64, "1" * 64):
        with pytest.raises(StoreError) as refused:
            store.find(key)
        said.add(str(refused.value))
    assert said == {"s3://no-such-shelf/ cannot be used: GetObject answered NoSuchBucket"}
    with pytest.raises(StoreError, match="NoSuchBucket") as refused:
        store.put(repository.built("graph", tmp_path / "dist"), tmp_path / "dist/graph")
    assert "hush" not in str(refused.value)


def test_missing_credentials_are_said(client, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="NoCredentialsError"):
        S3Store("shelf", "").find("0" * 64)
