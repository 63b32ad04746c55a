"""A labelled set as a CSV: which pictures it names, and what stands beside them. Nothing but the standard library.

    picture,label                  a class by its name or its index
    picture,mask                   a picture whose pixels are class numbers
    picture,label,x1,y1,x2,y2      a row for each box, in pixels of the picture; only the picture where it shows nothing

Paths are relative to the CSV's own folder.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["classification", "segmentation", "detection"]

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "classification": ("picture", "label"),
    "segmentation": ("picture", "mask"),
    "detection": ("picture", "label", "x1", "y1", "x2", "y2"),
}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the file; `cells` stand in the order of the kind's columns, `picture` first."""

    line: int
    cells: tuple[str, ...]

    @property
    def picture(self) -> str:
        return self.cells[0]


class CsvError(Exception):
    """Everything that is wrong with the file, a sentence a line, and the way out."""

    def __init__(self, problems: Sequence[str], fix: str) -> None:
        shown = [*problems[:_SHOWN], *([f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else [])]
        self.problem, self.fix = "\n  ".join(shown), fix
        super().__init__(self.problem, fix)


def read_rows(path: Path, kind: Kind) -> list[Row]:
    """The rows of a labelled set of this kind. Raises CsvError."""
    columns = COLUMNS[kind]
    header = f"the first line of a {kind} set names its columns: {','.join(columns)}"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            names = [name.strip().lower() for name in next(lines, [])]
            if missing := [name for name in columns if name not in names]:
                raise CsvError([f"the columns {', '.join(missing)} are missing"], header)
            if len(set(names)) < len(names):
                raise CsvError(["two columns have the same name"], header)
            places = [names.index(name) for name in columns]
            read = [(lines.line_num, [cell.strip() for cell in line]) for line in lines if any(map(str.strip, line))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CsvError([f"it cannot be read as CSV: {error}"], "write it as UTF-8, with commas") from error
    short = [
        f"line {line} has {len(cells)} cells, not {len(names)}" for line, cells in read if len(cells) != len(names)
    ]
    if short:
        raise CsvError(short, "give every line the columns of the first; put quotes around a cell with a comma")
    rows = [Row(line=line, cells=tuple(cells[place] for place in places)) for line, cells in read]
    if problems := [f"line {row.line}: {problem}" for row in rows for problem in _problems(row, kind)]:
        raise CsvError(problems, "complete or remove these lines")
    if not rows:
        raise CsvError(["it has no line but the first"], "give it one line for each labelled picture")
    return rows


def files_of(rows: Sequence[Row], kind: Kind) -> Iterator[tuple[int, str]]:
    """Every file that the rows name, once, with the line that names it first."""
    seen: set[str] = set()
    for row in rows:
        for name in row.cells[: 2 if kind == "segmentation" else 1]:
            if name not in seen:
                seen.add(name)
                yield row.line, name


def box(row: Row) -> tuple[float, float, float, float] | None:
    """The corners x1, y1, x2, y2 of a detection's row; None where the picture shows nothing."""
    x1, y1, x2, y2 = (float(cell) if cell else math.nan for cell in row.cells[2:])
    return None if math.isnan(x1) else (x1, y1, x2, y2)


def _problems(row: Row, kind: Kind) -> Iterator[str]:
    if not row.picture:
        yield "no picture is named"
    if kind != "detection":
        if not row.cells[1]:
            yield f"the {COLUMNS[kind][1]} is missing"
        return
    if not any(row.cells[1:]):
        return
    if not row.cells[1].isdecimal():
        yield f"the label {row.cells[1]!r} is no class number"
    try:
        x1, y1, x2, y2 = map(float, row.cells[2:])
    except ValueError:
        yield f"{', '.join(row.cells[2:])} are not four numbers"
        return
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        yield f"({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) is no box: x1 is left of x2, y1 above y2"
