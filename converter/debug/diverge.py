"""The first operation whose output differs: back from an output that is wrong, as long as what is read is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converter.convert.origins import Origin
from converter.debug.align import Alignment
from converter.debug.candidate import Candidate
from converter.debug.values import Distance, nearest
from converter.model import ComparedOp

_INHERITED_DB = 10.0  # a value that is hardly worse than what it is made of got its error from there
_EXPLAINS_DB = 20.0  # an error that far below the limit is not what misses it: many small ones together are
_FLOOR_DB = 130.0  # float32's own digits: what is better is as good


@dataclass(frozen=True)
class Found:
    """`first` is an index into `ops`; `gradual` says that no single operation brought the error in."""

    ops: tuple[ComparedOp, ...]
    first: int | None
    culprits: tuple[str, ...] = ()
    gradual: bool = False
    worst_db: float = np.inf  # of the outputs


def diverge(
    candidate: Candidate, alignment: Alignment, origins: Mapping[str, Origin], limits_db: Sequence[float]
) -> Found:
    """Hold each joined value against the source's; `limits_db` are those of the outputs, in their order."""
    graph = _Graph(candidate, alignment)
    ops = graph.compared()
    worst = min((graph.distances[outlet.value].psnr_db for outlet in candidate.outlets), default=np.inf)
    wrong = [
        outlet.value
        for outlet, limit in zip(candidate.outlets, limits_db, strict=True)
        if not graph.distances[outlet.value].psnr_db >= limit
    ]
    if not wrong:
        return Found(ops, None, worst_db=worst)
    places = {op.name: place for place, op in enumerate(ops)}
    limit = min(limits_db)
    fronts = [name for output in wrong for name in graph.fronts(output, limit)] or wrong
    first = min(fronts, key=places.__getitem__)
    origin = graph.origin(first, limit)
    gradual = origin is None
    culprit = first if origin is None else origin
    return Found(ops, places[culprit], graph.said(culprit, limit, origins), gradual, worst)


class _Graph:
    """The file's operations with what is known of their results."""

    def __init__(self, candidate: Candidate, alignment: Alignment) -> None:
        self.candidate = candidate
        self.maker = {name: wire for wire in candidate.wires for name in wire.outputs}
        self.pairs = alignment.pairs
        self.distances: dict[str, Distance] = {
            name: nearest(pair.array, candidate.values[name].array)
            for name, pair in alignment.pairs.items()
            if name in candidate.values and candidate.values[name].array.size == pair.array.size
        }
        for outlet in candidate.outlets:
            self.distances.setdefault(outlet.value, Distance(-np.inf, np.inf, 0.0, "the output has another shape"))

    def compared(self) -> tuple[ComparedOp, ...]:
        ops = []
        order = [name for name in self.candidate.values if name in self.distances]
        for name in [*order, *(name for name in self.distances if name not in self.candidate.values)]:
            value, pair, found = self.candidate.values.get(name), self.pairs[name], self.distances[name]
            ops.append(
                ComparedOp(
                    op_type=value.op_type if value else "output",
                    name=name,
                    source=pair.name if pair.op_type in pair.name else f"{pair.name} ({pair.op_type})",
                    psnr_db=found.psnr_db,
                    max_abs_error=found.max_abs_error,
                    peak=found.peak,
                    problem=found.problem,
                )
            )
        return tuple(ops)

    def known(self, name: str) -> list[str]:
        """The nearest values before this one that are joined with the source's."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = list(self._reads(name))
        while waiting:
            before = waiting.pop()
            if before in seen:
                continue
            seen.add(before)
            if before in self.distances and not self._is_silent(before):
                found[before] = None
            else:
                waiting += self._reads(before)
        return list(found)

    def _reads(self, name: str) -> Sequence[str]:
        return self.maker[name].inputs if name in self.maker else ()

    def _is_silent(self, name: str) -> bool:
        """A value of next to nothing says nothing: its error cannot be told from its numbers."""
        found = self.distances[name]
        return not found.problem and found.peak < 1e-6 and found.max_abs_error < 1e-6

    def fronts(self, output: str, limit_db: float) -> list[str]:
        """The wrong values before `output` that are made of right ones alone."""
        found, seen, waiting = [], {output}, [output]
        while waiting:
            name = waiting.pop()
            wrong = [n for n in self.known(name) if not self.distances[n].psnr_db >= limit_db]
            if not wrong:
                found.append(name)
            waiting += [n for n in wrong if n not in seen]
            seen.update(wrong)
        return found

    def origin(self, name: str, limit_db: float) -> str | None:
        """Where the error of a wrong value came in: the last one that is far worse than all it is made of."""
        seen = {name}
        while True:
            before = self.known(name)
            worst = min(before, key=lambda n: self.distances[n].psnr_db, default=None)
            if worst is None:
                return name if name in self.maker else None
            if self._db(worst) - self._db(name) >= _INHERITED_DB:
                return name if self._db(name) < limit_db + _EXPLAINS_DB else None
            if worst in seen:
                return None
            seen.add(worst)
            name = worst

    def _db(self, name: str) -> float:
        return min(self.distances[name].psnr_db, _FLOOR_DB)

    def said(self, name: str, limit_db: float, origins: Mapping[str, Origin]) -> tuple[str, ...]:
        """The operations from the last known values to this one, with where they come from."""
        known, waiting, inside = set(self.known(name)), [name], {name}
        while waiting:
            for before in self._reads(waiting.pop()):
                if before not in known and before not in inside and before in self.maker:
                    inside.add(before)
                    waiting.append(before)
        words = []
        for wire in self.candidate.wires:
            if inside.intersection(wire.outputs) and (wire.op_type != "cast" or name in wire.outputs):
                origin = next((origins[n] for n in (*wire.outputs, wire.name) if n in origins), None)
                words.append(f"{wire.outputs[0]} ({wire.op_type}){_place(origin)}")
        return tuple(words)


def _place(origin: Origin | None) -> str:
    if origin is None or not (origin.name or origin.value):
        return ""
    if origin.value:
        return f", of the node {origin.name or origin.value} ({origin.op_type})"
    return f", of the module {origin.name}"
