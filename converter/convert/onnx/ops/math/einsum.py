"""https://onnx.ai/onnx/operators, chapter math: Einsum, by diagonals, sums, matrix products and transposes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.convert.onnx.builder import MAX_RANK, Ints, Unsupported, Var, const, mb, prod
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import Shaped, ShapedOperand, View, reshape, static_shape, tensor, transpose

op = ai_onnx.op


@dataclass(frozen=True)
class _Term:
    """A tensor (a Var, a View or an array) and a letter for each of its axes."""

    labels: tuple[str, ...]
    x: Any

    def size(self, label: str) -> int:
        return _shape(self.x)[self.labels.index(label)]


@op
def Einsum(*Inputs: ShapedOperand, equation: str) -> Shaped:
    """Operands are taken from left to right, constants among each other first."""
    terms, result = _parsed(equation, [len(x.shape) for x in Inputs])
    operands = [_diagonal(_Term(labels, x)) for labels, x in zip(terms, Inputs, strict=True)]
    known = [term for term in operands if isinstance(term.x, np.ndarray)]
    if len(known) > 1:
        operands = [term for term in operands if not isinstance(term.x, np.ndarray)]
        kept = tuple(dict.fromkeys(label for term in known for label in term.labels))
        operands.append(_contracted_constants(known, kept))
    while len(operands) > 1:
        first, second, *rest = operands
        needed = {*result, *(label for term in rest for label in term.labels)}
        operands = [
            _product(_summed(first, needed | {*second.labels}), _summed(second, needed | {*first.labels}), needed),
            *rest,
        ]
    last = _summed(operands[0], set(result))
    found = transpose(last.x, [last.labels.index(label) for label in result])
    return found if len(result) > MAX_RANK else tensor(found)


def _parsed(equation: str, ranks: Sequence[int]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """The labels of each operand and of the result; those that an ellipsis stands for are numbers, from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    words = left.split(",")
    if len(words) != len(ranks):
        raise Unsupported(f"equation {equation!r} is of {len(words)} operands, given are {len(ranks)}")
    terms = [_labels(word, rank) for word, rank in zip(words, ranks, strict=True)]
    hidden = max((sum(label.isdigit() for label in term) for term in terms), default=0)
    ellipsis = tuple(str(place) for place in reversed(range(hidden)))
    if not arrow:
        letters = [label for term in terms for label in term if not label.isdigit()]
        return terms, (*ellipsis, *sorted(label for label in set(letters) if letters.count(label) == 1))
    before, dots, after = right.partition("...")
    return terms, (*before, *(ellipsis if dots else ()), *after)


def _labels(word: str, rank: int) -> tuple[str, ...]:
    before, dots, after = word.partition("...")
    hidden = rank - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        raise Unsupported(f"{word!r} does not name the axes of an operand of rank {rank}")
    return (*before, *(str(place) for place in reversed(range(hidden))), *after)


def _shape(x: Any) -> Ints:
    return tuple(x.shape)


def _static(x: Any) -> Ints:
    return x.shape if isinstance(x, np.ndarray) else static_shape(x)


def _diagonal(term: _Term) -> _Term:
    """A label that stands twice, once: every (n + 1)st of the n * n elements."""
    for label in dict.fromkeys(term.labels):
        while term.labels.count(label) > 1:
            places = [axis for axis, other in enumerate(term.labels) if other == label][:2]
            others = [axis for axis in range(len(term.labels)) if axis not in places]
            rest, size = [_static(term.x)[axis] for axis in others], _static(term.x)[places[0]]
            labels = (*(term.labels[axis] for axis in others), label)
            if isinstance(term.x, np.ndarray):
                term = _Term(labels, np.diagonal(term.x, 0, *places))
                continue
            square = reshape(transpose(term.x, [*others, *places]), (prod(rest), size * size))
            line = mb.slice_by_index(
                x=square, begin=[0, 0], end=[0, 0], stride=[1, size + 1], begin_mask=[True] * 2, end_mask=[True] * 2
            )
            term = _Term(labels, reshape(line, (*rest, size)))
    return term


def _contracted_constants(terms: Sequence[_Term], kept: tuple[str, ...]) -> _Term:
    numbers = {label: number for number, label in enumerate(kept)}
    arguments = [part for term in terms for part in (term.x, [numbers[label] for label in term.labels])]
    return _Term(kept, np.einsum(*arguments, list(range(len(kept)))))


def _summed(term: _Term, needed: set[str]) -> _Term:
    """Without the labels that nobody else has."""
    axes = [axis for axis, label in enumerate(term.labels) if label not in needed]
    if not axes:
        return term
    labels = tuple(label for label in term.labels if label in needed)
    if isinstance(term.x, np.ndarray):
        return _Term(labels, term.x.sum(tuple(axes)))
    if not isinstance(term.x, View):
        return _Term(labels, mb.reduce_sum(x=term.x, axes=axes, keep_dims=False))
    order = [axis for axis in range(len(term.labels)) if axis not in axes]
    kept = [term.x.shape[axis] for axis in order]
    rows = reshape(transpose(term.x, [*order, *axes]), (prod(kept), -(-prod(term.x.shape) // max(1, prod(kept)))))
    return _Term(labels, reshape(mb.reduce_sum(x=rows, axes=[1], keep_dims=False), kept))


def _product(first: _Term, second: _Term, needed: set[str]) -> _Term:
    """The two multiplied, and summed over what both have and nobody needs."""
    first, second = _without_ones(first, second), _without_ones(second, first)
    shared = [label for label in first.labels if label in second.labels]
    batch = [label for label in shared if label in needed]
    inner = [label for label in shared if label not in needed]
    left = [label for label in first.labels if label not in shared]
    right = [label for label in second.labels if label not in shared]
    labels = (*batch, *left, *right)
    if not inner and len(labels) <= MAX_RANK:
        x, y = _broadcast(first, labels), _broadcast(second, labels)
        return _Term(labels, mb.mul(x=_var(x, y), y=_var(y, x)))
    x, y = _arranged(first, [*batch, *left, *inner]), _arranged(second, [*batch, *inner, *right])
    if len(left) == len(inner) == len(right) == 1 and len(labels) <= MAX_RANK:
        return _Term(labels, mb.matmul(x=_var(x, y), y=_var(y, x)))
    sizes = {label: size for term in (first, second) for label, size in zip(term.labels, _static(term.x), strict=True)}
    groups = [[sizes[label] for label in group] for group in (batch, left, inner, right)]
    b, m, k, n = (prod(group) for group in groups)
    x, y = _reshaped(x, (b, m, k)), _reshaped(y, (b, k, n))
    return _Term(labels, _reshaped(mb.matmul(x=_var(x, y), y=_var(y, x)), (*groups[0], *groups[1], *groups[3])))


def _without_ones(term: _Term, other: _Term) -> _Term:
    """Without axes of size 1 that the other has larger: they broadcast."""
    kept = [
        axis
        for axis, label in enumerate(term.labels)
        if not (label in other.labels and _shape(term.x)[axis] == 1 and other.size(label) != 1)
    ]
    if len(kept) == len(term.labels):
        return term
    return _Term(tuple(term.labels[axis] for axis in kept), _reshaped(term.x, [_shape(term.x)[axis] for axis in kept]))


def _broadcast(term: _Term, labels: tuple[str, ...]) -> Any:
    """As a tensor with all these labels, of size 1 where the term lacks one; leading ones left out."""
    own = [label for label in labels if label in term.labels]
    first = labels.index(own[0]) if own else len(labels)
    shape = [term.size(label) if label in own else 1 for label in labels[first:]]
    return _reshaped(_arranged(term, own), shape)


def _arranged(term: _Term, labels: Sequence[str]) -> Any:
    order = [term.labels.index(label) for label in labels]
    return term.x.transpose(order) if isinstance(term.x, np.ndarray) else transpose(term.x, order)


def _reshaped(x: Any, shape: Sequence[int]) -> Any:
    return x.reshape(tuple(shape)) if isinstance(x, np.ndarray) else reshape(x, shape)


def _var(x: Any, beside: Any) -> Var:
    """A tensor; a constant in the type of what it meets."""
    return const(x, like=tensor(beside)) if isinstance(x, np.ndarray) else tensor(x)
