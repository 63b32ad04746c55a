"""The publisher is killed at random moments, with faults at a tenth of all requests, and run again.

The quick form runs always. `script/test-kill` runs the full one and writes its figures into docs/reliability.md.
"""

import collections
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

KILLS = int(os.environ.get("KILLS", "10"))
FIGURES = Path(__file__).parents[3] / "docs/reliability.md"
FAULT_RATE = 0.1
MOMENTS = ["new release", "draft", "replace", "same files"]


class Worker:
    """A publisher's process, started ahead, because most of its time goes into starting."""

    def __init__(self):
        script = Path(__file__).with_name("worker.py")
        self.process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def begin(self, hub, token, dist, **options):
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()
        here = {"GITHUB_REPOSITORY": "owner/repo", "GITHUB_TOKEN": token, "GITHUB_API_URL": hub.api_url}
        task = {"dist": str(dist), "options": options, "environment": here}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()

    def end(self):
        """Wait for the end; what it wrote about an error."""
        _, errors = self.process.communicate(timeout=120)
        return errors if self.process.returncode else ""

    def kill(self):
        """SIGKILL; False where it was done already."""
        is_running = self.process.poll() is None
        self.process.kill()
        self.process.communicate()
        return is_running


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
                    time.sleep(0.002)


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


def test_a_publisher_that_is_killed_and_run_again_ends_complete(fake, described, make_dist, files):
    rng = random.Random(20261122)
    labels = {"net/net.labels.txt": rng.randbytes(2_000)}  # the same in both
    dists = [
        make_dist({"net/net.mlmodel": rng.randbytes(300_000), "net/net.zip": rng.randbytes(150_000), **labels}, folder)
        for folder in ("one", "two")
    ]
    contents = [files(dist) for dist in dists]
    described.complaints.clear()
    hub = fake.FakeGitHub(described=described, rng=rng)
    hub.retry_after_s = 0
    kills, died, took, began = 0, collections.Counter(), 0.5, time.monotonic()
    workers = collections.deque([Worker(), Worker()])

    def publishing(which, **options):
        workers.append(Worker())
        worker = workers.popleft()
        worker.begin(hub, fake.TOKEN, dists[which], **options)
        return worker

    try:
        with reading(hub) as reader:
            for round_ in range(10 * KILLS):
                if kills >= KILLS:
                    break
                moment, tag = MOMENTS[round_ % len(MOMENTS)], f"v{round_}"
                which = round_ // len(MOMENTS) % 2
                reader.promised = {}
                hub.fault_rate, hub.before[:] = 0.0, []
                if moment != "new release":
                    begin = 1 - which if moment in ("draft", "replace") else which
                    assert publishing(begin, tag=tag, draft=moment == "draft").end() == ""
                    assert hub.files(release_of(hub, tag)) == contents[begin]
                if moment in ("replace", "same files"):
                    reader.replaced = {(tag, name) for name in contents[0] if contents[0][name] != contents[1][name]}
                    if moment == "same files":
                        reader.replaced = set()
                    reader.promised = {(tag, name): {c[name] for c in contents} for name in contents[0]}
                hub.fault_rate = FAULT_RATE
                first = publishing(which, tag=tag)
                time.sleep(rng.uniform(0, took))
                if first.kill():
                    kills += 1
                    died[moment] += 1
                started = time.monotonic()
                assert publishing(which, tag=tag).end() == ""
                took = 0.8 * took + 0.2 * (time.monotonic() - started)
                release = hub.releases[release_of(hub, tag)]
                assert hub.files(release["id"]) == contents[which]
                assert not release["draft"]
                assert "coreml-release:draft" not in release["body"]
        assert kills == KILLS
        assert hub.problems == []
        assert described.complaints == []
    finally:
        hub.close()
        for worker in workers:
            worker.kill()
    if KILLS >= 200:
        write(figures(hub, reader, kills, died, time.monotonic() - began))


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
        ("releases that ended incomplete, wrong or twice", "0"),
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


def write(table):
    begin, end = "<!-- figures: github -->", "<!-- end: github -->"
    text = FIGURES.read_text()
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    assert re.search(pattern, text, re.DOTALL)
    FIGURES.write_text(re.sub(pattern, lambda _: f"{begin}\n{table}\n{end}", text, count=1, flags=re.DOTALL))
