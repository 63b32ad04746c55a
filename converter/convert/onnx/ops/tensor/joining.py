"""https://onnx.ai/onnx/operators, chapter tensor: tensors joined, split, repeated and padded."""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Ints,
    OutputCount,
    Unsupported,
    Var,
    cast,
    dtype_name,
    is_float,
    mb,
    normal_axis,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.indexing import Slice

op = ai_onnx.op


@op
def Concat(*inputs: Var, axis: int) -> Var:
    return inputs[0] if len(inputs) == 1 else mb.concat(values=inputs, axis=axis)


@op
def Split(
    input: Var, split: Ints | None = None, axis: int = 0, num_outputs: int | None = None, *, outputs: OutputCount
) -> tuple[Var, ...]:
    size = shape_of(input)[axis]
    if split is None:
        chunk = -(-size // outputs)
        split = tuple(min(chunk, size - chunk * place) for place in range(outputs))
    if min(split) <= 0:
        raise Unsupported("one of its results is empty, which Core ML cannot hold")
    return (input,) if len(split) == 1 else tuple(mb.split(x=input, split_sizes=split, axis=axis))


@op
def Tile(input: Var, repeats: Ints) -> Var:
    return mb.tile(x=input, reps=repeats) if any(r != 1 for r in repeats) else input


@op
def Pad(data: Var, *, mode: str = "constant", pads: Ints, value: float = 0.0) -> Var:
    return Pad_11(data, pads, np.array(value, np.float32), mode=mode)


@op
def Pad_11(
    data: Var, pads: Ints, constant_value: Array | None = None, axes: Ints | None = None, mode: str = "constant"
) -> Var:
    rank = len(data.shape)
    chosen = [normal_axis(a, rank) for a in axes] if axes is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for place, axis in enumerate(chosen):
        begins[axis], ends[axis] = pads[place], pads[place + len(chosen)]
    data = _cropped(data, begins, ends)
    pad = [max(0, p) for pair in zip(begins, ends, strict=True) for p in pair]
    if not any(pad):
        return data
    fill = 0 if constant_value is None else constant_value.reshape(-1)[0]
    match mode:
        case "constant" if is_float(data):
            return mb.pad(x=data, pad=pad, mode="constant", constant_val=float(fill))
        case "constant" | "reflect" | "edge" if not is_float(data):
            # Core ML pads floats only; float32 holds integers up to 2 ** 24.
            padded = Pad_11(cast(data, "fp32"), pads, np.array(float(fill)), axes, mode)
            return cast(padded, dtype_name(data))
        case "reflect" | "edge" if not any(pad[:-4]):
            return mb.pad(x=data, pad=pad[-4:], mode={"reflect": "reflect", "edge": "replicate"}[mode])
        case "wrap":
            return _wrapped(data, pad)
    raise Unsupported(f"mode = {mode!r} on these axes or this type")


def _cropped(data: Var, begins: list[int], ends: list[int]) -> Var:
    """Negative pads take away."""
    if min(*begins, *ends) >= 0:
        return data
    rank = len(begins)
    shape = shape_of(data)
    last = tuple(shape[a] + min(0, ends[a]) for a in range(rank))
    return Slice(data, tuple(max(0, -b) for b in begins), last, tuple(range(rank)))


def _wrapped(data: Var, pad: list[int]) -> Var:
    for axis in range(len(data.shape)):
        begin, end = pad[2 * axis : 2 * axis + 2]
        size = shape_of(data)[axis]
        if max(begin, end) > size:
            raise Unsupported("it wraps more than once around")
        before = [Slice(data, (size - begin,), (size,), (axis,))] if begin else []
        after = [Slice(data, (0,), (end,), (axis,))] if end else []
        data = mb.concat(values=[*before, data, *after], axis=axis) if before or after else data
    return data
