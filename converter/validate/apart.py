"""Ask an engine in a process of its own: a hang, an abort or a kill is an answer of one model, and the others go on."""

import tempfile
from pathlib import Path
from typing import Any

from converter import workers
from converter.errors import EvaluationError, WorkerError
from converter.validate.check import Answers, answers
from converter.validate.engines import Engine
from converter.validate.references import read_references


def answers_apart(saved: Path, stored: Path, engine: Engine, *, timeout_s: float) -> Answers:
    """Ask the saved .mlmodel file or .mlpackage folder all that the references file `stored` holds.

    `timeout_s` is for all of it: loading and every prediction. Raises EvaluationError or ValidationError with what the
    engine said, on standard error too.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        task = {saved.name: {"saved": saved, "stored": stored, "engine": engine}}
        *_, done = workers.run(_ask, task, workers=1, logs=logs, timeout_s=timeout_s)
        assert isinstance(done, workers.Done)
        if isinstance(done.error, WorkerError):
            raise EvaluationError(
                done.error.problem,
                where=("validate", f"{saved.name} on {engine.name}"),
                fix="open the file in Xcode on a Mac, or give it more time with --timeout if it only is slow",
            )
        if done.error:
            printed = workers.last_lines(logs / f"{saved.name}.log")
            done.error.problem += f"\n  it printed:{printed}" if printed else ""
            raise done.error
        given: Answers = done.result
        return given


def _ask(*, saved: Path, stored: Path, engine: Engine, tell: Any) -> Answers:
    references = read_references(stored)
    return answers(saved, references.reference, references.interface, engine)
