"""https://onnx.ai/onnx/operators, chapter logical: bits, which Core ML does not have and arithmetic says.

A bit is the remainder by 2 of a quotient rounded down, of negative numbers too. No step leaves int32. Numbers of 64
bits and unsigned ones of 32 are taken where they lie in int32, as everywhere; their bits beyond copy the sign.
"""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    ElementTypes,
    Operand,
    Unsupported,
    Var,
    const,
    is_var,
    mb,
    prod,
    shape_of,
)
from converter.convert.onnx.integers import bits_of, is_signed, wrapped
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op

_LARGEST_POWER = 30  # of two, in int32


@op
def BitwiseAnd(A: Operand, B: Operand, *, types: ElementTypes) -> Var:
    return _bitwise(A, B, types, lambda x, y: mb.minimum(x=x, y=y))


@op
def BitwiseOr(A: Operand, B: Operand, *, types: ElementTypes) -> Var:
    return _bitwise(A, B, types, lambda x, y: mb.maximum(x=x, y=y))


@op
def BitwiseXor(A: Operand, B: Operand, *, types: ElementTypes) -> Var:
    return _bitwise(A, B, types, lambda x, y: mb.abs(x=mb.sub(x=x, y=y)))


@op
def BitwiseNot(X: Var, *, types: ElementTypes) -> Var:
    if is_signed(types[0]):
        return mb.sub(x=-1, y=X)
    if bits_of(types[0]) > 16:
        raise Unsupported(f"no result of type {types[0]} would fit Core ML's 32 bits")
    return mb.sub(x=(1 << bits_of(types[0])) - 1, y=X)


def _bitwise(A: Operand, B: Operand, types: ElementTypes, combine: Callable[[Var, Var], Var]) -> Var:
    """Every number as its bits along a new last axis, the two combined, and the numbers of the result."""
    shape = np.broadcast_shapes(_shape(A), _shape(B))
    rank = len(shape)
    if rank > 4:
        return reshape(_bitwise(_flat(A, shape), _flat(B, shape), types, combine), shape)
    width = min(bits_of(types[0]), 32)
    powers = [1 << min(place, _LARGEST_POWER) for place in range(width)]
    combined = combine(_bits(A, rank, powers), _bits(B, rank, powers))
    signed = is_signed(types[0]) or width == 32
    weights = np.array([1 << place for place in range(width - 1)] + [(-1 if signed else 1) << width - 1], np.int64)
    return mb.reduce_sum(x=mb.mul(x=combined, y=const(weights)), axes=[-1], keep_dims=False)


def _shape(x: Operand) -> tuple[int, ...]:
    return shape_of(x) if is_var(x) else x.shape


def _flat(x: Operand, shape: tuple[int, ...]) -> Operand:
    if not is_var(x):
        return np.broadcast_to(x, shape).reshape(-1)
    if shape_of(x) != shape:
        x = mb.add(x=x, y=const(np.zeros(shape, np.int32)))
    return reshape(x, (prod(shape),))


def _bits(x: Operand, rank: int, powers: list[int]) -> Var:
    """[...] to [..., bits], of rank `rank` + 1, each 0 or 1; bit 31 by a second halving."""
    second = [2 if place > _LARGEST_POWER else 1 for place in range(len(powers))]
    if not is_var(x):
        columns = x.reshape((*[1] * (rank - x.ndim), *x.shape, 1)).astype(np.int64)
        return const(columns // np.array(powers) // np.array(second) % 2)
    columns = mb.expand_dims(x=x, axes=[-1])
    if not x.shape:
        columns = mb.reshape(x=x, shape=(1,))
    quotient = mb.floor_div(x=columns, y=const(np.array(powers)))
    if max(second) > 1:
        quotient = mb.floor_div(x=quotient, y=const(np.array(second)))
    return mb.mod(x=quotient, y=2)


@op
def BitShift(X: Var, Y: Operand, *, direction: str, types: ElementTypes) -> Var:
    if direction == "RIGHT":
        return _shifted_right(X, Y)
    if direction == "LEFT":
        return _shifted_left(X, Y, types[0])
    raise Unsupported(f"direction = {direction!r} is not known")


def _shifted_right(X: Var, Y: Operand) -> Var:
    """By 31, also for every shift out of range: what is left then is the sign."""
    places = np.where((Y < 0) | (Y > 31), 31, Y) if not is_var(Y) else _where_outside(Y, 32, 31)
    first = _of(np.array([1 << min(place, _LARGEST_POWER) for place in range(32)]), places)
    second = _of(np.array([2 if place > _LARGEST_POWER else 1 for place in range(32)]), places)
    return mb.floor_div(x=mb.floor_div(x=X, y=first), y=second)


def _shifted_left(X: Var, Y: Operand, element_type: str) -> Var:
    """The bits that stay are multiplied; the one that comes to stand at the top of 32 is the sign.

    A shift out of range drops every bit, which is what place `bits` of the tables says.
    """
    bits = min(bits_of(element_type), 32)
    if is_var(Y):
        places = _where_outside(Y, bits, bits)
    elif bits_of(element_type) > 32 and (Y > _LARGEST_POWER).any():
        raise Unsupported("a shift by more than 30 places would leave Core ML's 32 bits")
    else:
        places = np.where((Y < 0) | (bits <= Y), bits, Y)
    factor = _of(np.array([1 << min(place, _LARGEST_POWER) for place in range(bits)] + [0]), places)
    if bits < 32:
        return wrapped(mb.mul(x=X, y=factor), element_type)
    modulus = _of(np.array([1 << min(31 - place, _LARGEST_POWER) for place in range(32)] + [1]), places)
    # By 0 places nothing is dropped, but 2 ** 31 is no int32: half of that number, counted twice.
    doubled = _of(np.array([2] + [1] * 32), places)
    sign = _of(np.array([-(1 << 31)] * 32 + [0]), places)
    quotient = mb.floor_div(x=X, y=modulus)
    low = mb.mul(x=mb.mod(x=X, y=modulus), y=factor)
    middle = mb.mul(x=mb.mul(x=mb.mod(x=quotient, y=doubled), y=modulus), y=factor)
    top = mb.mod(x=mb.floor_div(x=quotient, y=doubled), y=2)
    return mb.add(x=mb.add(x=low, y=middle), y=mb.mul(x=top, y=sign))


def _where_outside(places: Var, count: int, instead: int) -> Var:
    """Places of 0 to count - 1, and `instead` for all others."""
    outside = mb.logical_or(x=mb.less(x=places, y=0), y=mb.greater_equal(x=places, y=count))
    return mb.select(cond=outside, a=instead, b=places)


def _of(table: Array, places: Operand) -> Var:
    if not is_var(places):
        return const(table[places])
    if not places.shape:
        return mb.squeeze(x=mb.gather(x=const(table), indices=mb.expand_dims(x=places, axes=[0]), axis=0), axes=[0])
    return mb.gather(x=const(table), indices=places, axis=0)
