"""A release's notes: what people downloaded it for, and what is new since the last one."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from converter.model import Artifact, Attempt, BuildRecord, ModelRecord
from converter.package.dist import SUMS
from converter.publish import Finished
from converter.publish.github.names import LONGEST_BODY, asset_name, body_length, flat_name
from converter.report import figures
from converter.report.markdown import code, escape

DRAFT = "<!-- coreml-release:draft -->"
"""Stands in the notes of a draft that this program made and has not filled yet."""

_BEGIN, _END = "<!-- coreml-release:models -->", "<!-- coreml-release:end -->"
_SECTION = re.compile(f"{re.escape(_BEGIN)}(?:(?!{re.escape(_BEGIN)}).)*?{re.escape(_END)}", re.DOTALL)
_HEAD = ("File", "Size", "Precision", "PSNR", "Top-1", "Accuracy", "Runs on", "SHA-256")
_MODES = ("append", "generate", "keep")


def is_given(notes: str) -> bool:
    """True where the option is the notes themselves and no mode."""
    return notes not in _MODES


def composed(notes: str, existing: str | None, section: str) -> str:
    """The body that a release should have; `existing` is the body it has, None for a new release."""
    if is_given(notes):
        return notes
    body = (existing or "").replace("\r\n", "\n").removeprefix(DRAFT).strip()
    if existing is not None and notes == "keep" and body:
        return body
    if notes == "generate" or not body:
        return section
    if _SECTION.search(body):
        return _SECTION.sub(lambda _: section, body, count=1)
    return f"{body}\n\n{section}"


def section(finished: Finished, previous: BuildRecord | None, previous_tag: str, room: int = LONGEST_BODY) -> str:
    """The table of models and what changed, between two marks, so that it can be exchanged; at most `room` long.

    What does not fit is left out from the end of the table; the report has it all.
    """
    rows = list(_rows(finished.record))
    news = list(_changes(finished.record, previous)) if previous else []
    heading = f"### Since {escape(previous_tag)}" if previous else ""
    while True:
        text = "\n".join(_parts(finished, rows, heading, news))
        over = body_length(text) - room
        if over <= 0 or not (rows or news):
            return text
        (news or rows)[-max(1, over // 1000) :] = []


def _parts(finished: Finished, rows: Sequence[tuple[str, ...]], heading: str, news: Sequence[str]) -> Iterator[str]:
    yield _BEGIN
    yield "### Models"
    yield ""
    yield _line(_HEAD)
    yield _line([":---", "---:", *[":---"] * (len(_HEAD) - 2)])
    yield from map(_line, rows)
    yield ""
    shown = {row[0] for row in rows}
    left_out = sum(code(_published_as(file)) not in shown for _, _, file in _files(finished.record))
    if left_out:
        yield f"{left_out} more: see the report."
        yield ""
    yield f"All files are listed with their SHA-256 in {code(SUMS)}: {code(f'sha256sum --check {SUMS}')}"
    if heading:
        yield ""
        yield heading
        yield ""
        yield from news or ["- see the report"]
    yield _END


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(record: BuildRecord) -> Iterator[tuple[str, ...]]:
    for model, attempt, file in _files(record):
        line = figures.lines([model])[model.attempts.index(attempt)]
        systems = figures.runs_on(attempt.conversion.target) if attempt.conversion else ""
        cells = (line.size, line.precision, line.psnr, line.top1, line.accuracy, systems)
        yield (code(_published_as(file)), *map(escape, cells), code(file.sha256))


def _files(record: BuildRecord) -> Iterator[tuple[ModelRecord, Attempt, Artifact]]:
    for model in record.models:
        for attempt in model.attempts:
            if file := figures.artifact_of(model, attempt):
                yield model, attempt, file


def _published_as(file: Artifact) -> str:
    return asset_name(flat_name(file))


def _changes(now: BuildRecord, before: BuildRecord) -> Iterator[str]:
    old, new = _published(before), _published(now)
    for name in new:
        if name not in old:
            yield f"- new: {code(name)}"
        elif new[name].sha256 != old[name].sha256:
            sizes = f"{figures.size(old[name].size_bytes)} → {figures.size(new[name].size_bytes)}"
            psnr = _psnr(before, name), _psnr(now, name)
            quality = f", PSNR {psnr[0]} → {psnr[1]}" if all(psnr) and psnr[0] != psnr[1] else ""
            yield f"- changed: {code(name)}, {sizes}{quality}"
    yield from (f"- gone: {code(name)}" for name in old if name not in new)
    same = sum(name in old and new[name].sha256 == old[name].sha256 for name in new)
    if same:
        yield f"- {same} {'file is' if same == 1 else 'files are'} the same, byte for byte"


def _published(record: BuildRecord) -> dict[str, Artifact]:
    files = [a for model in record.models for a in model.artifacts if a.published]
    return {asset_name(Path(file.path).name): file for file in files}


def _psnr(record: BuildRecord, name: str) -> str:
    for model, attempt, file in _files(record):
        if _published_as(file) == name:
            return figures.lines([model])[model.attempts.index(attempt)].psnr
    return ""
