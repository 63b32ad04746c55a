"""The properties that objects get."""

import hashlib
import urllib.request

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody

from converter.publish import finished
from converter.publish.s3 import objects


def test_objects_have_the_properties_that_were_asked_for(shelf, make_dist):
    shelf.publish(
        make_dist({"net/net.mlmodel": b"weights", "net/net.öre.txt": b"x"}),
        storage_class="STANDARD_IA",
        encryption="AES256",
        tags={"team": "ml + co", "stage": "done"},
        content_types={".mlmodel": "application/x-coreml"},
    )
    head = shelf.head("net/v1/net.mlmodel")
    assert head["ContentType"] == "application/x-coreml"
    assert head["ContentDisposition"] == 'attachment; filename="net.mlmodel"'
    assert head["CacheControl"] == "public, max-age=31536000, immutable"
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert head["Metadata"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    tags = shelf.client.get_object_tagging(Bucket=shelf.name, Key="net/v1/net.mlmodel")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml + co", "stage": "done"}
    assert shelf.head("net/v1/net.öre.txt")["ContentDisposition"] == "attachment; filename*=UTF-8''net.%C3%B6re.txt"
    assert shelf.head("net/latest.json")["CacheControl"] == "no-cache"
    assert shelf.head("net/latest.json")["ContentType"] == "application/json"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("net.mlmodel", "application/octet-stream"),
        ("net.mlpackage.zip", "application/zip"),
        ("build.json", "application/json"),
        ("report.MD", "text/markdown; charset=utf-8"),
        ("SHA256SUMS", "text/plain; charset=utf-8"),
        ("net.labels.txt", "text/x-labels"),
        ("net.words.txt", "text/plain; charset=utf-8"),
    ],
)
def test_the_longest_known_ending_gives_the_content_type(name, kind):
    assert objects.content_type(name, {".labels.txt": "text/x-labels"}) == kind


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("net.mlmodel", 'attachment; filename="net.mlmodel"'),
        ("net a+b (1).txt", 'attachment; filename="net a+b (1).txt"'),
        ('a"; filename="b', "attachment; filename*=UTF-8''a%22%3B%20filename%3D%22b"),
        ("a\\b", "attachment; filename*=UTF-8''a%5Cb"),
        ("ä", "attachment; filename*=UTF-8''%C3%A4"),
    ],
)
def test_a_name_cannot_leave_its_header(name, header):
    assert objects.disposition(name) == header


def test_odd_names_arrive_under_their_own_names(shelf, make_dist):
    names = ["net.a b+c&d=e%20f?g#h.txt", "net.模型 🧠.txt", "net.'\"<x>.txt", ".net", "net.." + "x" * 200]
    published = shelf.publish(make_dist({f"net/{name}": name.encode() for name in names}), acl="public-read")
    assert set(shelf.listed()) >= {f"net/v1/{name}" for name in names}
    assert shelf.read_latest() == "v1"
    with urllib.request.urlopen(published.files[0].url) as answer:
        assert answer.read() == names[0].encode()
    assert {f.action for f in shelf.publish(make_dist({f"net/{n}": n.encode() for n in names})).files} == {"skipped"}


def test_an_answer_that_breaks_off_is_read_again(shelf, make_dist, monkeypatch):
    dist = make_dist()
    shelf.publish(dist)
    publisher, broken = shelf.publisher(checksums="read-back"), [1, 1, 1]

    def breaks_off(_):
        if broken:
            broken.pop()
            raise ReadTimeoutError(endpoint_url="")

    whole = StreamingBody.iter_chunks
    monkeypatch.setattr(StreamingBody, "iter_chunks", lambda body, size: breaks_off(body) or whole(body, size))
    assert {step.action for step in publisher.plan(finished(dist))} == {"skip"}
    assert broken == []
