"""Killed before each of its requests in turn, a publisher leaves nothing half done, and the next run completes it.

What the server holds after an answer is what it holds before the next request, so this is every moment between two
requests; the moments within one belong to script/test-s3.
"""

import os
import signal
import threading

import pytest

from converter.publish import finished


def dying(shelf, dist, tag, at):
    """Publish, and die before the request number `at`."""
    publisher, sent = shelf.publisher(tag=tag), []

    def die(**_):
        sent.append(1)
        if len(sent) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    publisher._bucket._client.meta.events.register("before-send.s3", die)
    publisher.publish(finished(dist), lambda *_: None)


def test_a_publisher_may_die_before_any_of_its_requests(shelf, make_dist, in_child):
    dist = make_dist({"net/net.mlmodel": b"weights"})
    shelf.publish(dist, tag="v0")
    seen, faults, stop = set(), [], threading.Event()

    def poll():
        while not stop.wait(0.5):
            try:
                seen.add(shelf.read_latest())
            except Exception as error:
                faults.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        at = 0
        while True:
            at += 1
            code = in_child(lambda tag=f"v{at}", at=at: dying(shelf, dist, tag, at))
            assert shelf.read_latest() in (f"v{at - 1}", f"v{at}")
            shelf.publish(dist, tag=f"v{at}")
            assert shelf.read_latest() == f"v{at}"
            if code == 0:
                break
            assert code == -signal.SIGKILL
    finally:
        stop.set()
        reader.join()
    assert at > 15
    assert faults == []
    assert len(seen) > 3
    assert [version["version"] for version in shelf.json("net/index.json")["versions"]] == [
        f"v{n}" for n in range(at + 1)
    ]


@pytest.mark.parametrize("at_bytes", [1 << 20, 11 << 20])
def test_a_publisher_may_die_within_a_file_of_many_parts(shelf, make_dist, in_child, small_parts, at_bytes):
    dist = make_dist({"net/net.mlmodel": bytes(11 << 20)})

    def die(name, sent, size):
        if name == "net.mlmodel" and sent >= at_bytes:
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: shelf.publish(dist, die)) == -signal.SIGKILL
    assert shelf.listed() == []
    shelf.publish(dist)
    assert shelf.read_latest() == "v1"
    assert shelf.unfinished() == []
