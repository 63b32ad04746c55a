"""What a command came to, told to the workflow: outputs, annotations and the job summary."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.errors import ConverterError
from converter.model import ModelRecord, Plan, Published
from converter.package.dist import RECORD, REPORT
from converter.workflow import annotations
from converter.workflow.annotations import Annotation, Annotations
from converter.workflow.files import write_outputs, write_summary

if TYPE_CHECKING:
    from converter.report.summary import Piece


def built(step: Annotations, records: Sequence[ModelRecord], output: Path, manifest: Path) -> None:
    """Models were built, or were not. Paths are absolute: the next step may run in another folder."""
    folder = output.absolute()
    write_outputs(
        {
            "dist": str(folder),
            "record": str(folder / RECORD),
            "report": str(folder / REPORT),
            "changed": json.dumps([record.name for record in records if record.passed and not record.reused]),
            "failed": json.dumps([record.name for record in records if not record.passed]),
        }
    )
    step.add(*annotations.of_models(records, manifest))
    _summarize(lambda summary: summary.of_run(records, output.as_posix()))


def published(step: Annotations, records: Sequence[Published]) -> None:
    """Files stand where people download them."""
    for record in records:
        write_outputs(record.outputs)
        step.add(*annotations.of_published(record))
    _summarize(lambda summary: summary.of_published(records))


def planned(plan: Plan) -> None:
    """It is known what a release will hold."""
    _summarize(lambda summary: summary.of_plan(plan))


def checked(step: Annotations, checks: Sequence[tuple[str, bool, str]], engine: str) -> None:
    """Saved files answered: for each its name, whether it passed, and the words."""
    for name, passed, words in checks:
        if not passed:
            step.add(Annotation(level="error", message=words, title=f"{name} failed on {engine}"))
    _summarize(lambda summary: summary.of_checks(checks, engine))


def failed(step: Annotations, error: ConverterError) -> None:
    """A command ended with an error."""
    step.add(*annotations.of_error(error))
    _summarize(lambda summary: summary.of_error(str(error)))


def _summarize(pieces: "Callable[[Any], Sequence[Piece]]") -> None:
    def render(room: int) -> str:
        from converter.report import summary  # templates are read only where there is a summary to write

        return summary.fitted(pieces(summary), room)

    write_summary(render)
