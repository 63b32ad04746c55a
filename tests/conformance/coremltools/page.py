"""The figures as tables."""

from collections import Counter
from collections.abc import Sequence

import ledger

_SHORT = 110


def summary(counted: Sequence[ledger.Figures], *, every: int, seconds: float, versions: str) -> str:
    """All figures in Markdown: one row a file, then the reasons."""
    size = "All tests" if every == 1 else f"A sample of one test in {every}, chosen by the hash of its id"
    lines = [
        f"{size}; {versions}; {seconds / 60:.0f} minutes of tests.",
        "",
        f"**{sentence(counted)}**",
        "",
        "| file | collected | ran | reached | passed | known failures | failed | skipped | not reached |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for f in [*counted, total(counted)]:
        cells = (f.collected, f.ran, f.reached, f.passed, f.known.total(), len(f.failed))
        more = (f.skipped.total(), f.unreached.total())
        lines.append(f"| {f.file} | {' | '.join(map(str, (*cells, *more)))} |")
    known = sum((f.known for f in counted), Counter())
    lines += section("Known failures, by reason", known)
    lines += section("Skipped, by coremltools itself", sum((f.skipped for f in counted), Counter()))
    lines += section("Not reached: no model was opened", sum((f.unreached for f in counted), Counter()))
    lines += section("Files that cannot be collected", Counter({f"{f.file}: {f.error}": 1 for f in counted if f.error}))
    return "\n".join(lines)


def sentence(counted: Sequence[ledger.Figures]) -> str:
    """The figures in one line."""
    reached, passed = sum(f.reached for f in counted), sum(f.passed for f in counted)
    return f"{passed:,} of {reached:,} tests that reached the evaluator passed: {share(passed, reached)}."


def total(counted: Sequence[ledger.Figures]) -> ledger.Figures:
    """One row for all files."""
    numbers = {name: sum(getattr(f, name) for f in counted) for name in ("collected", "ran", "reached", "passed")}
    return ledger.Figures(
        file="all",
        **numbers,
        known=sum((f.known for f in counted), Counter()),
        failed=tuple(r for f in counted for r in f.failed),
        listed_passes=tuple(r for f in counted for r in f.listed_passes),
        skipped=sum((f.skipped for f in counted), Counter()),
        unreached=sum((f.unreached for f in counted), Counter()),
    )


def section(title: str, reasons: Counter[str]) -> list[str]:
    if not reasons:
        return []
    rows = [f"| {count} | {cell(reason)} |" for reason, count in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))]
    return ["", f"{title}:", "", "| tests | reason |", "| ---: | :--- |", *rows]


def cell(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|").removeprefix("Skipped: ") or "(none given)"
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def share(part: int, whole: int) -> str:
    """A percentage, rounded down, so that 100 means all."""
    return f"{int(10_000 * part / whole) / 100:.2f} %" if whole else "none ran"
