"""Ask an engine in a process of its own: a hang, an abort or a kill is an answer of one model, and the others go on."""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converter import workers
from converter.errors import EvaluationError, MemoryLimitError, TimeLimitError, WorkerError
from converter.model import Placement, Times
from converter.validate.check import Answers, answers
from converter.validate.engines import Engine, Predictor, fed
from converter.validate.references import read_references

_PREDICTIONS = 10
_PREDICTING_S = 5.0  # after which no further one is begun

_FIXES = {
    TimeLimitError: "open the file in Xcode on a Mac, or give it more time with --timeout if it only is slow",
    MemoryLimitError: "use a Mac with more memory, or let the file have more of it with --memory-limit",
    WorkerError: "open the file in Xcode on a Mac: it ends there, too, if the file is at fault",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may take on one compute unit, its loading and all predictions together.

    `plan_s` is for the compute plan, which is information alone; 0 asks for none.
    """

    timeout_s: float
    memory_bytes: int | None = None  # resident, of its process and all that this starts
    plan_s: float = 60.0


def limits_for(*, timeout_s: float, memory_limit_gb: float | None) -> Limits:
    """With four fifths of this machine's memory where nothing else is said."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory_bytes = machine_bytes * 4 // 5 if memory_limit_gb is None else int(memory_limit_gb * 1e9)
    return Limits(timeout_s=timeout_s, memory_bytes=memory_bytes)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an engine told of one file: its answers, and how it got there, as far as that is known."""

    answers: Answers
    times: Times | None = None
    placements: tuple[Placement, ...] = ()
    note: str = ""  # why times or placements are not known
    plan_hung: bool = False


def ask_apart(saved: Path, stored: Path, engine: Engine, limits: Limits) -> Told:
    """Ask the saved .mlmodel file or .mlpackage folder all that the references file `stored` holds.

    Raises EvaluationError or ValidationError with what the engine said, on standard error too; the cause of one whose
    process was ended is the WorkerError. Once it has answered, nothing is an error: what is not known then is a note.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        asking = workers.run(
            _ask,
            {saved.name: {"saved": saved, "stored": stored, "engine": engine, "plan_s": limits.plan_s}},
            workers=1,
            logs=logs,
            timeout_s=limits.timeout_s,
            memory_limit_bytes=limits.memory_bytes,
        )
        *events, done = asking
        assert isinstance(done, workers.Done)
        said = [event.said for event in events if isinstance(event, workers.Event)]
        if said:
            return _told(said, done)
        assert done.error
        if isinstance(done.error, WorkerError):
            raise EvaluationError(
                done.error.problem,
                where=("validate", f"{saved.name} on {engine.name}"),
                fix=_FIXES[type(done.error)],
            ) from done.error
        printed = workers.last_lines(logs / f"{saved.name}.log")
        done.error.problem += f"\n  it printed:{printed}" if printed else ""
        raise done.error


def _told(said: Sequence[Any], done: workers.Done) -> Told:
    given, *times = said
    told = Told(answers=given, times=times[0] if times else None, placements=done.result or ())
    if done.error is None:
        return told
    unknown = "where its operations would run is" if times else "its times are"
    return replace(
        told,
        note=f"{unknown} not known: {done.error.problem.splitlines()[0]}",
        plan_hung=bool(times) and isinstance(done.error, TimeLimitError),
    )


def _ask(*, saved: Path, stored: Path, engine: Engine, plan_s: float, tell: Any) -> tuple[Placement, ...]:
    """In the worker: tells Answers and Times when it has them, so that no later end takes them away."""
    references = read_references(stored)
    loaded: list[Predictor] = []

    def load(path: Path) -> Predictor:
        loaded.append(engine.load(path))
        return loaded[0]

    tell(answers(saved, references.reference, references.interface, replace(engine, load=load)))
    (model,) = loaded
    tell(_times(model, fed(references.interface, references.reference.samples[0].inputs)))
    if not engine.placements or not plan_s:
        return ()
    tell(workers.Within(plan_s))
    return engine.placements(model)


def _times(model: Any, inputs: dict[str, Any]) -> Times:
    model.predict(inputs)  # not counted
    taken: list[float] = []
    while len(taken) < _PREDICTIONS and sum(taken) < _PREDICTING_S:
        started = time.perf_counter()
        model.predict(inputs)
        taken.append(time.perf_counter() - started)
    return Times(load_s=model.load_s, predict_s=statistics.median(taken), predictions=len(taken))
