"""Whole numbers that are polynomials in sizes which only the running model knows, and what bounds say of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Bounds: TypeAlias = tuple[float, float]  # smallest and largest, both included


@dataclass(frozen=True)
class Size:
    """A polynomial that is no plain integer: ((('batch', 'length'), 2), ((), 1)) is 2 * batch * length + 1."""

    terms: tuple[tuple[tuple[str, ...], int], ...]

    def __str__(self) -> str:
        return " + ".join("*".join([*([str(c)] if c != 1 or not names else []), *names]) for names, c in self.terms)

    def __add__(self, other: "Number") -> "Number":
        return _number([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __mul__(self, other: "Number") -> "Number":
        return _number(
            [((*a, *b), count * times) for a, count in self.terms for b, times in _terms(other)],
        )

    __rmul__ = __mul__

    def __neg__(self) -> "Number":
        return self * -1

    def __sub__(self, other: "Number") -> "Number":
        return self + -other

    def __rsub__(self, other: "Number") -> "Number":
        return -self + other


Number: TypeAlias = int | Size


class Symbols:
    """The unknown sizes by name, with what is known of each; a new one is made for what is no polynomial."""

    def __init__(self, bounds: Mapping[str, Bounds] | None = None) -> None:
        self._bounds = dict(bounds or {})
        self._named: dict[str, Number] = {}

    def of(self, dim: int | str) -> Number:
        """The number that a dimension of a type stands for."""
        if isinstance(dim, int):
            return dim
        return self._named.get(dim, Size((((dim,), 1),)))

    def dim(self, number: Number) -> int | str:
        """A number as a dimension of a type; `of` takes it back."""
        if isinstance(number, int):
            return number
        self._named[str(number)] = number
        return str(number)

    def new(self, name: str, bounds: Bounds = (0, math.inf)) -> Size:
        """A number of which no more than bounds is known; the same name is the same number."""
        self._bounds.setdefault(name, bounds)
        return Size((((name,), 1),))

    def bounds(self, number: Number) -> Bounds:
        """Sizes are not negative, so that each term is smallest and largest where its factors are."""
        low = high = 0.0
        for names, count in _terms(number):
            known = [self._bounds.get(name, (1, math.inf)) for name in names]
            least, most = math.prod(b[0] for b in known), math.prod(b[1] for b in known)
            low += count * (least if count > 0 else most)
            high += count * (most if count > 0 else least)
        return low, high

    def is_less(self, a: Number, b: Number) -> bool | None:
        """Whether a < b; None where it depends on the input."""
        low, high = self.bounds(b - a)
        return True if low > 0 else False if high <= 0 else None

    def is_equal(self, a: Number, b: Number) -> bool | None:
        if a == b:
            return True
        low, high = self.bounds(b - a)
        return False if low > 0 or high < 0 else None

    def smaller(self, a: Number, b: Number) -> Number | None:
        """The smaller of two; None where neither that nor their signs are known."""
        return self._chosen("min", a, b)

    def larger(self, a: Number, b: Number) -> Number | None:
        return self._chosen("max", a, b)

    def _chosen(self, word: str, a: Number, b: Number) -> Number | None:
        below, above = self.bounds(b - a)
        if below >= 0 or above <= 0:
            return a if (below >= 0) == (word == "min") else b
        pick = min if word == "min" else max
        low, high = (pick(pair) for pair in zip(self.bounds(a), self.bounds(b), strict=True))
        first, second = sorted((str(a), str(b)))
        return self.new(f"{word}({first}, {second})", (low, high)) if low >= 0 else None

    def quotient(self, a: Number, b: Number) -> Number | None:
        """a / b where that has no remainder, else None."""
        divisor = _terms(b)
        if len(divisor) == 1:
            names, count = divisor[0]
            parts = [(_without(own, names), times) for own, times in _terms(a)]
            if count and all(rest is not None and times % count == 0 for rest, times in parts):
                return _number([(rest, times // count) for rest, times in parts if rest is not None])
        return 1 if a == b else None

    def floor_quotient(self, a: Number, b: Number) -> Number | None:
        """a // b of what is not negative; None where the signs are not known."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b if b > 0 and a >= 0 else None
        exact = self.quotient(a, b)
        if exact is not None:
            return exact
        if self.bounds(a)[0] < 0 or self.bounds(b)[0] <= 0:
            return None
        if isinstance(b, int):
            whole = _number([(names, count // b) for names, count in _terms(a) if count % b == 0])
            rest = a - whole * b
            if self.bounds(rest)[0] >= 0 and whole != 0:
                inner = self.floor_quotient(rest, b)
                return None if inner is None else whole + inner
        (low, high), (least, most) = self.bounds(a), self.bounds(b)
        return self.new(f"({a}) // ({b})", (low // most if most < math.inf else 0, high // least))


def _terms(number: Number) -> tuple[tuple[tuple[str, ...], int], ...]:
    if isinstance(number, Size):
        return number.terms
    return (((), int(number)),)


def _number(terms: "list[tuple[tuple[str, ...], int]]") -> Number:
    """Like terms taken together; without names it is an integer."""
    counts: dict[tuple[str, ...], int] = {}
    for names, count in terms:
        key = tuple(sorted(names))
        counts[key] = counts.get(key, 0) + count
    left = {names: count for names, count in counts.items() if count}
    if not any(left):
        return left.get((), 0)
    return Size(tuple(sorted(left.items(), key=lambda term: (-len(term[0]), term[0]))))


def _without(names: tuple[str, ...], gone: tuple[str, ...]) -> tuple[str, ...] | None:
    """The factors that are left of a product, or None where some are not in it."""
    left = list(names)
    for name in gone:
        if name not in left:
            return None
        left.remove(name)
    return tuple(left)
