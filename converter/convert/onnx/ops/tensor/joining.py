"""https://onnx.ai/onnx/operators, chapter tensor: tensors joined, split and repeated."""

from converter.convert.onnx.builder import (
    Ints,
    OutputCount,
    Unsupported,
    Var,
    mb,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import is_static

op = ai_onnx.op


@op
def Concat(*inputs: Var, axis: int) -> Var:
    return inputs[0] if len(inputs) == 1 else mb.concat(values=inputs, axis=axis)


@op
def Split(
    input: Var, split: Ints | None = None, axis: int = 0, num_outputs: int | None = None, *, outputs: OutputCount
) -> tuple[Var, ...]:
    if split is None:
        if not is_static(input.shape[axis]):
            raise Unsupported("it splits a flexible dimension into equal parts")
        size = int(input.shape[axis])
        chunk = -(-size // outputs)
        split = tuple(min(chunk, size - chunk * place) for place in range(outputs))
    if min(split) <= 0:
        raise Unsupported("one of its results is empty, which Core ML cannot hold")
    return (input,) if len(split) == 1 else tuple(mb.split(x=input, split_sizes=split, axis=axis))


@op
def Tile(input: Var, repeats: Ints) -> Var:
    return mb.tile(x=input, reps=repeats) if any(r != 1 for r in repeats) else input
