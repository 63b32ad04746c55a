"""What a command came to, told to the workflow: outputs, annotations and the job summary."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from converter.errors import ConverterError
from converter.model import CompiledFile, ModelRecord, Plan, Published, ValidationRecord
from converter.package.dist import PAGE, RECORD, REPORT
from converter.package.record import read_record
from converter.report import figures, summary
from converter.workflow import annotations
from converter.workflow.annotations import Annotation, Annotations, Level
from converter.workflow.files import write_outputs, write_summary


def built(step: Annotations, records: Sequence[ModelRecord], output: Path, manifest: Path) -> None:
    """Models were built, or were not."""
    step.add(*annotations.of_models(records, manifest))
    merged(records, output)


def merged(records: Sequence[ModelRecord], output: Path) -> None:
    """An output folder is complete. Paths are absolute: the next step may run in another folder."""
    write_outputs(
        {
            **_places(output),
            "changed": json.dumps([record.name for record in records if record.passed and not record.reused]),
            "failed": json.dumps([record.name for record in records if not record.passed]),
        }
    )
    _summarize(lambda: summary.of_run(records, output.as_posix()))


def reported(dist: Path) -> None:
    """The reports of a folder were written anew."""
    write_outputs(_places(dist))


def _places(dist: Path) -> dict[str, str]:
    folder = dist.absolute()
    return {
        "dist": str(folder),
        "record": str(folder / RECORD),
        "report": str(folder / REPORT),
        "page": str(folder / PAGE),
    }


def published(step: Annotations, records: Sequence[Published]) -> None:
    """Files stand where people download them."""
    for record in records:
        write_outputs(record.outputs)
        step.add(*annotations.of_published(record))
    _summarize(lambda: summary.of_published(records))


def planned(plan: Plan) -> None:
    """It is known what a release will hold."""
    _summarize(lambda: summary.of_plan(plan))


def checked(step: Annotations, record: ValidationRecord, dist: Path, written: Path | None) -> None:
    """The files of an output folder answered again; `written` is the record's file, where there is one."""
    if written:
        write_outputs({"record": str(written.absolute())})
    places = {model.name: model.place for model in read_record(dist).models}
    for file in record.files:
        if file.passed:
            continue
        units = f", {file.compute_units}" if record.engine == "coreml" else ""
        title = f"{file.file} {'failed' if file.required else 'did not pass'} on {file.engine}{units}"
        level: Level = "error" if file.required else "notice"
        step.add(Annotation.at(level, places.get(file.model, ""), figures.why(file), title=title))
    for check in record.app_checks:
        if not check.passed:
            title = f"{check.file} failed in {'Xcode' if isinstance(check, CompiledFile) else 'Vision'}"
            step.add(Annotation.at("error", places.get(check.model, ""), check.words, title=title))
    _summarize(lambda: summary.of_validation(record))


def failed(step: Annotations, error: ConverterError) -> None:
    """A command ended with an error."""
    step.add(*annotations.of_error(error))
    _summarize(lambda: summary.of_error(str(error)))


def _summarize(pieces: Callable[[], Sequence[summary.Piece]]) -> None:
    write_summary(lambda room: summary.fitted(pieces(), room))
