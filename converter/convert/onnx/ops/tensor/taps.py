"""Sums of elements that lie wherever the model, or a constant, says.

The places of a constant are worked out in numpy, those of a computed tensor in the model, by the same formulas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from converter.convert.onnx.builder import Array, Operand, Var, cast, const, dtype_name, is_var, mb, prod, shape_of
from converter.convert.onnx.views import reshape, transpose

# MIL's operations as far as places need them. Numbers are int32 or float32, as in the model.
_NUMPY = SimpleNamespace(
    abs=lambda x: np.abs(x),
    add=lambda x, y: _narrow(x + y),
    cast=lambda x, dtype: x.astype({"int32": np.int32, "fp32": np.float32}[dtype]),
    clip=lambda x, alpha, beta: np.clip(x, np.float32(alpha), np.float32(beta)),
    concat=lambda values, axis: np.concatenate(values, axis),
    expand_dims=lambda x, axes: np.expand_dims(x, tuple(axes)),
    floor=lambda x: np.floor(x),
    greater=lambda x, y: x > y,
    greater_equal=lambda x, y: x >= y,
    less=lambda x, y: x < y,
    less_equal=lambda x, y: x <= y,
    logical_and=lambda x, y: x & y,
    logical_or=lambda x, y: x | y,
    maximum=lambda x, y: _narrow(np.maximum(x, y)),
    mod=lambda x, y: _narrow(np.mod(x, y)),
    mul=lambda x, y: _narrow(x * y),
    reshape=lambda x, shape: x.reshape(shape),
    round=lambda x: np.round(x),
    select=lambda cond, a, b: _narrow(np.where(cond, a, b)),
    split=lambda x, num_splits, axis: np.split(x, num_splits, axis),
    stack=lambda values, axis: np.stack(values, axis),
    sub=lambda x, y: _narrow(x - y),
    tile=lambda x, reps: np.tile(x, reps),
)


def _narrow(x: Any) -> Array:
    array: Array = np.asarray(x)
    return array.astype({"i": np.int32, "f": np.float32}.get(array.dtype.kind, array.dtype))


def arithmetic(*values: Operand) -> Any:
    """Where these are computed: in the model if one of them is, else in numpy."""
    return mb if any(is_var(value) for value in values) else _NUMPY


@dataclass(frozen=True)
class Taps:
    """Along one axis the elements [batch, points, taps] that a point is a sum of, and their float32 weights."""

    index: Operand
    weight: Operand | None  # None: all are 1


def gathered(X: Var, images: Operand, taps: Sequence[Taps]) -> Var:
    """X [N, C, sides] at points: [batch, points, C]; `images` [batch, 1, 1] are places on X's first axis."""
    flat, weight = joined(X, images, taps)
    batch, points, count = flat.shape
    read = elements(X, flat)
    if weight is None:
        return reshape(read, (batch, points, shape_of(X)[1]))
    rows = arithmetic(weight).reshape(x=weight, shape=(batch, points, 1, count))
    rows = cast(rows, dtype_name(X)) if is_var(rows) else _as(rows, X)
    return mb.squeeze(x=mb.matmul(x=rows, y=read), axes=[2])


def _as(rows: Array, like: Var) -> Var:
    return const(rows.astype(np.int32) if dtype_name(like) == "int32" else rows, like=like)


def joined(X: Var, images: Operand, taps: Sequence[Taps]) -> tuple[Operand, Operand | None]:
    """The taps of all axes in one: places in X flattened but for its channels, and their weights."""
    index: Operand = images
    weight: Operand | None = None
    for side, axis in zip(shape_of(X)[2:], taps, strict=True):
        batch, points, count = axis.index.shape
        before = arithmetic(index)
        outer = before.expand_dims(x=before.mul(x=index, y=np.int32(side)), axes=[3])
        inner = arithmetic(axis.index).expand_dims(x=axis.index, axes=[2])
        shape = (batch, points, index.shape[2] * count)
        both = arithmetic(outer, inner)
        index = both.reshape(x=both.add(x=outer, y=inner), shape=shape)
        if axis.weight is not None and weight is None:
            weight = axis.weight
        elif axis.weight is not None:
            parts = [arithmetic(x).expand_dims(x=x, axes=[at]) for x, at in ((weight, 3), (axis.weight, 2))]
            both = arithmetic(*parts)
            weight = both.reshape(x=both.mul(x=parts[0], y=parts[1]), shape=shape)
    return index, weight


def elements(X: Var, flat: Operand) -> Var:
    """What lies at places of X flattened but for its channels: [batch, points, taps, C]."""
    size, channels, *sides = shape_of(X)
    order = (0, *range(2, 2 + len(sides)), 1)
    rows = reshape(transpose(X, order), (size * prod(sides), channels))
    return mb.gather(x=rows, indices=flat if is_var(flat) else const(flat), axis=0)
