"""A divergence as people read it: in a terminal, and as a page."""

from collections.abc import Iterator
from html import escape

from converter.model import ComparedOp, Divergence
from converter.report.growth import decibels, summary, svg, text

_SHOWN = 6  # values around the first that differs


def lines(found: Divergence) -> Iterator[str]:
    """All of it, for a terminal."""
    route = f", route {found.route}" if found.route else ""
    yield f"{found.model}: {found.file}{route}, on {found.sample}"
    for missed in found.missed:
        yield f"  {missed}"
    for cause in found.causes:
        yield f"  cause: {cause.name}: {cause.words}"
        yield f"    fix: {cause.fix}"
    yield f"  {summary(found)}"
    if found.first is not None:
        yield from (f"  - {culprit}" for culprit in found.culprits)
        yield ""
        yield from (f"  {line}" for line in text(found.ops, found.first, found.limit_db))
        yield ""
        yield from (f"  {line}" for line in _table(found))
    if found.suggestion:
        yield from (f"  {line}" for line in found.suggestion.splitlines())


def _table(found: Divergence) -> Iterator[str]:
    assert found.first is not None
    start = max(0, found.first - _SHOWN // 2)
    rows = [
        (
            ">" if place == found.first else " ",
            op.name,
            op.op_type,
            decibels(op.psnr_db),
            f"{op.max_abs_error:.3g}",
            f"{op.peak:.3g}",
            op.source,
        )
        for place, op in enumerate(found.ops)
        if start <= place < start + _SHOWN
    ]
    heads = ("", "value", "operation", "PSNR", "max error", "max |source|", "source")
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def page(found: tuple[Divergence, ...]) -> str:
    """One self-contained HTML file; no request leaves it."""
    parts = "".join(_section(each) for each in found)
    title = escape(f"Where it went wrong: {found[0].model}" if found else "Where it went wrong")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;"
        "max-width:60rem;margin:2rem auto;padding:0 1rem}div.wide{overflow-x:auto}table{border-collapse:collapse;"
        "font-size:.85rem}th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #8884}"
        "tr.first{font-weight:bold;color:#c62828}svg{max-width:100%;height:auto}</style>"
        f"<main><h1>{title}</h1>{parts}</main></html>\n"
    )


def _section(found: Divergence) -> str:
    heading = f"{found.file}{f', route {found.route}' if found.route else ''}, on {found.sample}"
    listed = "".join(f"<li>{escape(item)}</li>" for item in (*found.missed, summary(found), *found.culprits))
    causes = "".join(f"<p>Cause: {escape(c.name)}: {escape(c.words)} Fix: {escape(c.fix)}</p>" for c in found.causes)
    rows = "".join(_row(op, place == found.first) for place, op in enumerate(found.ops))
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("Value", "Operation", "PSNR", "Max error", "Max |source|", "Source", "Problem")
    )
    return (
        f"<section><h2>{escape(heading)}</h2>{causes}<ul>{listed}</ul>{svg(found.ops, found.first, found.limit_db)}"
        f"<pre>{escape(found.suggestion)}</pre><details><summary>All {len(found.ops)} values</summary>"
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
        "</section>"
    )


def _row(op: ComparedOp, is_first: bool) -> str:
    cells = (
        op.name,
        op.op_type,
        decibels(op.psnr_db),
        f"{op.max_abs_error:.3g}",
        f"{op.peak:.3g}",
        op.source,
        op.problem,
    )
    row = ' class="first"' if is_first else ""
    return f"<tr{row}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
