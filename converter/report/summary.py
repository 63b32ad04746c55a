"""The job summary: what was built, what failed and how to mend it, and where the files are now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from converter.model import ModelRecord, Plan, Published
from converter.report import environment, figures

LONGEST_ERROR = 4000
"""Characters of one model's error; all of it stands in the report."""

# What is kept first where room is short.
_FRAME, _FAILURE, _ROW, _REMARK = range(4)


@dataclass(frozen=True)
class Piece:
    """A part that is shown whole or not at all: `subject` is the model, file or shard that it tells of."""

    text: str
    rank: int = _FRAME
    subject: str = ""


def of_run(records: Sequence[ModelRecord], dist: str) -> list[Piece]:
    """The closing table, then the models that failed, then routes left and notes."""
    parts = _parts()
    pieces = [Piece(parts.models(records, dist)), Piece(parts.head(figures.Row))]
    pieces += [Piece(parts.rows(figures.rows([record])), _ROW, record.name) for record in records]
    for record in records:
        if not record.passed:
            pieces.append(Piece(parts.failure(record, _cut(record.error)), _FAILURE, record.name))
    for record in records:
        left = [a for a in record.attempts if figures.outcome(record, a) == "left"]
        notes = figures.notes(record)
        if left or notes:
            told = [(a, _cut(a.words)) for a in left]
            pieces.append(Piece(parts.remarks(record, told, notes), _REMARK, record.name))
    return pieces


def of_published(records: Sequence[Published]) -> list[Piece]:
    """For each target its addresses, and a table of the files with theirs."""
    parts = _parts()
    pieces = []
    for record in records:
        pieces.append(Piece(parts.target(record)))
        pieces += [Piece(parts.file(file), _ROW, file.name) for file in record.files]
    return pieces


def of_plan(plan: Plan) -> list[Piece]:
    """The shards and what each will build."""
    parts = _parts()
    return [Piece(parts.plan(plan)), *(Piece(parts.shard(shard), _ROW, shard.shard) for shard in plan.shards)]


def of_checks(checks: Sequence[tuple[str, bool, str]], engine: str) -> list[Piece]:
    """What saved files answered: for each its name, whether it passed, and the words."""
    parts = _parts()
    passed = sum(passed for _, passed, _ in checks)
    pieces = [Piece(parts.checks(passed, len(checks), engine))]
    pieces += [Piece(parts.check(name, passed), _ROW, name) for name, passed, _ in checks]
    return pieces + [
        Piece(parts.unchecked(name, _cut(words)), _FAILURE, name) for name, passed, words in checks if not passed
    ]


def of_error(words: str) -> list[Piece]:
    """What ended a command."""
    return [Piece(_parts().error(_cut(words)))]


def fitted(pieces: Sequence[Piece], room: int) -> str:
    """The pieces' text in at most `room` bytes of UTF-8; what does not fit is left out, and the text says so."""
    text = "".join(piece.text for piece in pieces)
    if _size(text) <= room:
        return text
    shown = list(_shown(pieces, room - _size(_notice(pieces, ()))))
    text = "".join(piece.text for piece in shown) + _notice(pieces, shown)
    return text if _size(text) <= room else ""


def _shown(pieces: Sequence[Piece], room: int) -> Iterator[Piece]:
    chosen = set()
    for index in sorted(range(len(pieces)), key=lambda index: pieces[index].rank):
        room -= _size(pieces[index].text)
        if room < 0:
            break
        chosen.add(index)
    return (piece for index, piece in enumerate(pieces) if index in chosen)


def _notice(pieces: Sequence[Piece], shown: Sequence[Piece]) -> str:
    named = {piece.subject for piece in pieces if piece.subject}
    kept = set(map(id, shown))
    short = {piece.subject for piece in pieces if piece.subject and id(piece) not in kept}
    return str(_parts().shortened(len(short), len(named)))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_ERROR else f"{words[:LONGEST_ERROR]}\n… (all of it is in the report)"


def _parts() -> Any:
    """The macros of the template."""
    return environment().get_template("summary.md.j2").module
