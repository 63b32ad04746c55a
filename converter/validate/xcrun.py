"""Xcode's command line tools, which only macOS has: each in a process group of its own, with a time limit."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from converter.errors import EvaluationError, ManifestError
from converter.workers import last_lines

_TOOLS = ("coremlcompiler", "swiftc")
_FINDING_S = 120  # the first xcrun after a start of the machine looks everywhere


def require() -> None:
    """Raise ManifestError where the tools cannot be found. They come with Xcode, not with its command line tools."""
    if not shutil.which("xcrun"):
        raise ManifestError(
            "--artifacts needs Xcode, and there is no xcrun here",
            fix="run the same command on a Mac with Xcode, or leave out --artifacts",
        )
    problems = []
    for tool in _TOOLS:
        try:
            run(["xcrun", "--find", tool], timeout_s=_FINDING_S)
        except EvaluationError as error:
            problems.append(error.problem)
    if problems:
        raise ManifestError(
            "\n".join(["--artifacts needs Xcode, and not all of it is here", *problems]),
            fix="install Xcode, choose it with `sudo xcode-select --switch /Applications/Xcode.app`, or leave out "
            "--artifacts",
        )


def run(command: Sequence[str | Path], *, timeout_s: float) -> str:
    """What a program prints on standard output.

    Raises EvaluationError with its last words where it fails, crashes or takes too long. Where it takes too long, or
    this process is interrupted, it is killed with all that it has started.
    """
    name = " ".join(map(str, command[:3] if command[0] == "xcrun" else [Path(command[0]).name]))
    with tempfile.TemporaryDirectory() as folder:
        # Files, not pipes: a pipe would wait for whatever the program has left behind.
        printed, complained = Path(folder) / "stdout", Path(folder) / "stderr"
        try:
            code = _ended(command, printed, complained, timeout_s)
        except OSError as error:
            raise EvaluationError(f"{name} cannot be started: {error.strerror}") from error
        if code == 0:
            return printed.read_text(encoding="utf-8", errors="replace")
        words = last_lines(complained) or last_lines(printed)
        if code is None:
            raise EvaluationError(f"{name}: no answer within {timeout_s:g} s{words}")
        cause = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise EvaluationError(f"{name} {cause}{words}")


def _ended(command: Sequence[str | Path], printed: Path, complained: Path, timeout_s: float) -> int | None:
    """The exit code; None where it had to be killed."""
    with printed.open("wb") as stdout, complained.open("wb") as stderr:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies alone
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
