"""The smallest set of operations in float32 with which a float16 file passes its gates."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from converter.convert import convert
from converter.convert.naming import UnknownNamesError
from converter.convert.origins import Origin, recording
from converter.debug.candidate import Candidate
from converter.debug.look import Case, Sample
from converter.debug.values import FLOAT16_MAX, distance
from converter.evaluate import load_model
from converter.model import Route, Source, Target

MAX_CONVERSIONS = 30
_CAST = re.compile(r"_cast_fp16$")
_BEYOND = 1000.0  # what leaves float16's range comes before all that only loses digits


@dataclass(frozen=True)
class Fix:
    """`names` for `float32_ops`; empty where none were found, and `words` say why or what it costs."""

    names: tuple[str, ...]
    words: str


@dataclass
class _Search:
    """Trials, counted; each is a conversion and all samples."""

    case: Case
    source: Source
    route: Route
    target: Target
    folder: Path
    say: Callable[[str], None]
    unknown: set[str] = field(default_factory=set)
    tried: dict[frozenset[str], bool] = field(default_factory=dict)
    conversions: int = 0

    @property
    def is_over(self) -> bool:
        return self.conversions >= MAX_CONVERSIONS

    def passes(self, names: Sequence[str]) -> bool:
        known = frozenset(names) - self.unknown
        if known not in self.tried:
            self.tried[known] = self._try(tuple(name for name in names if name in known))
        return self.tried[known]

    def _try(self, names: tuple[str, ...]) -> bool:
        try:
            passed = self.converted(replace(self.target, float32_ops=names))
        except UnknownNamesError as error:  # of operations that conversion makes later or joins with others
            self.unknown.update(error.names)
            left = tuple(name for name in names if name not in self.unknown)
            return bool(left) and self._try(left)
        self.say(f"{len(names)} in float32: {'passes' if passed else 'does not pass'}")
        return passed

    def converted(self, target: Target) -> bool:
        """Whether the gates of a float16 file hold for what the target says."""
        path = self.folder / f"trial.{target.format}"
        shutil.rmtree(path, ignore_errors=True)
        self.conversions += 1
        convert(self.source, self.route, target, path)
        return self.case.judged(self.case.ask(path), "float16").passed


def fix(
    case: Case, source: Source, route: Route, target: Target, folder: Path, number: int, say: Callable[[str], None]
) -> Fix:
    """Look for the smallest set; `number` is the sample on which operations are ordered by the error they bring.

    `source` is what the route converts (of torch by the ONNX route, the exported file). At most MAX_CONVERSIONS.
    """
    search = _Search(case, source, route, target, folder, say)
    if not search.converted(replace(target, compute_precision="float32", float32_ops=())):
        return Fix((), "precision is not the cause: all in float32 does not pass either")
    plain = folder / f"plain.{target.format}"
    with recording() as origins:
        convert(source, route, replace(target, float32_ops=()), plain)
    search.conversions += 1
    sample = Sample(case, number)
    order = _ordered(sample.run(plain, "float32"), sample.run(plain, "float16"), origins.by_name())
    names = _prefix(search, order)
    if not names:
        words = f"no set was found among {len(order)} operations, after {search.conversions} conversions"
        return Fix((), f"{words}; take `compute_precision: float32`, which passes")
    names = _shrunk(search, names)
    if not search.passes(names):  # what is told is what was seen to pass
        raise AssertionError("a set that passed does not pass again")
    path = folder / f"fixed.{target.format}"
    convert(source, route, replace(target, float32_ops=tuple(names)), path)
    search.conversions += 1
    return Fix(tuple(names), _cost(plain, path, search))


def _prefix(search: _Search, order: Sequence[str]) -> list[str]:
    """The shortest beginning of the order that passes: doubled until it does, then halved."""
    failing, count = 0, 1
    while not search.passes(order[:count]):
        if count >= len(order) or search.is_over:
            return []
        failing, count = count, min(2 * count, len(order))
    while count - failing > 1 and not search.is_over:
        middle = (failing + count) // 2
        failing, count = (failing, middle) if search.passes(order[:middle]) else (middle, count)
    return [name for name in order[:count] if name not in search.unknown]


def _shrunk(search: _Search, names: list[str]) -> list[str]:
    """Delta debugging: leave out ever smaller parts, as long as what is left passes."""
    size = max(1, len(names) // 2)
    while len(names) > 1 and not search.is_over:
        start = 0
        while start < len(names) and len(names) > 1 and not search.is_over:
            fewer = names[:start] + names[start + size :]
            if fewer and search.passes(fewer):
                names = fewer
            else:
                start += size
        if size == 1:
            break
        size //= 2
    return names


def _ordered(wide: Candidate, narrow: Candidate, origins: Mapping[str, Origin]) -> list[str]:
    """The names of operations, the one that brings in most error first."""
    lost = {name: _noise(value.array, narrow.values[name].array) for name, value in wide.values.items()}
    scores: dict[str, float] = {}
    for wire in wide.wires:
        score = 0.0
        for name in wire.outputs:
            before = max((lost.get(n, 0.0) for n in wire.inputs), default=0.0)
            score = max(score, lost.get(name, 0.0) - before)
            score += _BEYOND if any(_is_beyond(wide, n) for n in (name, *wire.inputs)) else 0.0
        name = _name(wire.outputs[0], origins)
        if wire.op_type != "cast" and name:
            scores[name] = max(score, scores.get(name, 0.0))
    return sorted(scores, key=lambda name: -scores[name])


def _is_beyond(candidate: Candidate, name: str) -> bool:
    value = candidate.values.get(name)
    if value is None or value.array.dtype.kind != "f":
        return False
    return bool(np.max(np.abs(value.array), initial=0.0) > FLOAT16_MAX)


def _noise(wide: np.ndarray, narrow: np.ndarray) -> float:
    """RMSE over max|value|, at most 1."""
    return float(min(1.0, 10 ** (-distance(wide, narrow).psnr_db / 20)))


def _name(value: str, origins: Mapping[str, Origin]) -> str:
    """How `float32_ops` names the operation that makes a value of the file."""
    origin = origins.get(value)
    if origin is None:
        return ""
    return (origin.name or origin.value) if origin.value else _CAST.sub("", value)


def _cost(plain: Path, path: Path, search: _Search) -> str:
    before, after = (sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in (plain, path))
    end = "; the search ended at its limit, fewer may do" if search.is_over else ""
    casts = [sum(op == "cast" for op in load_model(p).op_types()) for p in (plain, path)]
    return (
        f"found with {search.conversions} conversions; the file has {after:,} bytes instead of {before:,}, "
        f"and {casts[1]} casts instead of {casts[0]}{end}"
    )


def manifest_lines(target: Target, names: Sequence[str]) -> str:
    """What to write into the manifest."""
    listed = ", ".join(name if re.fullmatch(r"[A-Za-z_/][\w./-]*", name) else f'"{name}"' for name in names)
    return (
        "formats:\n"
        "  - mlpackage:\n"
        f"      deployment_target: {target.deployment_target}\n"
        "      compute_precision: float16\n"
        f"      float32_ops: [{listed}]"
    )
