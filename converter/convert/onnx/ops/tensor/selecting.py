"""https://onnx.ai/onnx/operators, chapter tensor: elements chosen by what they are.

How many they are Core ML often learns only when it runs.
"""

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    OutputCount,
    Unsupported,
    Var,
    cast,
    const,
    is_bool,
    is_var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.indexing import taken
from converter.convert.onnx.views import reshape, tensor, transpose

op = ai_onnx.op

_LARGEST_COMPARISON = 1 << 24  # elements compared with each other at once: 64 MB of float32


@op
def NonZero(X: Var) -> Var:
    """Core ML's list of places, [places, rank], turned; of a scalar that is not zero one place without coordinates."""
    if not X.shape:
        raise Unsupported("of a scalar the places have no coordinates, and Core ML no empty tensors")
    return mb.transpose(x=mb.non_zero(x=X), perm=(1, 0))


@op
def Compress(input: Var, condition: Operand, axis: int | None = None) -> Var:
    """What lies past the end of `condition` is left out."""
    if axis is None:
        input, axis = reshape(input, (prod(shape_of(input)),)), 0
    if is_var(condition):
        places = mb.squeeze(x=mb.non_zero(x=condition), axes=[1])
    else:
        places = const(np.flatnonzero(condition))
        if not places.shape[0]:
            raise Unsupported("its result is empty, which Core ML cannot hold")
    return taken(input, places, axis)


@op
def Unique(X: Var, axis: int | None = None, sorted: int = 1, *, outputs: OutputCount) -> tuple[Var, ...]:
    """Each element, or each slice along `axis`, is compared with all others; how many differ Core ML learns later."""
    shape = shape_of(X)
    axis = None if axis is None else normal_axis(axis, len(shape))
    count = prod(shape) if axis is None else shape[axis]
    if count * prod(shape) > _LARGEST_COMPARISON:
        raise Unsupported(f"it would compare {count} x {prod(shape)} elements, too many at once")
    numbers = cast(X, "int32") if is_bool(X) else X
    order = list(range(len(shape))) if axis is None else [axis, *(a for a in range(len(shape)) if a != axis)]
    rows = reshape(tensor(transpose(numbers, order)), (count, prod(shape) // count))
    one, other = mb.expand_dims(x=rows, axes=[1]), mb.expand_dims(x=rows, axes=[0])
    unequal = cast(mb.not_equal(x=one, y=other), "int32")
    same = mb.sub(x=1, y=mb.reduce_max(x=unequal, axes=[2], keep_dims=False))
    first = mb.reduce_argmax(x=same, axis=1, keep_dims=False)
    is_first = cast(mb.equal(x=first, y=const(np.arange(count))), "int32")
    places = mb.squeeze(x=mb.non_zero(x=is_first), axes=[1])
    if sorted:
        # How many first ones are less: by the first column in which two rows differ.
        decides = mb.equal(x=mb.cumsum(x=unequal, axis=2), y=1)
        below = mb.logical_and(x=mb.less(x=other, y=one), y=mb.logical_and(x=decides, y=cast(unequal, "bool")))
        less = mb.reduce_max(x=cast(below, "int32"), axes=[2], keep_dims=False)
        rank = mb.reduce_sum(x=mb.mul(x=less, y=mb.expand_dims(x=is_first, axes=[0])), axes=[1], keep_dims=False)
        ranks = mb.gather(x=rank, indices=places, axis=0)
        places = mb.gather(x=places, indices=mb.argsort(x=ranks, axis=0, ascending=True), axis=0)
    else:
        rank = mb.gather(x=mb.sub(x=mb.cumsum(x=is_first, axis=0), y=1), indices=first, axis=0)
    flat = reshape(X, (count,)) if axis is None else X
    results = [taken(flat, places, axis or 0), places, rank]
    if outputs > len(results):
        results.append(mb.gather(x=mb.reduce_sum(x=same, axes=[1], keep_dims=False), indices=places, axis=0))
    return tuple(results[:outputs])
