"""Where a model goes wrong, and how its error grows: in a sentence, as a few lines of text, and as SVG."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from converter.model import ComparedOp, Divergence

_TOP_DB = 140.0  # float32's own digits; what is better is drawn there
_ROWS, _COLUMNS = 8, 64
_WIDTH, _HEIGHT, _MARGIN = 720, 240, 44


def summary(found: Divergence) -> str:
    """One sentence."""
    if found.first is None:
        if found.missed and not found.causes:
            return "no operation differs, and a gate is missed: look at the samples, the labels and the limits"
        if found.missed:
            return "no operation differs"
        worst = min((op.psnr_db for op in found.ops if op.source.endswith("(output)")), default=float("inf"))
        return f"nothing differs: the outputs have {decibels(worst)}, {found.limit_db:g} dB is asked for"
    op = found.ops[found.first]
    where = {"export": "torch's ONNX export", "conversion": "the conversion", "precision": "float16"}.get(
        found.stage, ""
    )
    words = f"the first operation that differs is {op.name} ({op.op_type}), {decibels(op.psnr_db)}"
    words += f", by {where}" if where else ""
    return f"{words}; {op.problem}" if op.problem else words


def decibels(psnr_db: float) -> str:
    if psnr_db == float("inf"):
        return "no error"
    return f"{psnr_db:.1f} dB" if psnr_db > float("-inf") else "no signal"


def text(ops: Sequence[ComparedOp], first: int | None, limit_db: float) -> list[str]:
    """One column for each value (or the worst of several), * where it is right and # from where it is not."""
    if not ops:
        return []
    columns = _columns(ops, min(_COLUMNS, len(ops)))
    lines = []
    for row in range(_ROWS, -1, -1):
        level = _TOP_DB * row / _ROWS
        marks = "".join(_mark(column, ops, row, level, limit_db) for column in columns)
        lines.append(f"{level:5.0f} dB |{marks}".rstrip())
    lines.append("         +" + "-" * len(columns))
    if first is not None:
        at = next(place for place, column in enumerate(columns) if first in column)
        lines.append(" " * (10 + at) + "^ " + ops[first].name)
    return lines


def _columns(ops: Sequence[ComparedOp], count: int) -> list[range]:
    bounds = [round(place * len(ops) / count) for place in range(count + 1)]
    return [range(start, end) for start, end in pairwise(bounds)]


def _mark(column: range, ops: Sequence[ComparedOp], row: int, level: float, limit_db: float) -> str:
    worst = min(shown_db(ops[place].psnr_db) for place in column)
    if round(worst / _TOP_DB * _ROWS) == row:
        return "#" if worst < limit_db else "*"
    return "." if abs(level - limit_db) <= _TOP_DB / _ROWS / 2 else " "


def shown_db(psnr_db: float) -> float:
    """Within what is drawn; -inf and NaN are 0."""
    return max(0.0, min(_TOP_DB, psnr_db)) if psnr_db == psnr_db else 0.0


def svg(ops: Sequence[ComparedOp], first: int | None, limit_db: float) -> str:
    """PSNR of each value in the order of execution, the limit as a line, the first that differs as a mark."""
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(ops) - 1)
    points = [(_MARGIN + place * step, _y(op.psnr_db)) for place, op in enumerate(ops)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_colour(op, limit_db)}">'
        f"<title>{escape(op.name)} ({escape(op.op_type)}): {op.psnr_db:.1f} dB</title></circle>"
        for (x, y), op in zip(points, ops, strict=True)
    )
    grid = "".join(
        f'<text x="{_MARGIN - 6}" y="{_y(level) + 4:.1f}" text-anchor="end">{level}</text>'
        f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{_y(level):.1f}" y2="{_y(level):.1f}" '
        'stroke="currentColor" opacity=".15"/>'
        for level in range(0, 141, 20)
    )
    mark = ""
    if first is not None:
        x = points[first][0]
        side = "end" if x > _WIDTH / 2 else "start"
        mark = (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(_TOP_DB):.1f}" y2="{_y(0):.1f}" stroke="#c62828"/>'
            f'<text x="{x + (-6 if side == "end" else 6):.1f}" y="{_y(_TOP_DB) + 12:.1f}" text-anchor="{side}" '
            f'fill="#c62828">{escape(ops[first].name)}</text>'
        )
    said = f"PSNR in dB of {len(ops)} values" + (f"; {ops[first].name} differs first" if first is not None else "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(said, quote=True)}" font-family="sans-serif" font-size="11" fill="currentColor">'
        f'{grid}<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{_y(limit_db):.1f}" y2="{_y(limit_db):.1f}" '
        f'stroke="#c62828" stroke-dasharray="4 4"/><polyline points="{line}" fill="none" stroke="#1565c0"/>'
        f"{dots}{mark}</svg>"
    )


def _y(level_db: float) -> float:
    return _HEIGHT - 24 - shown_db(level_db) / _TOP_DB * (_HEIGHT - 40)


def _colour(op: ComparedOp, limit_db: float) -> str:
    return "#1565c0" if op.psnr_db >= limit_db else "#c62828"
