"""Whole publications against a server: what lies where afterwards, and what a second run does."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from converter.errors import PublishError
from converter.publish import finished

CLOSING = ["build.json", "report.md", "SHA256SUMS"]
FILES = ["net.mlmodel", "net.labels.txt", *CLOSING]


def test_a_version_lies_whole_under_its_prefix(shelf, make_dist):
    published = shelf.publish(make_dist())
    assert sorted(shelf.listed()) == sorted(
        [f"net/v1/{name}" for name in FILES] + ["net/index.json", "net/latest.json"]
    )
    assert shelf.get("net/v1/net.mlmodel") == b"weights"
    assert [(f.name, f.action) for f in published.files] == [(name, "uploaded") for name in FILES]
    assert published.target == f"s3 {shelf.name}/net/v1/"
    assert published.outputs["s3_uris"].splitlines() == [f"s3://{shelf.name}/net/v1/{name}" for name in FILES]


def test_the_addresses_are_where_the_files_are(shelf, make_dist):
    published = shelf.publish(make_dist())
    assert published.files[0].url == f"{shelf.server}/{shelf.name}/net/v1/net.mlmodel"
    assert published.outputs["s3_latest_url"] == f"{shelf.server}/{shelf.name}/net/latest.json"


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"public_url": "https://models.example.com/"}, "https://models.example.com/net/v1/net.mlmodel"),
        ({"public_url": "https://e.com/m", "tag": "v1+b c"}, "https://e.com/m/net/v1%2Bb%20c/net.mlmodel"),
    ],
)
def test_a_public_address_stands_before_the_key(shelf, make_dist, options, url):
    assert shelf.publish(make_dist(), **options).files[0].url == url


def test_latest_names_all_files_by_their_sums(shelf, make_dist):
    shelf.publish(make_dist())
    latest = shelf.json("net/latest.json")
    assert [file["name"] for file in latest["files"]] == FILES
    for file in latest["files"]:
        content = shelf.get(f"net/{file['path']}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
    assert (latest["version"], latest["tag"], latest["commit"]) == ("v1", "v1", "abc")


def test_a_second_run_writes_nothing(shelf, make_dist):
    dist = make_dist()
    shelf.publish(dist)
    before = {key: shelf.head(key)["LastModified"] for key in shelf.listed()}
    writes = []
    publisher = shelf.publisher()
    publisher._bucket._client.meta.events.register(
        "before-call.s3", lambda model, **_: writes.append(model.name), unique_id="writes"
    )
    assert {f.action for f in publisher.publish(finished(dist), lambda *_: None).files} == {"skipped"}
    assert set(writes) <= {"HeadObject", "GetObject", "ListMultipartUploads"}
    assert {key: shelf.head(key)["LastModified"] for key in shelf.listed()} == before


def test_the_same_files_built_again_leave_the_version_as_it_is(shelf, make_dist):
    shelf.publish(make_dist(seconds=1.0))
    before = {key: shelf.get(key) for key in shelf.listed()}
    again = shelf.publish(make_dist(folder="again", seconds=2.0))
    assert {f.action for f in again.files} == {"skipped"}
    assert {key: shelf.get(key) for key in shelf.listed()} == before


@pytest.mark.parametrize("lost", [CLOSING[1:], CLOSING[2:], CLOSING])
def test_what_a_killed_run_left_is_completed_by_the_same_files_built_again(shelf, make_dist, lost):
    shelf.publish(make_dist(seconds=1.0))
    for name in [*(f"net/v1/{name}" for name in lost), "net/index.json", "net/latest.json"]:
        shelf.client.delete_object(Bucket=shelf.name, Key=name)
    shelf.publish(make_dist(folder="again", seconds=2.0))
    for file in shelf.json("net/latest.json")["files"]:
        assert hashlib.sha256(shelf.get(f"net/{file['path']}")).hexdigest() == file["sha256"]
    seconds = 2.0 if "build.json" in lost else 1.0
    assert shelf.json("net/v1/build.json")["seconds"] == seconds


def test_versions_stand_side_by_side_and_the_newest_is_the_latest(shelf, make_dist):
    for tag in ("v1", "v2", "v1"):  # v1 again does not become the latest again
        shelf.publish(make_dist(), tag=tag)
    index = shelf.json("net/index.json")
    assert [version["version"] for version in index["versions"]] == ["v1", "v2"]
    assert index["latest"] == shelf.json("net/latest.json")["version"] == "v2"


def test_a_version_need_not_become_the_latest(shelf, make_dist):
    shelf.publish(make_dist(), tag="v2")
    shelf.publish(make_dist(), tag="v1.1", latest=False)
    assert shelf.json("net/latest.json")["version"] == "v2"
    assert len(shelf.json("net/index.json")["versions"]) == 2


def test_without_any_latest_there_is_no_latest(shelf, make_dist):
    shelf.publish(make_dist(), latest=False)
    assert "net/latest.json" not in shelf.listed()


def test_other_bytes_are_refused_before_anything_is_uploaded(shelf, make_dist):
    shelf.put("net/v1/net.labels.txt", b"z\nb\n")
    for act in (shelf.publish, shelf.plan):
        with pytest.raises(PublishError, match=r"hold other bytes: net/v1/net\.labels\.txt"):
            act(make_dist())
    assert shelf.listed() == ["net/v1/net.labels.txt"]


def test_other_bytes_are_replaced_where_that_is_asked_for(shelf, make_dist):
    shelf.publish(make_dist())
    changed = make_dist({"net/net.mlmodel": b"WEIGHTS", "net/net.labels.txt": b"a\nb\n"}, folder="changed")
    published = shelf.publish(changed, existing="replace")
    assert [f.action for f in published.files] == ["replaced", "skipped", "replaced", "skipped", "replaced"]
    assert shelf.get("net/v1/net.mlmodel") == b"WEIGHTS"
    sums = {file["name"]: file["sha256"] for file in shelf.json("net/latest.json")["files"]}
    assert sums["net.mlmodel"] == hashlib.sha256(b"WEIGHTS").hexdigest()


def test_a_plan_says_what_would_happen_and_changes_nothing(shelf, make_dist):
    dist = make_dist()
    shelf.put("net/v1/net.mlmodel", b"weights")
    keys = [f"net/v1/{name}" for name in FILES]
    entering = [("publish", "net/index.json"), ("publish", "net/latest.json")]
    assert shelf.plan(dist) == [("skip", keys[0]), *[("upload", key) for key in keys[1:]], *entering]
    assert shelf.listed() == ["net/v1/net.mlmodel"]
    shelf.publish(dist)
    assert shelf.plan(dist) == [("skip", key) for key in keys]


@pytest.mark.parametrize("checksums", ["on", "read-back"])
def test_a_file_of_many_parts_arrives_whole(shelf, make_dist, small_parts, checksums):
    content = bytes(range(256)) * (11 << 12)  # 11.5 MB: two parts of 5 MB and a rest
    dist = make_dist({"net/net.mlmodel": content})
    calls = []
    published = shelf.publish(dist, lambda *call: calls.append(call), checksums=checksums)
    assert published.files[0].action == "uploaded"
    assert shelf.get("net/v1/net.mlmodel") == content
    assert shelf.head("net/v1/net.mlmodel")["CacheControl"].endswith("immutable")
    sent = [so_far for name, so_far, whole in calls if name == "net.mlmodel"]
    assert sent == sorted(sent)
    assert sent[-1] == len(content)
    assert len(set(sent)) > 10
    assert shelf.publish(dist, checksums=checksums).files[0].action == "skipped"


def test_leftovers_of_broken_uploads_are_given_up(shelf, make_dist):
    for key in ("net/v1/net.mlmodel", "net/v0/net.mlmodel"):
        upload = shelf.client.create_multipart_upload(Bucket=shelf.name, Key=key)["UploadId"]
        shelf.client.upload_part(Bucket=shelf.name, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    shelf.publish(make_dist())
    assert [upload["Key"] for upload in shelf.unfinished()] == ["net/v0/net.mlmodel"]  # another version's is not ours


def test_what_lies_there_without_our_notes_is_read(shelf, make_dist):
    shelf.put("net/v1/net.mlmodel", b"weights")
    shelf.put("net/v1/net.labels.txt", b"A\nB\n", Metadata={"sha256": "0" * 64})
    steps = shelf.plan(make_dist(), existing="replace")
    assert [action for action, _ in steps[:3]] == ["skip", "replace", "upload"]


@pytest.mark.parametrize("checksums", ["on", "read-back"])
def test_a_note_without_a_checksum_is_not_believed(shelf, make_dist, checksums):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    shelf.put("net/v1/net.mlmodel", b"WEIGHTS", Metadata={"sha256": sha256})
    assert shelf.plan(make_dist(), checksums=checksums, existing="replace")[0][0] == "replace"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b'{"schema": 1, "versions": []}', b'{"schema": 2, "name": "net", "versions": []}'],
    ids=str,
)
def test_an_index_that_is_not_ours_is_left_alone(shelf, make_dist, content):
    shelf.put("net/index.json", content)
    with pytest.raises(PublishError, match="something else than an index"):
        shelf.publish(make_dist())
    assert shelf.listed() == ["net/index.json"]


def test_two_projects_do_not_share_an_index(shelf, make_dist):
    shelf.publish(make_dist(), prefix="{tag}/")
    with pytest.raises(PublishError, match="the index of 'net', not of 'other'"):
        shelf.publish(make_dist(), prefix="{tag}/", tag="v2", name="other")


def test_the_same_version_published_twice_at_once_is_one_version(shelf, make_dist, in_child):
    dist = make_dist()
    with ThreadPoolExecutor(3) as threads:
        codes = list(threads.map(lambda _: in_child(lambda: shelf.publish(dist)), range(3)))
    assert codes == [0, 0, 0]
    assert [version["version"] for version in shelf.json("net/index.json")["versions"]] == ["v1"]


def test_index_and_latest_are_readable_text(shelf, make_dist):
    shelf.publish(make_dist(), tag="ä")
    assert json.loads(shelf.get("net/index.json").decode())["latest"] == "ä"


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_another_publisher_of_the_same_bytes_is_no_hindrance(shelf, make_dist, small_parts, operation):
    content = bytes(6 << 20)
    publisher, dist = shelf.publisher(), make_dist({"net/net.mlmodel": content, "net/net.txt": b"a"})
    shelf.before(publisher, operation, lambda: shelf.publish(dist))
    publisher.publish(finished(dist), lambda *_: None)
    assert shelf.read_latest() == "v1"
    assert shelf.unfinished() == []


@pytest.mark.parametrize(("size", "operation"), [(1, "PutObject"), (6 << 20, "CompleteMultipartUpload")])
def test_other_bytes_that_came_meanwhile_are_not_overwritten(shelf, make_dist, small_parts, size, operation):
    publisher, dist = shelf.publisher(), make_dist({"net/net.mlmodel": bytes(size)})
    shelf.before(publisher, operation, lambda: shelf.put("net/v1/net.mlmodel", b"other"))
    with pytest.raises(PublishError, match=r"net/v1/net\.mlmodel: the key holds other bytes since a moment ago"):
        publisher.publish(finished(dist), lambda *_: None)
    assert shelf.get("net/v1/net.mlmodel") == b"other"
    assert shelf.listed() == ["net/v1/net.mlmodel"]
    assert shelf.unfinished() == []
