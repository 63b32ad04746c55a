"""https://onnx.ai/onnx/operators, chapter math: what is repeated so that shapes agree."""

from collections.abc import Sequence

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    Sizes,
    Var,
    is_var,
    mb,
    normal_axis,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import Size, is_flexible, size_of, vector
from converter.convert.onnx.views import Shaped, View, empty, reshape, static_shape, tile

op = ai_onnx.op


def aligned(A: Operand, B: Operand, axis: int | None, broadcast: int) -> Operand:
    """Before opset 7 the second operand was broadcast from `axis` on, and only where it was asked for."""
    if not broadcast or axis is None:
        return B
    rank, shape = len(A.shape), tuple(B.shape)
    after = rank - normal_axis(axis, rank) - len(shape)
    shape = (*shape, *[1] * after)
    return reshape(B, shape) if is_var(B) else B.reshape(shape)


@op
def Expand(input: Shaped, shape: Sizes) -> Shaped:
    if not isinstance(input, View) and (is_flexible(input) or any(is_var(size) for size in shape)):
        return _expanded(input, shape)
    given = static_shape(input)
    target = np.broadcast_shapes(given, tuple(shape))
    full = (*[1] * (len(target) - len(given)), *given)
    if 0 in target:
        return empty(target, input)
    return tile(reshape(input, full), [size // old for size, old in zip(target, full, strict=True)])


def _expanded(x: Var, shape: Sequence[Size]) -> Var:
    """Where sizes are flexible. What is computed may turn out to be 1, which leaves an axis as it is."""
    rank = max(len(shape), len(x.shape))
    if len(x.shape) < rank:
        x = mb.expand_dims(x=x, axes=list(range(rank - len(x.shape))))
    target: list[Size] = [*[1] * (rank - len(shape)), *shape]
    repeats: list[Size] = []
    for axis, size in enumerate(target):
        own = size_of(x, axis)
        if (not is_var(size) and size == 1) or (not is_var(own) and own > 1):
            repeats.append(1)
        elif not is_var(own):
            repeats.append(size)
        else:
            repeats.append(mb.maximum(x=mb.floor_div(x=size, y=own), y=1))
    return x if all(not is_var(times) and times == 1 for times in repeats) else mb.tile(x=x, reps=vector(repeats))
