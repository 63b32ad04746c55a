"""Annotations: errors, warnings and notices on the manifest's line, within GitHub's limits."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from converter.errors import ConverterError
from converter.model import ModelRecord, Published
from converter.report import figures
from converter.workflow.stream import command

Level = Literal["error", "warning", "notice"]

LIMIT = 10
"""Of each level in a step; a whole composite action is one step."""
MAX_LENGTH = 4096
"""Of a message, in UTF-16 units, as the runner counts (ExecutionContext)."""

_PLACE = re.compile(r"(?P<file>[^:\n]+|.+?):(?P<line>\d+):(?P<column>\d+)(?=[: ]|$)")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What is said, and where: `file` is relative to the workspace, `line` and `column` count from 1; 0 is none."""

    level: Level
    message: str
    title: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def command(self) -> str:
        # without a file the runner would take the line for one of .github
        place: dict[str, str | int] = {}
        if self.file:
            place = {"file": self.file, "line": self.line, "col": self.column if self.line else 0}
        return command(self.level, _cut(self.message), **place, title=self.title)

    @classmethod
    def at(cls, level: Level, place: str, message: str, *, title: str = "", file: str = "") -> Self:
        """An annotation at a place as errors have it (`models.yml:14:5 resnet50`); `file` where it is known better."""
        found = _PLACE.match(place)
        if not found:
            return cls(level=level, message=message, title=title)
        file = file or in_workspace(found["file"])
        if not file:
            return cls(level=level, message=f"{found[0]}: {message}", title=title)
        line, column = int(found["line"]), int(found["column"])
        return cls(level=level, message=message, title=title, file=file, line=line, column=column)


class Annotations:
    """All annotations of a process; they are written at its end, when it is known how many there are."""

    def __init__(self) -> None:
        self._all: list[Annotation] = []

    def add(self, *annotations: Annotation) -> None:
        self._all += annotations

    def error(self, message: str) -> None:
        """An error that has no place."""
        self.add(Annotation(level="error", message=message))

    def lines(self) -> Iterator[str]:
        """The commands, errors first; where there are more than the limit, the last one says how many."""
        for level in get_args(Level):
            found = [annotation for annotation in self._all if annotation.level == level]
            shown = found if len(found) <= LIMIT else found[: LIMIT - 1]
            yield from (annotation.command for annotation in shown)
            if rest := len(found) - len(shown):
                yield Annotation(level=level, message=f"and {rest} more, see the log").command


def of_error(error: ConverterError) -> Iterator[Annotation]:
    """One annotation for each complaint that has a place, or one for the whole error."""
    complaints = error.problem.splitlines()
    if error.where or not complaints or not _PLACE.match(complaints[0]):
        yield Annotation.at("error", error.where[0] if error.where else "", str(error))
        return
    for complaint in complaints:
        yield Annotation.at("error", complaint, _without_place(complaint))


def of_models(records: Sequence[ModelRecord], manifest: Path) -> Iterator[Annotation]:
    """What failed is an error; a route that was left, and what weakens a promise, are warnings."""
    file = in_workspace(str(manifest))
    for record in records:
        if not record.passed:
            message = _without_place(record.error)
            for name in (f"{record.name}: ", f"{record.name} > "):  # the title has it
                message = message.removeprefix(name)
            yield Annotation.at("error", record.place, message, title=f"{record.name} failed", file=file)
        for attempt in record.attempts:
            if figures.outcome(record, attempt) == "left":
                title = f"{record.name}: route {attempt.route} was left for {attempt.format}"
                yield Annotation.at("warning", record.place, attempt.words, title=title, file=file)
        for note in figures.notes(record):
            yield Annotation.at("warning", record.place, note, title=record.name, file=file)


def of_published(record: Published) -> Iterator[Annotation]:
    """A notice for a release that can be downloaded now."""
    if url := record.outputs.get("release_url"):
        is_draft = record.outputs.get("release_draft") == "true"
        yield Annotation(level="notice", message=url, title=f"{'drafted' if is_draft else 'released'}: {record.target}")


def in_workspace(path: str) -> str:
    """A path as annotations name files, from the workspace; empty for a file that lies elsewhere.

    A relative path is one from the working folder or, as records have it, from the repository's root.
    """
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    for base in (Path.cwd(), workspace):
        try:
            found = (base / path).resolve()
            is_there = found.exists()
        except (OSError, ValueError):  # no path at all: too long, say
            return ""
        if is_there:
            return found.relative_to(workspace).as_posix() if found.is_relative_to(workspace) else ""
    return "" if Path(path).is_absolute() else path


def _without_place(text: str) -> str:
    found = _PLACE.match(text)
    return text[found.end() :].removeprefix(":").strip() if found else text


def _cut(text: str) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * MAX_LENGTH:
        return text
    return units[: 2 * (MAX_LENGTH - 1)].decode("utf-16-le", "ignore") + "…"
