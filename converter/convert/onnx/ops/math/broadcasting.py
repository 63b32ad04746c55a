"""https://onnx.ai/onnx/operators, chapter math: what is repeated so that shapes agree."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


def aligned(A: Var, B: Var, axis: int | None, broadcast: int) -> Var:
    """Before opset 7 the second operand was broadcast from `axis` on, and only where it was asked for."""
    if not broadcast or axis is None:
        return B
    rank, shape = len(A.shape), tuple(B.shape)
    after = rank - normal_axis(axis, rank) - len(shape)
    return reshape(B, (*shape, *[1] * after))


@op
def Expand(input: Var, shape: Ints) -> Var:
    given = shape_of(input)
    target = np.broadcast_shapes(given, tuple(shape))
    full = (*[1] * (len(target) - len(given)), *given)
    repeats = [size // old for size, old in zip(target, full, strict=True)]
    wide = reshape(input, full)
    return wide if prod(repeats) == 1 else mb.tile(x=wide, reps=repeats)
