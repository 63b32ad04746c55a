import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from converter import workers
from converter.errors import MemoryLimitError, SourceError, TimeLimitError, WorkerError

EATING = """
import time
eaten = []
while len(eaten) < 64:  # 2 GB, were it not ended before
    eaten.append(b"x" * (32 << 20))
    time.sleep(0.05)
"""


def eat():
    exec(EATING)


def job(act, tell):
    tell(f"begin {act}")
    match act:
        case "return":
            return os.getpid()
        case "refuse":
            raise SourceError("no such file", where=("models.yml:3:5 net",), fix="write one")
        case "crash":
            print("last words", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "out of memory":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.stderr.write("giving up\n")
            sys.stderr.flush()
            os._exit(3)
        case "bug":
            raise KeyError("oh")
        case "hang":
            time.sleep(60)
        case "hang with a child":
            child = subprocess.Popen(["sleep", "60"])
            tell(child.pid)
            time.sleep(60)
        case "worth little":
            tell(workers.Within(0.1))
            time.sleep(60)
        case "eat":
            eat()
        case "feed a child":
            subprocess.run([sys.executable, "-c", EATING])
        case "uncaught":
            sys.stderr.write("\x1b[31m*** Terminating app, reason: 'none'\x1b[0m\n*** First throw call stack:\n(\n")
            sys.stderr.write("\t0   CoreFoundation      0x0000000190d0f2ec __exceptionPreprocess + 176\n" * 20)
            sys.stderr.write(")\nlibc++abi: terminating\n" + "x" * 5000 + "\n")
            sys.stderr.flush()
            os.abort()
        case "riddle":
            return Riddle()


class Riddle:
    """Goes into a pipe and cannot be read from it."""

    def __reduce__(self):
        return int, ("what has four legs in the morning?",)


def results(acts, tmp_path, count=1):
    tasks = {f"{i}-{act}".replace(" ", "-"): {"act": act} for i, act in enumerate(acts)}
    events = list(workers.run(job, tasks, workers=count, logs=tmp_path))
    assert sum(isinstance(e, workers.Event) for e in events) == len(acts)
    return {e.name: e for e in events if isinstance(e, workers.Done)}


def test_each_end_is_a_result_and_the_others_finish(tmp_path):
    acts = ["return", "refuse", "crash", "return", "out of memory", "exit", "bug", "return"]
    done = list(results(acts, tmp_path).values())
    assert [d.error is None for d in done] == [act == "return" for act in acts]
    refused, crashed, killed, left, bug = (d.error for d in done if d.error)
    assert isinstance(refused, SourceError)
    assert refused.where == ("models.yml:3:5 net",)
    assert isinstance(crashed, WorkerError)
    assert "SIGSEGV" in crashed.problem
    assert "last words" in crashed.problem
    assert "memory" in killed.problem
    assert "exit code 3" in left.problem
    assert "giving up" in left.problem
    assert "KeyError: 'oh'" in bug.problem
    assert done[0].result != done[3].result, "a crash is followed by a new process"


def test_a_worker_serves_one_task_after_another(tmp_path):
    done = results(["return", "return", "return"], tmp_path)
    assert len({d.result for d in done.values()}) == 1


def test_a_worker_that_a_task_may_have_changed_serves_no_other(tmp_path):
    tasks = {name: {"act": "return"} for name in "abcd"}
    events = list(workers.run(job, tasks, workers=1, logs=tmp_path, changing={"b", "d"}))
    a, b, c, d = (event.result for event in events if isinstance(event, workers.Done))
    assert a == b
    assert c == d
    assert b != c


@pytest.mark.timeout(60)
def test_an_answer_that_cannot_be_read_is_an_end_too(tmp_path):
    riddle, after = results(["riddle", "return"], tmp_path).values()
    assert "four legs" in riddle.error.problem
    assert isinstance(after.result, int)


def test_several_workers_run_side_by_side(tmp_path):
    done = results(["return"] * 6, tmp_path, count=2)
    assert len(done) == 6


def test_closing_stops_the_workers(tmp_path):
    events = workers.run(job, {"a": {"act": "hang"}, "b": {"act": "hang"}}, workers=2, logs=tmp_path)
    next(events), next(events)
    started = time.monotonic()
    events.close()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("verbose", [True, False])
def test_what_a_worker_prints_stays_out_of_the_way_unless_asked_for(tmp_path, capfd, verbose):
    list(workers.run(job, {"a": {"act": "crash"}}, workers=1, logs=tmp_path, verbose=verbose))
    assert ("last words" in capfd.readouterr().out) is verbose


@pytest.mark.timeout(60)
def test_a_task_that_takes_too_long_ends_with_all_that_it_started(tmp_path):
    tasks = {name: {"act": act} for name, act in (("a", "hang with a child"), ("b", "return"))}
    events = list(workers.run(job, tasks, workers=1, logs=tmp_path, timeout_s=10))
    late, after = (event for event in events if isinstance(event, workers.Done))
    assert isinstance(late.error, TimeLimitError)
    assert late.error.problem.startswith("no answer within 10 s")
    assert isinstance(after.result, int), "the next task goes on"
    (child,) = (event.said for event in events if isinstance(event, workers.Event) and isinstance(event.said, int))
    with contextlib.suppress(ProcessLookupError):
        while _state(child) != "Z":  # nobody need have waited for it yet
            time.sleep(0.01)


@pytest.mark.timeout(60)
def test_a_job_can_say_that_the_rest_of_it_is_worth_little_time(tmp_path):
    events = list(workers.run(job, {"a": {"act": "worth little"}}, workers=1, logs=tmp_path, timeout_s=600))
    begun, done = events  # what it says of its time is for the worker's keeper alone
    assert begun.said == "begin worth little"
    assert isinstance(done.error, TimeLimitError)
    assert done.error.problem.startswith("no answer within 0.1 s")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("act", ["eat", "feed a child"])
def test_a_task_that_takes_too_much_memory_ends_and_the_next_one_goes_on(tmp_path, act):
    tasks = {"a": {"act": act}, "b": {"act": "return"}}
    events = workers.run(job, tasks, workers=1, logs=tmp_path, memory_limit_bytes=500_000_000)
    greedy, after = (event for event in events if isinstance(event, workers.Done))
    assert isinstance(greedy.error, MemoryLimitError)
    assert re.match(r"it took [\d.]+ GB of memory, and may take 0\.5 GB", greedy.error.problem)
    assert isinstance(after.result, int)


def test_resident_memory_is_that_of_the_whole_group():
    grows = "import time; held = b'x' * (200 << 20); print(flush=True); time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grows!r}])"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        taken = workers.resident_bytes(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
    assert 200 << 20 < taken < 300 << 20
    assert workers.resident_bytes(process.pid) == 0


def test_a_memory_limit_that_cannot_be_held_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkerError, match="no command ps"):
        list(workers.run(job, {"a": {"act": "return"}}, workers=1, logs=tmp_path, memory_limit_bytes=1))


def _state(pid):
    """The letter that ps says; raises ProcessLookupError where there is no such process."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    if not state:
        raise ProcessLookupError
    return state[0]


def test_last_words_are_shown_without_colours_and_stacks(tmp_path):
    (done,) = results(["uncaught"], tmp_path).values()
    assert "SIGABRT" in done.error.problem
    _, *lines = done.error.problem.splitlines()
    assert lines == ["    *** Terminating app, reason: 'none'", "    libc++abi: terminating", "    " + "x" * 300]
