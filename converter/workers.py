"""Jobs in worker processes: one that crashes or runs out of memory is a result, and the others finish."""

import contextlib
import multiprocessing
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from converter.errors import ConverterError, MemoryLimitError, TimeLimitError, WorkerError

_LOG_LINES = 12  # of a worker's own output, shown when it dies
_LINE_LENGTH = 300
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_STACK = re.compile(
    r"\s*(\d+\s+\S.*\s0x[0-9a-f]{8,}\s.*|[()]|\*\*\* First throw call stack:)"
)  # of an Objective-C exception
_LAST_MOMENTS_S = 10  # for a process whose pipe is closed to be gone
_MEMORY_LOOKS_APART_S = 0.5
_SIGNALS_APART_S = 1  # where every process of a service or job is asked to end, one after the other
_CONTEXT = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork


@dataclass(frozen=True)
class Event:
    """What a job says while it runs."""

    name: str
    said: Any


@dataclass(frozen=True)
class Within:
    """What a job tells to be ended sooner than its time limit: the rest of it is worth `timeout_s` and no more."""

    timeout_s: float


@dataclass(frozen=True)
class Done:
    """A job's end: its result, or the error that ended it."""

    name: str
    result: Any = None
    error: ConverterError | None = None


Job = Callable[..., Any]  # a module-level function; its keyword `tell` sends an Event's content


def run(
    job: Job,
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    workers: int,
    logs: Path,
    verbose: bool = False,
    changing: Collection[str] = (),
    timeout_s: float | None = None,
    memory_limit_bytes: int | None = None,
) -> Generator[Event | Done]:
    """Call `job(**arguments, tell=...)` for each named task, `workers` at a time; yields what happens as it happens.

    The tasks named in `changing` run code that may leave its process changed (a working folder, torch's defaults, a
    function exchanged), so that process serves no other task after them. What a worker prints goes to `logs/NAME.log`
    (or through, if verbose). Closing the iterator, as Ctrl-C and SIGTERM do, kills the workers and what they started.

    A task that takes longer than `timeout_s` ends with a TimeLimitError; one whose process, with all that it started,
    has more than `memory_limit_bytes` of resident memory with a MemoryLimitError. All of these processes are killed.
    """
    if memory_limit_bytes is not None and not shutil.which("ps"):
        raise WorkerError("a memory limit cannot be held here: there is no command ps", fix="install it (procps)")
    waiting: queue.SimpleQueue[tuple[str, Mapping[str, Any]]] = queue.SimpleQueue()
    for task in tasks.items():
        waiting.put(task)
    happened: queue.SimpleQueue[Event | Done] = queue.SimpleQueue()
    slots = [
        _Slot(job, waiting, happened, logs, verbose, changing, timeout_s, memory_limit_bytes)
        for _ in range(min(workers, len(tasks)))
    ]
    try:
        for slot in slots:
            slot.thread.start()
        for _ in tasks:
            while isinstance(event := happened.get(), Event):
                yield event
            yield event
    finally:
        for slot in slots:
            slot.stop()
        for slot in slots:
            slot.thread.join(_LAST_MOMENTS_S)


class _Clock:
    """The time that one task has."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """None where there is no limit; raises TimeLimitError where the time is over."""
        left = None if self._end is None else self._end - time.monotonic()
        if left is not None and left <= 0:
            raise TimeLimitError(f"no answer within {self._timeout_s:g} s")
        return left

    def shorten(self, within: Within) -> None:
        end = time.monotonic() + within.timeout_s
        if self._end is None or end < self._end:
            self._timeout_s, self._end = within.timeout_s, end


class _Slot:
    """A thread that keeps one worker process busy, and starts another one when it dies."""

    def __init__(
        self,
        job: Job,
        waiting: Any,
        happened: "queue.SimpleQueue[Event | Done]",
        logs: Path,
        verbose: bool,
        changing: Collection[str],
        timeout_s: float | None,
        memory_limit_bytes: int | None,
    ) -> None:
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self._job = job
        self._waiting = waiting
        self._happened = happened
        self._logs = logs
        self._verbose = verbose
        self._changing = changing
        self._timeout_s = timeout_s
        self._memory_limit_bytes = memory_limit_bytes
        self._process: Any = None
        self._pipe: Any = None
        self._stopped = threading.Event()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                name, arguments = self._waiting.get_nowait()
            except queue.Empty:
                break
            try:
                done = self._done(name, arguments)
            except Exception as error:  # noqa: BLE001  the border: a task without an end would keep the run waiting
                done = Done(name, error=WorkerError(f"the worker cannot be used: {type(error).__name__}: {error}"))
                self._kill()
                self._process = None
            self._happened.put(done)
            if name in self._changing:
                self._end()
        self._end()

    def _done(self, name: str, arguments: Mapping[str, Any]) -> Done:
        log = self._logs / f"{name}.log"
        clock = _Clock(self._timeout_s)
        if self._process is None:
            self._begin()
        try:
            self._pipe.send((name, log, dict(arguments)))
            while isinstance(said := self._receive(clock), Event):
                if isinstance(said.said, Within):
                    clock.shorten(said.said)
                else:
                    self._happened.put(said)
        except (TimeLimitError, MemoryLimitError) as error:
            self._kill()
            self._process = None
            error.problem += last_lines(log)
            return Done(name, error=error)
        except (EOFError, OSError):  # the pipe broke: the process is gone
            return Done(name, error=self._death(log))
        assert isinstance(said, Done)
        return said

    def _receive(self, clock: _Clock) -> Any:
        while True:
            waits_s = [clock.left_s(), _MEMORY_LOOKS_APART_S if self._memory_limit_bytes else None]
            if self._pipe.poll(min((wait for wait in waits_s if wait is not None), default=None)):
                return self._pipe.recv()
            self._hold_memory()

    def _hold_memory(self) -> None:
        limit = self._memory_limit_bytes
        if limit and (taken := resident_bytes(self._process.pid)) > limit:
            raise MemoryLimitError(f"it took {taken / 1e9:.3g} GB of memory, and may take {limit / 1e9:.3g} GB")

    def _begin(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_work, args=(theirs, self._job, self._verbose), daemon=True)
        process.start()
        self._process = process
        theirs.close()
        if self._stopped.is_set():  # while it was starting
            self._kill()

    def _death(self, log: Path) -> WorkerError:
        self._process.join(_LAST_MOMENTS_S)
        self._kill()
        code = self._process.exitcode
        if code == -signal.SIGTERM:
            self._stopped.wait(_SIGNALS_APART_S)  # the run's own signal is on its way: then no model has failed
        self._process = None
        if code is not None and code < 0:
            cause = f"was ended by {signal.Signals(-code).name}"
        else:
            cause = f"ended itself with exit code {code}"
        memory = code == -signal.SIGKILL
        last = last_lines(log)
        return WorkerError(
            f"the worker process {cause}" + (", as happens when memory runs out" if memory else "") + last,
            fix="run it with --jobs 1 or on a machine with more memory"
            if memory
            else "run it alone with --only and --verbose to see all that it prints",
        )

    def stop(self) -> None:
        """End the worker and all that it started at once, whatever they do."""
        self._stopped.set()
        self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies alone
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()  # before it leads its group
            process.join()

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._process.join(10)
            self._pipe.close()
            self._kill()
            self._process = None


def resident_bytes(group: int) -> int:
    """The resident memory of all processes of a group: macOS holds nobody to RLIMIT_AS, and ps tells on Linux, too.

    0 where ps cannot be started, as may be while memory is short: it is asked again.
    """
    command = ["ps", "-A", "-o", "pgid=", "-o", "rss="]  # BSD's takes all that follows a `=` for a title
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    rows = (line.split() for line in listed.splitlines())
    return 1024 * sum(int(kibibytes) for leader, kibibytes in rows if int(leader) == group)


def last_lines(log: Path) -> str:
    """The end of what a worker printed, without colours and stacks, indented; empty where it printed nothing."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line for line in _ESCAPES.sub("", text).splitlines() if line.strip() and not _STACK.fullmatch(line)]
    return "".join(f"\n    {line[:_LINE_LENGTH]}" for line in lines[-_LOG_LINES:])


def _work(pipe: Connection, job: Job, verbose: bool) -> None:
    """The worker process: one task after another until the pipe closes."""
    os.setpgid(0, 0)  # so that what a task started can be killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C means the run; its process decides
    while (task := _next(pipe)) is not None:
        name, log, arguments = task
        with contextlib.nullcontext() if verbose else _printing_to(log):
            try:
                done = Done(name, result=job(**arguments, tell=lambda said, name=name: pipe.send(Event(name, said))))
            except ConverterError as error:
                done = Done(name, error=error)
            except MemoryError:
                done = Done(name, error=WorkerError("memory ran out", fix="run it with --jobs 1 or a bigger machine"))
            except Exception as error:  # noqa: BLE001  the border: one failing task never stops the others
                told = "".join(traceback.format_exception(error)[-4:]).strip()
                done = Done(name, error=ConverterError(f"internal error\n{told}", fix="please report this as a bug"))
        pipe.send(done)


def _next(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        return None


@contextlib.contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    """Standard output and error of this process, native code's too, into a file."""
    saved = os.dup(1), os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, file):
            os.close(descriptor)
