"""The job summary: what was built, what failed and how to mend it, and where the files are now.

Not a template: the job on macOS writes one, too, and has no template engine.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from converter.model import CheckedFile, CompiledFile, ModelRecord, Plan, Published, ValidationRecord
from converter.report import checked, figures
from converter.report.markdown import Markdown, block, code, escape, link

LONGEST_ERROR = 4000
"""Characters of one model's error; all of it stands in the log."""

# What is kept first where room is short.
_FRAME, _FAILURE, _ROW, _REMARK = range(4)
_ADDRESSES = ("release_url", "s3_prefix", "s3_index_url", "s3_latest_url")


@dataclass(frozen=True)
class Piece:
    """A part that is shown whole or not at all: `subject` is the model, file or shard that it tells of."""

    text: str
    rank: int = _FRAME
    subject: str = ""


def of_run(records: Sequence[ModelRecord], dist: str) -> list[Piece]:
    """The closing table, then the models that failed, then routes left and notes."""
    passed = sum(record.passed for record in records)
    reused = sum(record.reused for record in records)
    unchanged = f" Unchanged, and not converted again: {reused}." if reused else ""
    pieces = [
        Piece(f"## {passed} of {len(records)} models passed\n\n"),
        Piece(f"The files and their report are in {code(dist)}.{unchanged}\n\n"),
        Piece(_head(tuple(name.replace("_", " ") for name in figures.Row._fields), figures.Row.JUSTIFY)),
    ]
    pieces += [Piece("".join(_row(*row) for row in figures.rows([record])), _ROW, record.name) for record in records]
    for record in records:
        if not record.passed:
            what = f"{escape(record.source)} ({code(record.place)})"
            text = f"\n### {escape(record.name)} failed\n\n{what}\n\n{_told(record.error)}"
            pieces.append(Piece(text, _FAILURE, record.name))
    remarks = [(record.name, "".join(_remarks(record))) for record in records]
    return pieces + [Piece(f"\n### {escape(name)}\n\n{remark}", _REMARK, name) for name, remark in remarks if remark]


def _remarks(record: ModelRecord) -> Iterator[str]:
    for attempt in record.attempts:
        if figures.outcome(record, attempt) == "left":
            yield f"Route {attempt.route} was left for {attempt.format}, and the next one tried:\n\n"
            yield f"{_told(attempt.words)}\n"
    yield from (f"- {escape(note)}\n" for note in figures.notes(record))


def of_published(records: Sequence[Published]) -> list[Piece]:
    """For each target its addresses, and a table of the files with theirs."""
    pieces = []
    for record in records:
        found = [record.outputs[name] for name in _ADDRESSES if record.outputs.get(name)]
        addresses = "".join([*(f"- {link(address)}\n" for address in found), *("\n" for _ in found[:1])])
        head = f"\n## Published to {escape(record.target)}\n\n"
        pieces.append(Piece(head + addresses + _head(("file", "size", ""), ("left", "right", "left"))))
        pieces += [
            Piece(_row(link(file.url, file.name), figures.size(file.size_bytes), file.action), _ROW, file.name)
            for file in record.files
        ]
    return pieces


def of_plan(plan: Plan) -> list[Piece]:
    """The shards and what each will build."""
    models = sum(len(shard.models) for shard in plan.shards)
    commit = f", commit {code(plan.commit)}" if plan.commit else ""
    head = f"## {models} models, shards: {len(plan.shards)}\n\nManifest {code(plan.manifest)}{commit}.\n\n"
    pieces = [Piece(head + _head(("shard", "sources", "models"), ("left", "right", "left")))]
    for shard in plan.shards:
        row = _row(shard.shard, figures.size(shard.size_bytes), Markdown(", ".join(map(code, shard.models))))
        pieces.append(Piece(row, _ROW, shard.shard))
    return pieces


def of_validation(record: ValidationRecord) -> list[Piece]:
    """What the saved files answered when they were checked again, and why some failed."""
    passed, files = checked.passed_files(record)
    head = f"## {passed} of {files} files passed on {escape(record.machine)}\n\n"
    informs = any(not file.required for file in record.files)
    remark = "Only required checks decide; the others, and all times, are information.\n\n" if informs else ""
    columns = _COLUMNS if record.engine == "coreml" else [column for column in _COLUMNS if not column.is_of_core_ml]
    pieces = [Piece(head + remark + _head([c.title for c in columns], [c.side for c in columns]))]
    for file in record.files:
        pieces.append(Piece(_row(*(column.cell(file) for column in columns)), _ROW, file.file))
        if not file.passed:
            units = f" on {code(file.compute_units)}" if record.engine == "coreml" else ""
            verdict = "failed" if file.required else "did not pass"
            text = f"\n### {code(file.file)} {verdict}{units}\n\n{_told(figures.why(file))}"
            pieces.append(Piece(text, _FAILURE if file.required else _REMARK, file.file))
    for check in record.app_checks:
        if not check.passed:
            place = "Xcode" if isinstance(check, CompiledFile) else f"Vision ({check.crop})"
            text = f"\n### {code(check.file)} failed in {place}\n\n{_told(check.words)}"
            pieces.append(Piece(text, _FAILURE, check.file))
    # a stable sort: all rows of the table stand together, and information comes last
    order = {_FAILURE: 1, _REMARK: 2}
    return sorted(pieces, key=lambda piece: order.get(piece.rank, 0))


class _Column(NamedTuple):
    """One of the table of checked files; what is `is_of_core_ml` says nothing of another engine."""

    title: str
    cell: Callable[[CheckedFile], str]
    side: figures.Justify = "left"
    is_of_core_ml: bool = False


_COLUMNS = (
    _Column("file", lambda file: code(file.file)),
    _Column("engine", lambda file: file.engine),
    _Column("compute units", lambda file: code(file.compute_units), is_of_core_ml=True),
    _Column("required", lambda file: "yes" if file.required else "no", is_of_core_ml=True),
    _Column("PSNR", lambda file: figures.worst(file.validation), "right"),
    _Column("load", lambda f: figures.duration(f.times.load_s) if f.times else "–", "right", is_of_core_ml=True),
    _Column("predict", lambda f: figures.duration(f.times.predict_s) if f.times else "–", "right", is_of_core_ml=True),
    _Column("preferred devices", lambda file: figures.devices(file) or "–", is_of_core_ml=True),
    _Column("result", lambda file: "passed" if file.passed else "FAILED" if file.required else "not passed"),
)


def of_error(words: str) -> list[Piece]:
    """What ended a command."""
    return [Piece(f"## Failed\n\n{_told(words)}")]


def fitted(pieces: Sequence[Piece], room: int) -> str:
    """The pieces' text in at most `room` bytes of UTF-8; what does not fit is left out, and the text says so."""
    text = "".join(piece.text for piece in pieces)
    if _size(text) <= room:
        return text
    longest = _notice(len(pieces), len(pieces))
    chosen = _chosen(pieces, room - _size(longest))
    subjects = {piece.subject for piece in pieces} - {""}
    short = {piece.subject for index, piece in enumerate(pieces) if index not in chosen} - {""}
    text = "".join(piece.text for index, piece in enumerate(pieces) if index in chosen)
    text += _notice(len(short), len(subjects))
    return text if _size(text) <= room else ""


def _chosen(pieces: Sequence[Piece], room: int) -> set[int]:
    """The pieces that fit, by rank and then in order, up to the first that does not."""
    chosen = set()
    for index in sorted(range(len(pieces)), key=lambda index: pieces[index].rank):
        room -= _size(pieces[index].text)
        if room < 0:
            break
        chosen.add(index)
    return chosen


def _notice(short: int, subjects: int) -> str:
    return (
        f"\n**This summary is shortened**, as GitHub shows no more than 1 MiB: {short} of {subjects} entries are not "
        "here or not with all their details. The log has everything.\n"
    )


def _head(columns: Sequence[str], justify: Sequence[figures.Justify]) -> str:
    lines = ("---:" if side == "right" else "---" for side in justify)
    return f"| {' | '.join(columns)} |\n| {' | '.join(lines)} |\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(escape, cells))} |\n"


def _told(words: str) -> str:
    cut = words if len(words) <= LONGEST_ERROR else f"{words[:LONGEST_ERROR]}\n… (all of it is in the log)"
    return f"{block(cut)}\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
