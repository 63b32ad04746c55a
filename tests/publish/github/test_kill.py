"""The publisher is killed at random moments, with faults at a tenth of all requests, and run again.

The quick form runs always. `script/test-kill` runs the full one and writes its figures into docs/reliability.md.
"""

import collections
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests import marks

KILLS = int(os.environ.get("KILLS", "10"))
FIGURES = Path(__file__).parents[3] / "docs/reliability.md"
FAULT_RATE = 0.1
MOMENTS = ["new release", "draft", "replace", "same files"]


class Publishers:
    """Publishers in processes of their own."""

    def __init__(self, hub, token, errors):
        self._environment = {"GITHUB_REPOSITORY": "owner/repo", "GITHUB_TOKEN": token, "GITHUB_API_URL": hub.api_url}
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            text=True,
        )

    def _ask(self, **task):
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def begin(self, dist, **options):
        """The id of a process that publishes."""
        errors = str(self._errors)
        return self._ask(dist=str(dist), options=options, environment=self._environment, errors=errors)

    def publish(self, dist, **options):
        status = self._ask(wait=self.begin(dist, **options))
        assert status == 0, self._errors.read_text()

    def kill(self, process):
        """SIGKILL; False where it had ended by itself."""
        os.kill(process, signal.SIGKILL)
        return self._ask(wait=process) == signal.SIGKILL

    def close(self):
        self._process.communicate(timeout=60)


@dataclass
class Reader:
    """Downloads what was published before, all the time: by its address, whole, and compared."""

    hub: object
    promised: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    replaced: set[tuple[str, str]] = field(default_factory=set)
    reads: int = 0
    absent: int = 0  # a name that is being replaced, during the one request
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self):
        with requests.Session() as session:
            session.trust_env = False
            while not self.stop.is_set():
                for (tag, name), contents in list(self.promised.items()):
                    answer = session.get(f"{self.hub.url}/download/{tag}/{name}", timeout=10)
                    self.reads += 1
                    if answer.status_code == 404 and (tag, name) in self.replaced:
                        self.absent += 1
                    elif answer.status_code != 200:
                        self.wrong.append(f"{tag}/{name}: {answer.status_code}")
                    elif answer.content not in contents:
                        self.wrong.append(f"{tag}/{name}: {len(answer.content)} bytes of something else")
                    time.sleep(0.01)


@contextlib.contextmanager
def reading(hub):
    reader = Reader(hub)
    thread = threading.Thread(target=reader.run)
    thread.start()
    try:
        yield reader
    finally:
        reader.stop.set()
        thread.join()
    assert reader.wrong == []


def test_a_publisher_that_is_killed_and_run_again_ends_complete(fake, described, make_dist, files, tmp_path):
    rng = random.Random(20261122)
    labels = {"net/net.labels.txt": rng.randbytes(2_000)}  # the same in both
    dists = [
        make_dist({"net/net.mlmodel": rng.randbytes(300_000), "net/net.zip": rng.randbytes(150_000), **labels}, folder)
        for folder in ("one", "two")
    ]
    contents = [files(dist) for dist in dists]
    described.complaints.clear()
    hub = fake.FakeGitHub(described=described, rng=rng, fault_rate=FAULT_RATE)
    hub.retry_after_s = 0
    kills, died, took, began = 0, collections.Counter(), 0.5, time.monotonic()
    publishers = Publishers(hub, fake.TOKEN, tmp_path / "errors.txt")
    try:
        with reading(hub) as reader:
            for round_ in range(10 * KILLS):
                if kills >= KILLS:
                    break
                moment, tag = MOMENTS[round_ % len(MOMENTS)], f"v{round_}"
                which = round_ // len(MOMENTS) % 2
                reader.promised = {}
                with hub.lock:  # lists stay short
                    for old in sorted(hub.releases)[:-3]:
                        del hub.releases[old]
                    hub.assets = {i: a for i, a in hub.assets.items() if a["release"] in hub.releases}
                if moment != "new release":
                    begin = 1 - which if moment in ("draft", "replace") else which
                    release_id = hub.add_release(tag, draft=moment == "draft", body="By hand.")
                    for name, content in contents[begin].items():
                        hub.add_asset(release_id, name, content, label=name)
                if moment in ("replace", "same files"):
                    reader.replaced = {(tag, name) for name in contents[0] if contents[0][name] != contents[1][name]}
                    if moment == "same files":
                        reader.replaced = set()
                    reader.promised = {(tag, name): {c[name] for c in contents} for name in contents[0]}
                first = publishers.begin(dists[which], tag=tag)
                time.sleep(rng.uniform(0, took))
                if publishers.kill(first):
                    kills += 1
                    died[moment] += 1
                    print(f"{kills} killed, while publishing: {moment}")
                started = time.monotonic()
                publishers.publish(dists[which], tag=tag)
                took = 0.8 * took + 0.2 * (time.monotonic() - started)
                release = hub.releases[release_of(hub, tag)]
                assert hub.files(release["id"]) == contents[which]
                assert not release["draft"]
                assert "coreml-release:draft" not in release["body"]
        assert kills == KILLS
        assert hub.problems == []
        assert described.complaints == []
    finally:
        publishers.close()
        hub.close()
    if KILLS >= 200:
        measured = figures(hub, reader, kills, died, time.monotonic() - began)
        print(f"\n{measured}")
        marks.write(FIGURES, "github", measured)


def release_of(hub, tag):
    """The one release of a tag: a second one, draft or not, is a failure."""
    (found,) = [release_id for release_id, release in hub.releases.items() if release["tag_name"] == tag]
    return found


def figures(hub, reader, kills, died, seconds):
    faults = collections.Counter(seen.fault for seen in hub.seen if seen.fault)
    gaps = sorted(1000 * (back - went) for _, went, back in hub.gaps)
    rows = [
        ("publishers killed (SIGKILL) and run again", f"{kills}"),
        *((f"… while publishing: {moment}", f"{count}") for moment, count in sorted(died.items())),
        ("requests to the API", f"{len(hub.seen)}"),
        ("… with a fault", f"{sum(faults.values())} ({sum(faults.values()) / len(hub.seen):.0%})"),
        ("releases that ended incomplete, wrong or twice", "0"),  # one would have failed an assertion above
        ("downloads by the concurrent reader", f"{reader.reads}"),
        ("… that answered 404 or half a file, outside a replacement", f"{len(reader.wrong)}"),
        ("… that answered 404 within a replacement", f"{reader.absent}"),
        ("files replaced on a published release", f"{len(gaps)}"),
        ("… name absent, median", f"{statistics.median(gaps):.1f} ms"),
        ("… name absent, 9 of 10 within", f"{gaps[int(0.9 * len(gaps))]:.1f} ms"),
        ("… name absent, longest (killed in between, until the next run)", f"{gaps[-1]:.0f} ms"),
        ("duration", f"{seconds:.0f} s"),
    ]
    return "\n".join(["| GitHub | |", "| :--- | ---: |", *(f"| {words} | {value} |" for words, value in rows)])
