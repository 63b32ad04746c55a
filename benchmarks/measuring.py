"""What the benchmarks measure with: processes of their own, clocks, peaks of memory, tables in a page."""

import json
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Threads that spin while they wait take the processor from one another where others use the machine too.
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}


class JobError(Exception):
    """A job's process failed; holds the end of what it wrote."""


def job(script: str, folder: Path, *words: str, python: str = sys.executable) -> Any:
    """Do a job of a benchmark in a process of its own, whose peak of memory is then its own. Raises JobError."""
    command = [python, script, "--folder", str(folder), "--job", *words]
    environment = {**os.environ, **THREADS, "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobError(done.stderr.strip()[-2000:] or f"ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def took(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def count_peak_from_here() -> int:
    """Begin to count the peak of resident memory afresh; gives what is resident now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return status_bytes("VmRSS")


def status_bytes(key: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def size_bytes(path: Path) -> int:
    return sum(part.stat().st_size for part in path.rglob("*")) if path.is_dir() else path.stat().st_size


def say(row: str) -> str:
    print(row, file=sys.stderr, flush=True)
    return row


def table(head: str, rows: Sequence[str]) -> str:
    return "\n".join([head, "| --- " * (head.count("|") - 1) + "|", *rows])


def machine(*packages: str) -> str:
    """The machine and the versions, in a sentence."""
    from importlib.metadata import version

    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    settings = ", ".join(f"{key}={value}" for key, value in THREADS.items())
    return textwrap.fill(
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}; "
        f"Python {platform.python_version()}, {versions}; {settings} for all sides.",
        120,
    )


def write(page: Path, text: str) -> None:
    """Put the figures into a page, between its marks."""
    from tests import marks

    marks.write(page, "speed", text)
