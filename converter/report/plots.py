"""Plots as small SVG without scripts or styles of their own: the page's style sheet colours them.

Numbers and our own words only; nothing that a user wrote is drawn.
"""

import math
import re
from collections.abc import Iterator

from converter.model import Gate, Plot
from converter.report import figures

_FIRST_DECADE, _PER_DECADE = -8, 4  # as the plot's errors are counted
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# the drawing area of the histogram, and what stands around it
_LEFT, _RIGHT, _TOP, _BASE, _HEIGHT = 8, 328, 20, 112, 132


def histogram(plot: Plot, limit_db: float | None) -> str:
    """How many values are off by how much; a dashed line stands where an error of every value would miss the gate."""
    bars = _bars(plot.errors)
    labels = "".join(_decade(exponent) for exponent in range(_FIRST_DECADE, 1, 2))
    gate = _gate_line(limit_db) if limit_db is not None else ""
    return (
        f'<svg class="plot histogram" viewBox="0 0 336 {_HEIGHT}" role="img" aria-label="{spread(plot)}">'
        f'<path class="bars" d="{bars}"/><path class="axis" d="M{_LEFT} {_BASE}H{_RIGHT}"/>{labels}{gate}</svg>'
    )


def _bars(errors: tuple[int, ...]) -> str:
    most = max(errors, default=0) or 1
    width = (_RIGHT - _LEFT) / len(errors) if errors else 0.0
    paths = []
    for index, count in enumerate(errors):
        if count:
            height = max(2.0, (_BASE - _TOP) * count / most)  # what is there is seen
            paths.append(f"M{_LEFT + index * width + 0.5:.4g} {_BASE}v-{height:.3g}h{width - 1:.4g}v{height:.3g}z")
    return "".join(paths)


def _at(exponent: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * (exponent - _FIRST_DECADE) / -_FIRST_DECADE


def _decade(exponent: int) -> str:
    words = f"10{str(exponent).translate(_SUPERSCRIPTS)}" if exponent else "1"
    anchor = {_FIRST_DECADE: "start", 0: "end"}.get(exponent, "middle")
    x = f"{_at(exponent):.4g}"
    return (
        f'<path class="axis" d="M{x} {_BASE}v4"/>'
        f'<text x="{x}" y="{_BASE + 17}" text-anchor="{anchor}" aria-hidden="true">{words}</text>'
    )


def _gate_line(limit_db: float) -> str:
    exponent = min(max(-limit_db / 20, _FIRST_DECADE), 0.0)
    x, anchor = _at(exponent), "end" if exponent > _FIRST_DECADE / 2 else "start"
    shift = -5 if anchor == "end" else 5
    return (
        f'<path class="gate" d="M{x:.4g} 6V{_BASE}"/>'
        f'<text x="{x + shift:.4g}" y="14" text-anchor="{anchor}" aria-hidden="true">gate {limit_db:.4g} dB</text>'
    )


def spread(plot: Plot) -> str:
    """The histogram in words, for those who do not see it."""
    return f"How far values are off: {'; '.join(_counts(plot)) or 'there are none'}."


def _counts(plot: Plot) -> Iterator[str]:
    if plot.equal:
        yield f"{plot.equal:,} of {plot.values:,} values are equal"
    differing = [index for index, count in enumerate(plot.errors) if count]
    if differing:
        low, high = (_FIRST_DECADE + index / _PER_DECADE for index in (differing[0], differing[-1] + 1))
        edge = "to" if len(differing) > 1 else "and"
        bounds = f"{10**low:.1e} {edge} {10**high:.1e}"
        yield f"{sum(plot.errors):,} of {plot.values:,} values are off by {bounds} of the largest"
    if plot.non_finite:
        yield f"{plot.non_finite:,} are NaN or infinite"


def scatter(plot: Plot) -> str:
    """The candidate's values over the reference's; where both agree they lie on the diagonal."""
    # A dot is a line of no length with round ends.
    dots = "".join(f"M{x} {99 - y}h0" for x, y in _cells(plot))
    low, high = figures.number(plot.low), figures.number(plot.high)
    words = f"The file's values over the source's, both from {low} to {high}: {_off_diagonal(plot)}."
    return (
        f'<svg class="plot scatter" viewBox="-8 -6 114 126" role="img" aria-label="{words}">'
        f'<path class="axis" d="M-4 -4V103H103"/><path class="ideal" d="M0 99L99 0"/><path class="dots" d="{dots}"/>'
        f'<text x="-4" y="115" aria-hidden="true">{low}</text>'
        f'<text x="103" y="115" text-anchor="end" aria-hidden="true">{high}</text></svg>'
    )


def _cells(plot: Plot) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in re.findall(r"\b(\d{1,2}),(\d{1,2})\b", plot.cells)]


def _off_diagonal(plot: Plot) -> str:
    off = max((abs(x - y) for x, y in _cells(plot)), default=0)
    return "all lie on the diagonal" if off <= 1 else f"the furthest lies {off} % of the range off the diagonal"


def limit_of(plot: Plot, gates: tuple[Gate, ...]) -> float | None:
    """The PSNR that the output's gate asks for, where it has one."""
    found = (g.limit for g in gates if g.name == "psnr_db" and g.words.startswith((f"psnr_db of {plot.output} ",)))
    limit = next(found, None)
    return limit if limit is not None and math.isfinite(limit) else None
