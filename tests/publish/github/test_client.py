"""Waiting, repeating, giving up, and never telling."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from converter.errors import PublishError
from converter.package.checksums import sha256
from converter.publish import finished
from converter.publish.github import Pace

# method and path, fault, the seconds that GitHub asks for, and how often the request came
WAITS = [
    ("GET .*/releases$", "429", 1),
    ("POST .*/releases$", "429", 1),
    ("POST .*/assets$", "429", 1),
    ("POST .*/assets$", "secondary", 1),
    ("PATCH .*/releases", "secondary", 1),
]


@pytest.mark.parametrize(("pattern", "kind", "seconds"), WAITS)
def test_a_limit_is_waited_for_as_long_as_github_says(
    hub, fake, publish, make_dist, files, clock, pattern, kind, seconds
):
    hub.retry_after_s = 77
    hub.faults.append(fake.Fault(pattern, kind))
    publish(make_dist())
    assert clock.slept.count(77) == 1
    assert hub.files() == files(make_dist())


def test_an_exhausted_limit_is_waited_for_until_it_is_reset(hub, fake, publish, make_dist, clock, monkeypatch):
    hub.faults.append(fake.Fault("GET .*/releases$", "primary"))
    monkeypatch.setattr(fake.time, "time", lambda: clock.now + 1800)
    publish(make_dist())
    assert 1799 <= max(clock.slept) <= 1802


def test_patience_ends(hub, fake, publish, make_dist, clock):
    hub.retry_after_s = 3000
    hub.faults.append(fake.Fault("POST", "secondary", times=9))
    with pytest.raises(PublishError, match=r"secondary rate limit.*request id ABCD:\d+"):
        publish(make_dist())
    assert sum(clock.slept) < 4000


def test_writes_are_a_second_apart(hub, publish, make_dist, clock):
    publish(make_dist())
    pauses = [pause for pause in clock.slept if pause > 0.9]
    assert len(pauses) == hub.writes() - 1


# what goes wrong once, wherever it does: the release must be the same
ONCE = [
    (request, kind)
    for request in ("GET .*/releases$", "POST .*/releases$", "POST .*/assets$", "PATCH .*/releases/", "GET .*/assets$")
    for kind in ("500", "502", "reset", "lost", "reset-after", "cut", "slow", "starter", "primary")
    if (kind != "starter" or request.startswith("POST .*/assets"))
]


@pytest.mark.parametrize(("request_", "kind"), ONCE)
def test_a_failure_is_looked_into_before_anything_is_repeated(hub, fake, publish, make_dist, files, request_, kind):
    hub.faults.append(fake.Fault(request_, kind, times=2))
    publish(make_dist())
    assert hub.files() == files(make_dist())
    assert len(hub.releases) == 1


REPLACING = [
    (request, kind)
    for request in ("POST .*/assets$", "DELETE .*/assets/", "PATCH .*/assets/")
    for kind in ("500", "502", "reset", "lost", "reset-after", "cut")
]


@pytest.mark.parametrize(("request_", "kind"), REPLACING)
def test_a_failure_while_replacing_is_looked_into_too(hub, fake, publish, make_dist, files, request_, kind):
    publish(make_dist())
    hub.faults.append(fake.Fault(request_, kind, times=2))
    other = make_dist({"net/net.mlmodel": b"other", "net/net.labels.txt": b"a\nb\n"})
    assert {f.name: f.action for f in publish(other).files}["net.mlmodel"] == "replaced"
    assert hub.files() == files(other)


def test_a_download_that_breaks_off_is_begun_anew(hub, fake, publish, make_dist):
    hub.null_digests = True
    publish(make_dist({"net/net.mlmodel": b"x" * 3_000_000}))
    hub.faults += [fake.Fault("GET /cdn", "cut", times=2), fake.Fault("GET /cdn", "reset")]
    again = publish(make_dist({"net/net.mlmodel": b"x" * 3_000_000}))
    assert {file.action for file in again.files} == {"skipped"}


def test_what_keeps_failing_is_given_up_and_nothing_is_published(hub, fake, publish, make_dist, clock):
    hub.faults.append(fake.Fault("POST .*/assets$", "502", times=99))
    with pytest.raises(PublishError, match=r"it answered 502 \(request id ABCD:\d+\)\n  fix: run it again"):
        publish(make_dist())
    assert hub.count("POST .*/assets") == 0
    assert sum("assets" in s.path and s.method == "POST" for s in hub.seen) == Pace().attempts
    (release,) = hub.releases.values()
    assert release["draft"]


REFUSED = [
    ({"GITHUB_TOKEN": "ghs_wrongSECRET"}, "answered 401: Bad credentials", "set GITHUB_TOKEN anew"),
    ({"GITHUB_REPOSITORY": "owner/other"}, "answered 404: Not Found", "check the repository's name"),
]


@pytest.mark.parametrize(("environment", "words", "fix"), REFUSED)
def test_a_refusal_is_told_with_its_request_id_and_its_fix(publish, make_dist, environment, words, fix):
    with pytest.raises(PublishError) as caught:
        publish(make_dist(), environment=environment)
    told = str(caught.value)
    assert words in told
    assert "request id ABCD:" in told
    assert fix in told
    assert "SECRET" not in told


# every way in which a request can end, and a server that repeats the token in its own words
@pytest.mark.parametrize("kind", ["500", "reset", "cut", "secondary", "401", "echo"])
def test_secrets_are_in_no_error_no_log_and_no_record(hub, fake, publish, make_dist, caplog, capsys, monkeypatch, kind):
    caplog.set_level(logging.DEBUG)
    hub.null_digests = True  # so that the signed addresses of downloads take part
    monkeypatch.setattr(fake, "NOT_FOUND", {"message": f"no {fake.TOKEN}", "documentation_url": "https://x"})
    published = publish(make_dist())
    other = make_dist({"net/net.mlmodel": b"other", "net/net.labels.txt": b"a\nb\n"})
    hub.faults += [fake.Fault("GET .*/assets/", "cut", 99), fake.Fault("GET /cdn", "cut", 99)]
    if kind not in ("401", "echo"):
        hub.faults.insert(0, fake.Fault("POST|PATCH|DELETE", kind, times=99))
    environment = {"401": {"GITHUB_TOKEN": "wrongSECRETwrong"}, "echo": {"GITHUB_REPOSITORY": "owner/x"}}.get(kind, {})
    with pytest.raises(PublishError) as caught:
        publish(other, environment=environment)
    told = [str(caught.value), repr(caught.value), repr(caught.value.__reduce__()), repr(published), caplog.text]
    chain = caught.value
    while chain := chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__):
        told.append(repr(chain))
    told += capsys.readouterr()
    assert not any("SECRET" in text or "s3cr3t" in text for text in told)


def test_a_netrc_does_not_replace_the_token(hub, publish, make_dist, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    publish(make_dist())


def test_a_server_of_ones_own_at_another_path_works(fake, described, publisher, make_dist, files):
    hub = fake.FakeGitHub(described=described, prefix="/api/v3")
    try:
        environment = {"GITHUB_API_URL": hub.api_url}
        publisher(environment=environment).publish(finished(make_dist()), lambda *_: None)
        assert hub.files() == files(make_dist())
    finally:
        hub.close()


STREAM = """
import json, re, sys
from pathlib import Path
from converter.publish.github import Pace
from converter.publish.github.client import Client
from converter.publish.github.repository import Repository
url, token, path = sys.argv[1:]
repository = Repository(Client(url, token, pace=Pace()), "owner/repo")
release = repository.create(tag_name="v1", draft=True, body="", name="v1")
sent = []
asset = repository.upload(release, Path(path), "big.bin", "big.bin", sent.append)
# not ru_maxrss: on Linux a process begins with its parent's
peak_kib = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps([asset.size_bytes, asset.sha256, len(sent), int(peak_kib) * 1024]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(fake, tmp_path):
    """In a process of its own; BIG_FILE_BYTES=1900000000 measures the largest."""
    size = int(os.environ.get("BIG_FILE_BYTES", "200000000"))
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(size)
    hub = fake.FakeGitHub(keep=False)
    began = time.monotonic()
    try:
        command = [sys.executable, "-c", STREAM, hub.api_url, fake.TOKEN, str(big)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    finally:
        hub.close()
    sent_bytes, digest, steps, peak_bytes = json.loads(out)
    print(f"{size} bytes in {time.monotonic() - began:.1f} s, at most {peak_bytes / 1e6:.0f} MB of memory")
    assert (sent_bytes, digest) == (size, sha256(big))
    assert steps >= size // (2 << 20)
    assert peak_bytes < 300_000_000
