import os
import signal
import sys
import time
from pathlib import Path

import pytest

from converter.errors import EvaluationError, ManifestError
from converter.validate import xcrun


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\nimport os, subprocess, sys, time\n{text}\n")
    path.chmod(0o700)
    return path


def shell(path: Path, text: str) -> Path:
    """It starts at once, however busy the machine is."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def test_what_a_program_prints_comes_back(tmp_path):
    said = program(tmp_path / "say", "print(sys.argv[1:]); print('not this', file=sys.stderr)")
    assert xcrun.run([said, "a b", Path("c")], timeout_s=60) == "['a b', 'c']\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sys.exit('coremlc: Error: why')", "say ended with exit code 1\n    coremlc: Error: why"),
        ("print('on the other stream'); sys.exit(3)", "say ended with exit code 3\n    on the other stream"),
        (
            "os.write(2, b'\\xff\\x1b[31mred\\x1b[0m'); os.abort()",
            "say was ended by SIGABRT\n    \N{REPLACEMENT CHARACTER}red",
        ),
        ("sys.exit(9)", "say ended with exit code 9"),
    ],
)
def test_a_failure_has_the_programs_own_words(text, said, tmp_path):
    with pytest.raises(EvaluationError) as caught:
        xcrun.run([program(tmp_path / "say", text)], timeout_s=60)
    assert caught.value.problem == said


def test_a_tool_of_xcodes_is_named_with_its_command(tmp_path, monkeypatch):
    program(tmp_path / "xcrun", "sys.exit('no')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EvaluationError, match=r"^xcrun coremlcompiler compile ended with exit code 1\n    no$"):
        xcrun.run(["xcrun", "coremlcompiler", "compile", tmp_path / "x.mlmodel", tmp_path], timeout_s=60)


def test_a_program_that_hangs_is_killed_with_all_that_it_started(tmp_path):
    hanging, told = shell(tmp_path / "hang", 'sleep 3600 & echo $! > "$1"; wait'), tmp_path / "pid"
    with pytest.raises(EvaluationError, match=r"^hang: no answer within 2 s"):
        xcrun.run([hanging, told], timeout_s=2)
    assert gone(int(told.read_text()))


def test_a_program_is_killed_when_this_process_is_asked_to_end(tmp_path):
    class StoppedError(BaseException):
        pass

    def stop(*_):
        raise StoppedError

    earlier, told = signal.signal(signal.SIGALRM, stop), tmp_path / "pid"
    try:
        signal.setitimer(signal.ITIMER_REAL, 2)
        with pytest.raises(StoppedError):
            xcrun.run([shell(tmp_path / "wait", 'echo $$ > "$1"; exec sleep 3600'), told], timeout_s=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert gone(int(told.read_text()))


def gone(pid: int) -> bool:
    """A zombie that nobody waits for is gone as well."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EvaluationError, match="nowhere cannot be started: No such file"):
        xcrun.run([tmp_path / "nowhere"], timeout_s=60)


def test_without_xcode_the_way_out_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ManifestError, match=r"there is no xcrun here\n  fix: run the same command on a Mac"):
        xcrun.require()


def test_all_tools_that_xcrun_does_not_find_are_named_at_once(tmp_path, monkeypatch):
    """As it is where only the command line tools are installed."""
    program(tmp_path / "xcrun", "sys.exit(f'xcrun: error: unable to find utility \"{sys.argv[2]}\"')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ManifestError) as caught:
        xcrun.require()
    assert 'unable to find utility "coremlcompiler"' in caught.value.problem
    assert 'unable to find utility "swiftc"' in caught.value.problem
    assert "xcode-select --switch" in caught.value.fix


def test_with_xcode_there_is_nothing_to_say(tmp_path, monkeypatch):
    program(tmp_path / "xcrun", "print('/Applications/Xcode.app/' + sys.argv[2])")
    monkeypatch.setenv("PATH", str(tmp_path))
    xcrun.require()
