"""https://onnx.ai/onnx/operators, chapter tensor: tensors joined, split and repeated."""

from converter.convert.onnx.builder import (
    MAX_RANK,
    Ints,
    OutputCount,
    Unsupported,
    Var,
    mb,
    normal_axis,
    prod,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import is_static
from converter.convert.onnx.views import Shaped, empty, is_empty, reshape, static_shape, tensor, tile

op = ai_onnx.op


@op
def Concat(*inputs: Shaped, axis: int) -> Shaped:
    pieces = [x for x in inputs if not is_empty(x)] or inputs[:1]
    if len(pieces) == 1:
        return pieces[0]
    rank = len(pieces[0].shape)
    if rank <= MAX_RANK:
        return mb.concat(values=[tensor(x) for x in pieces], axis=axis)
    axis = normal_axis(axis, rank)
    shapes = [static_shape(x) for x in pieces]
    before, after = shapes[0][:axis], shapes[0][axis + 1 :]
    flat = [tensor(reshape(x, (prod(before), s[axis], prod(after)))) for x, s in zip(pieces, shapes, strict=True)]
    return reshape(mb.concat(values=flat, axis=1), (*before, sum(s[axis] for s in shapes), *after))


@op
def Split(
    input: Var, split: Ints | None = None, axis: int = 0, num_outputs: int | None = None, *, outputs: OutputCount
) -> tuple[Shaped, ...]:
    if split is None:
        if not is_static(input.shape[axis]):
            raise Unsupported("it splits a flexible dimension into equal parts")
        size = int(input.shape[axis])
        chunk = -(-size // outputs)
        split = tuple(max(0, min(chunk, size - chunk * place)) for place in range(outputs))
    sizes = [size for size in split if size]
    pieces = iter((input,) if len(sizes) == 1 else mb.split(x=input, split_sizes=sizes, axis=axis))
    axis = normal_axis(axis, len(input.shape))
    nothing = (*input.shape[:axis], 0, *input.shape[axis + 1 :])
    return tuple(next(pieces) if size else empty(nothing, input) for size in split)


@op
def Tile(input: Shaped, repeats: Ints) -> Shaped:
    return tile(input, repeats)
