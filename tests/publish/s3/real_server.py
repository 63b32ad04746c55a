"""What only a real S3 server can tell; script/test-s3 starts one and runs this. Figures are printed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import botocore.httpsession
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from converter.errors import PublishError
from converter.package.checksums import sha256
from converter.publish import finished
from tests import marks

KILLS = int(os.environ.get("KILLS", "200"))
FAULTS = 0.1  # of requests
MIB = 1 << 20
CODE = re.compile(r"answered (\w+)")


@pytest.fixture(scope="session")
def figure():
    """Print a figure; a whole run of script/test-s3 names the document into which all of them go."""
    lines = []

    def say(line):
        print(line)
        lines.append(f"- {line}")

    yield say
    if document := os.environ.get("FIGURES"):
        marks.write(Path(document), "s3", "\n".join(lines))


def test_wrong_signatures_are_refused_so_the_server_is_no_stand_in(shelf, make_dist, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong/secret")
    with pytest.raises(PublishError, match=r"answered (403|AccessDenied|SignatureDoesNotMatch)") as caught:
        shelf.publish(make_dist())
    assert "wrong/secret" not in str(caught.value)
    assert re.search(r"request id \w+", str(caught.value))


@pytest.mark.parametrize("size", [100, 6 * MIB, 12 * MIB])
def test_a_file_that_changed_after_it_was_checked_is_refused(shelf, make_dist, small_parts, figure, size):
    dist = make_dist({"net/net.mlmodel": bytes(size)})
    whole = finished(dist)
    (dist / "net/net.mlmodel").write_bytes(bytes(size - 1) + b"x")
    with pytest.raises(PublishError, match=r"BadDigest|was changed since it was checked") as caught:
        shelf.publisher().publish(whole, lambda *_: None)
    figure(f"a file of {size} bytes changed after it was checked: {words(caught.value)}")
    assert shelf.listed() == []
    assert shelf.unfinished() == []


@pytest.mark.parametrize("checksums", ["on", "read-back"])
@pytest.mark.parametrize(("size", "operation"), [(100, "PutObject"), (12 * MIB, "UploadPart")])
def test_bytes_that_broke_on_their_way_are_refused(shelf, make_dist, small_parts, figure, size, operation, checksums):
    publisher = shelf.publisher(checksums=checksums)

    def corrupt(request, **_):
        body = bytearray(request.body.read())
        body[len(body) // 2] ^= 1
        request.body = bytes(body)

    publisher._bucket._client.meta.events.register(f"before-send.s3.{operation}", corrupt)
    with pytest.raises(PublishError, match=r"answered (BadDigest|XAmzContentSHA256Mismatch)") as caught:
        publisher.publish(finished(make_dist({"net/net.mlmodel": bytes(size)})), lambda *_: None)
    figure(f"one bit flipped on its way, {operation}, checksums {checksums}: {words(caught.value)}")
    assert shelf.listed() == []
    assert shelf.unfinished() == []


def test_the_checksum_header_alone_is_enough(shelf, make_dist):
    """As over https, where the payload is not part of the signature."""
    publisher = shelf.publisher()

    def wrong(params, **_):
        params["headers"]["x-amz-checksum-sha256"] = "A" * 43 + "="

    publisher._bucket._client.meta.events.register("before-call.s3.PutObject", wrong)
    with pytest.raises(PublishError, match=r"BadDigest"):
        publisher.publish(finished(make_dist()), lambda *_: None)
    assert shelf.listed() == []


def test_a_key_that_is_taken_is_answered_with_412(shelf, figure):
    shelf.put("a", b"1", IfNoneMatch="*")
    with pytest.raises(shelf.client.exceptions.ClientError, match=r"PreconditionFailed") as caught:
        shelf.put("a", b"2", IfNoneMatch="*")
    figure(f"If-None-Match on a taken key: {caught.value.response['ResponseMetadata']['HTTPStatusCode']}")
    assert shelf.get("a") == b"1"


def test_an_upload_that_another_publisher_made_pointless_is_no_error(shelf, make_dist, small_parts):
    publisher, dist = shelf.publisher(), make_dist({"net/net.mlmodel": bytes(6 * MIB)})
    shelf.before(publisher, "UploadPart", lambda: shelf.publish(dist))
    publisher.publish(finished(dist), lambda *_: None)
    assert shelf.read_latest() == "v1"
    assert shelf.unfinished() == []


def words(error):
    """The answer without what differs from run to run."""
    return "refused by the server with " + found[1] if (found := CODE.search(error.problem)) else "refused unsent"


def faulty(seed):
    """Let a tenth of this process's requests fail: unsent, sent but unanswered, or answered with 503."""
    chance, send = random.Random(seed), botocore.httpsession.URLLib3Session.send

    def send_or_not(session, request):
        if chance.random() >= FAULTS:
            return send(session, request)
        kind = chance.randrange(3)
        if kind == 0:
            return AWSResponse(request.url, 503, {}, SimpleNamespace(stream=lambda: iter(())))
        if kind == 1:
            send(session, request)
        raise ConnectionClosedError(endpoint_url=request.url)

    botocore.httpsession.URLLib3Session.send = send_or_not


@pytest.mark.timeout(7200)
def test_killed_at_any_moment_and_run_again_it_ends_whole(shelf, make_dist, in_child, small_parts, figure):
    dist = make_dist({"net/net.mlmodel": random.Random(0).randbytes(6 * MIB), "net/net.labels.txt": b"a\n"})
    started = time.monotonic()
    shelf.publish(dist, tag="v0")
    takes_s = time.monotonic() - started
    chance, polls, faults, stop = random.Random(1), [], [], threading.Event()

    def poll():
        while not stop.wait(0.5):
            try:
                polls.append(shelf.read_latest())
            except Exception as error:
                faults.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    killed = reruns = 0
    try:
        for n in range(1, KILLS + 1):

            def task(seed=0, n=n):
                faulty(seed)
                shelf.publish(dist, tag=f"v{n}")

            code = in_child(lambda task=task, n=n: task(n), chance.uniform(0, 1.2 * takes_s))
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            assert shelf.read_latest() in (f"v{n - 1}", f"v{n}")
            while in_child(lambda task=task, n=n: task(1000 + n)) != 0:
                reruns += 1
                assert reruns < KILLS / 10, "faults at a tenth of the requests are met by trying again"
            assert shelf.read_latest() == f"v{n}"
    finally:
        stop.set()
        reader.join()
    assert faults == []
    versions = [version["version"] for version in shelf.json("net/index.json")["versions"]]
    assert versions == [f"v{n}" for n in range(KILLS + 1)]
    assert shelf.unfinished() == []
    figure(
        f"{KILLS} publications of {takes_s:.1f} s, faults at {FAULTS:.0%} of the requests: {killed} killed, "
        f"{reruns} runs after a kill failed and were run again, all complete; "
        f"a reader followed latest.json {len(polls)} times, {len(set(polls))} versions, 0 incomplete"
    )


LARGE = """
import re, sys, time
from converter.manifest.s3 import S3Options
from converter.publish import finished
from converter.publish.s3 import S3
started = time.monotonic()
options = S3Options(bucket=sys.argv[2], endpoint=sys.argv[3], tag="v1", name="net", checksums=sys.argv[4])
from pathlib import Path
calls = []
published = S3(options, {}).publish(finished(Path(sys.argv[1])), lambda *call: calls.append(call))
# not ru_maxrss: on Linux a process begins with its parent's
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(published.files[0].action, round(peak), round(time.monotonic() - started), len(calls))
"""


def test_memory_does_not_grow_with_the_file(shelf, make_dist, figure):
    """1.9 GB, sparse: its record is written by hand, as no test holds it in memory."""
    dist = make_dist()
    large = dist / "net/net.mlmodel"
    with large.open("wb") as file:
        file.truncate(1_900_000_000)
    record = json.loads((dist / "build.json").read_text())
    for artifact in record["models"][0]["artifacts"]:
        if artifact["path"] == "net/net.mlmodel":
            old = artifact["sha256"]
            artifact |= {"sha256": sha256(large), "size_bytes": 1_900_000_000}
    (dist / "build.json").write_text(json.dumps(record))
    sums = (dist / "SHA256SUMS").read_text()
    (dist / "SHA256SUMS").write_text(sums.replace(old, sha256(large)))
    for wanted in ("uploaded", "skipped"):
        run = subprocess.run(
            [sys.executable, "-c", LARGE, str(dist), shelf.name, shelf.server, "on"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        action, peak_mib, seconds, calls = run.stdout.split()
        figure(f"1.9 GB {action} in {seconds} s, peak memory of the process {peak_mib} MiB, {calls} calls of progress")
        assert action == wanted
        assert int(peak_mib) < 300
    assert shelf.unfinished() == []
