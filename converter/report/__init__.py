"""What was built, in words and numbers: the report of a run and a card for each model."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.model import Attempt, BuildRecord, ImageInput, ModelRecord
from converter.report import figures
from converter.report.changes import changes
from converter.report.interface import crop, features, scale, type_words
from converter.report.markdown import Markdown, block, code, escape

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_card", "render_report"]


def render_report(record: BuildRecord, previous: BuildRecord | None = None) -> str:
    """report.md: a table of all files, then each model with what was tried, its gates, interface and sources.

    It says what changed since `previous`.
    """
    return (
        _environment()
        .get_template("report.md.j2")
        .render(
            record=record,
            lines=figures.lines(record.models),
            changes=changes(record, previous) if previous else None,
        )
    )


def render_card(record: ModelRecord) -> str:
    """NAME.md, for those who use the model. It holds no times and no dates: an unchanged model keeps its card."""
    built = [(a, figures.artifact_of(record, a)) for a in record.attempts if a.passed]
    passed = [a for a in record.attempts if a.passed]
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            record=record,
            interface=record.interface,
            classifier=record.interface.classifier if record.interface else None,
            built=[(attempt, file) for attempt, file in built if file],
            others=[f for f in record.artifacts if f.published and f not in [file for _, file in built]],
            validations=[a.validation for a in passed],
            class_name=_class_name(passed[0]) if passed else "",
            versions=passed[0].conversion.versions if passed and passed[0].conversion else {},
        )
    )


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Not HTML: `finalize` escapes for Markdown whatever is not Markdown already.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "base": figures.base,
        "block": block,
        "code": code,
        "name": lambda path: path.rpartition("/")[2],
        "milliseconds": figures.milliseconds,
        "number": figures.number,
        "plain": Markdown,  # of valid names, in code
        "psnr": figures.psnr,
        "runs_on": figures.runs_on,
        "seconds": figures.seconds,
        "share": figures.share,
        "size": figures.size,
        "type": type_words,
        "units": figures.units,
        "vector": lambda values: ", ".join(figures.number(value) for value in values),
    }
    environment.filters |= filters
    environment.tests["image"] = lambda feature: isinstance(feature, ImageInput)
    environment.globals |= {
        "artifact_of": figures.artifact_of,
        "crop": crop,
        "features": features,
        "measured": figures.measured,
        "outcome": figures.outcome,
        "scale": scale,
        "why": figures.why,
    }
    return environment


def _class_name(attempt: Attempt) -> Markdown:
    """The Swift class that Xcode generates from the file's name."""
    stem = attempt.conversion.path.stem if attempt.conversion else ""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return Markdown(f"_{name}" if name[:1].isdigit() else name)
