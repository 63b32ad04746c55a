"""Real signals to a real run of small networks."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from converter.cli import main
from converter.console import Console
from converter.package.checksums import sha256
from converter.package.dist import Dist
from converter.signals import StoppedError, stoppable

ROOT = Path(__file__).parent.parent

NETS = """
import os
import subprocess
import sys
import time

import torch


def net():
    return torch.nn.Linear(4, 2)


def refuses():
    raise RuntimeError("no weights today")


def sleeps():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    with open("started.half", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename("started.half", "started")
    time.sleep(300)
"""
MANIFEST = """
defaults: {inputs: [{name: x, tensor: {shape: [1, 4]}}], formats: [mlmodel], route: onnx}
models:
  - {name: done, source: {factory: "nets.py:net"}}
  - {name: stopped, source: {factory: "nets.py:sleeps"}}
"""


@pytest.fixture
def running(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "models.yml").write_text(MANIFEST)
    with subprocess.Popen(
        [sys.executable, ROOT / "entrypoint.py", "run", "models.yml"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process


def working(folder: Path) -> list[int]:
    """The process ids of the worker and of its child, once it has begun with the second model."""
    deadline = time.monotonic() + 120
    while not (folder / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(pid) for pid in (folder / "started").read_text().split()]


def is_alive(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(found.strip()) and not found.startswith("Z")


def test_a_stopped_run_keeps_what_is_finished_and_leaves_nothing_behind(running, tmp_path):
    workers = working(tmp_path)
    os.kill(workers[0], signal.SIGTERM)  # all processes of a service are asked to end, in no order
    time.sleep(0.2)
    running.terminate()
    running.terminate()  # a second one changes nothing
    _, said = running.communicate(timeout=10)  # the seconds that `docker stop` gives
    assert (running.returncode, said) == (143, "stopped by SIGTERM; finished models are kept\n")
    assert not [pid for pid in workers if is_alive(pid)]
    dist = tmp_path / "dist"
    left = [".lock", "SHA256SUMS", "build.json", "done", "report.html", "report.md"]
    assert sorted(path.name for path in dist.iterdir()) == left
    (model,) = json.loads((dist / "build.json").read_text())["models"]
    assert model["name"] == "done"
    for listed in model["artifacts"]:
        assert sha256(dist / listed["path"]) == listed["sha256"]


def test_workers_end_before_their_folders_go(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "models.yml").write_text(MANIFEST.replace("nets.py:net", "nets.py:refuses"))
    monkeypatch.chdir(tmp_path)
    leave, alive = Dist.__exit__, []

    def stop(*_):
        working(tmp_path)
        os.kill(os.getpid(), signal.SIGTERM)

    def leaving(dist, *error):
        alive.extend(pid for pid in working(tmp_path) if is_alive(pid))
        leave(dist, *error)

    monkeypatch.setattr(Console, "finished", stop)
    monkeypatch.setattr(Dist, "__exit__", leaving)
    assert main(["convert", "models.yml", "--jobs", "2"]) == 143
    assert alive == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_command_where_it_stands_with_one_line(number, code, monkeypatch, capsys):
    before = signal.getsignal(number)

    def waits(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr("converter.manifest.read_manifest", waits)
    assert main(["check", "models.yml"]) == code
    assert capsys.readouterr().err == f"stopped by {number.name}; finished models are kept\n"
    assert signal.getsignal(number) is before


def test_what_is_being_stopped_is_not_stopped_again():
    def put_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append("in order")

    @stoppable()
    def run():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            put_in_order()

    ended = []
    with pytest.raises(StoppedError):
        run()
    assert ended == ["in order"]


def test_what_the_parent_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_runs_in_another_than_the_main_thread_too():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]
