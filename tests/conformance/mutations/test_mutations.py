"""A sample of script/test-mutations: each mutated file is refused in words or run."""

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")
COUNT = 150


def test_a_sample_of_mutated_files_is_refused_or_run():
    command = [sys.executable, str(RUN), "--count", str(COUNT), "--from", "90000", "--jobs", "1"]
    root = Path(__file__).parents[3]
    found = subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={"PYTHONPATH": str(root)}, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr[-3000:]
    assert f"{COUNT} mutated files" in found.stdout
    assert " 0 faults" in found.stdout
