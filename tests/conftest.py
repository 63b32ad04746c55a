"""The tests see no workflow around them, also where one runs them: they would write into its outputs and summary."""

import gc
import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

for name in [name for name in os.environ if name.startswith(("GITHUB_", "INPUT_", "ACTIONS_"))]:
    del os.environ[name]

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache for each test: nothing that another test or a person converted is reused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / f"cache-{next(_numbers)}"))


@pytest.fixture(scope="session")
def s3_server():
    """The address of moto's S3 server, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=1)
                break
            except OSError:
                assert process.poll() is None, "moto's server does not start"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def pytest_collection_finish(session):
    """coremltools collects garbage in each conversion, which takes longer than the test among all that was imported."""
    collect = gc.collect
    collect()
    gc.freeze()
    gc.collect = lambda generation=2: collect(0)
