"""Which value inside a file is which value of the source: by name where names carry over, else by value."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converter.convert.origins import Origin
from converter.debug.candidate import Candidate
from converter.debug.values import Value, nearest

_ALIKE_DB = 20.0  # below, two values that nothing but their place joins are two different things
_MAX_TRIED = 64  # values of the source that one of the file is held against


@dataclass(frozen=True)
class Alignment:
    """The source's value for values of the file, by the file's name."""

    pairs: Mapping[str, Value]


def align(source: Sequence[Value], candidate: Candidate, origins: Mapping[str, Origin], agree_db: float) -> Alignment:
    """Join what is the same.

    First by ONNX's names. Then what agrees in value, whatever its place: that is no coincidence, but for constants and
    single numbers, which are left out. What is left is joined within its torch module, or behind what it is made
    of, with the next of its kind or with what it is most alike. Outputs are joined by the interface.
    """
    order = {id(value): place for place, value in enumerate(source)}
    pairs: dict[str, Value] = {}
    names = {value.name: value for value in source}
    by_size: dict[int, list[Value]] = defaultdict(list)
    for value in source:
        by_size[value.array.size].append(value)
    for name, value in candidate.values.items():
        origin = origins.get(name)
        named = names.get(origin.value) if origin and origin.value else None
        if named is not None and named.array.size == value.array.size:
            pairs[name] = named
    for name, value in candidate.values.items():
        if name not in pairs and not value.is_weak and (same := _same(value, by_size, agree_db)) is not None:
            pairs[name] = same
    _join_the_rest(candidate, origins, by_size, order, pairs)
    for outlet in candidate.outlets:
        pairs[outlet.value] = Value("output", outlet.name, outlet.expected)
    return Alignment(pairs)


def _same(value: Value, by_size: Mapping[int, Sequence[Value]], agree_db: float) -> Value | None:
    """The source's value that this one agrees with best."""
    close = [other for other in by_size.get(value.array.size, ()) if not other.is_weak and _look_alike(value, other)]
    found = [(nearest(other.array, value.array).psnr_db, other) for other in close[:_MAX_TRIED]]
    found = [each for each in found if each[0] >= agree_db]
    return max(found, key=lambda each: each[0])[1] if found else None


def _look_alike(one: Value, other: Value) -> bool:
    """Whether the parts may be the same, as far as the whole tells."""
    return bool(np.allclose(one.size_of_numbers, other.size_of_numbers, rtol=0.05, atol=0))


def _join_the_rest(
    candidate: Candidate,
    origins: Mapping[str, Origin],
    by_size: Mapping[int, Sequence[Value]],
    order: Mapping[int, int],
    pairs: dict[str, Value],
) -> None:
    taken = {id(value) for value in pairs.values()}
    before: dict[str, int] = {name: order[id(value)] for name, value in pairs.items()}  # the source's place so far
    for wire in candidate.wires:
        start = max((before.get(name, -1) for name in wire.inputs), default=-1)
        for name in wire.outputs:
            value = candidate.values.get(name)
            if value is not None and name not in pairs:
                free = [v for v in by_size.get(value.array.size, ()) if id(v) not in taken and order[id(v)] > start]
                path = origins[name].name if name in origins and not origins[name].value else ""
                if (found := _most_alike(value, free, path)) is not None:
                    pairs[name] = found
                    before[name] = order[id(found)]
                    taken.add(id(found))
            before[name] = max(before.get(name, -1), start)


def _most_alike(value: Value, free: Sequence[Value], path: str) -> Value | None:
    """One of the same module, if there is one; else the next of the same kind; else one that is alike enough."""
    shaped = [v for v in free if _shaped_alike(v, value)][:_MAX_TRIED]
    inside = [v for v in shaped if path and v.path == path]
    kin = [v for v in inside or shaped if _kin(v.op_type, value.op_type)]
    if kin:
        return kin[0]
    if value.is_weak:
        return None
    if not (found := inside or shaped):
        return None
    best_db, best = max(((nearest(v.array, value.array).psnr_db, v) for v in found), key=lambda each: each[0])
    return best if inside or best_db >= _ALIKE_DB else None


def _kin(one: str, other: str) -> bool:
    """`conv` and `convolution`, `layer_norm` and `native_layer_norm`, `reduce_mean` and `ReduceMean`."""
    a, b = (name.replace("_", "").lower() for name in (one, other))
    return a in b or b in a


def _shaped_alike(one: Value, other: Value) -> bool:
    a, b = ([side for side in value.array.shape if side != 1] for value in (one, other))
    return a == b
