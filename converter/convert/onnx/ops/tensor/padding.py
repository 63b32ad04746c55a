"""https://onnx.ai/onnx/operators, chapter tensor: elements put around a tensor, or taken from around it."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    is_bool,
    is_float,
    is_var,
    mb,
    normal_axis,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.indexing import Slice

op = ai_onnx.op

_PADS = {"reflect": "reflect", "edge": "replicate"}


@op
def Pad(data: Var, *, mode: str = "constant", pads: Ints, value: float = 0.0) -> Var:
    return Pad_11(data, pads, np.array(value, np.float32), mode=mode)


@op
def Pad_11(
    data: Var, pads: Ints, constant_value: Operand = None, axes: Ints | None = None, mode: str = "constant"
) -> Var:
    """Core ML's `pad` where it can: floats, a known value, and by other elements on the last two axes only.

    It copies what it takes; everything else is joined from pieces, exact for integers too.
    """
    rank = len(data.shape)
    chosen = [normal_axis(a, rank) for a in axes] if axes is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for place, axis in enumerate(chosen):
        begins[axis], ends[axis] = pads[place], pads[place + len(chosen)]
    data = _cropped(data, begins, ends)
    pad = [max(0, p) for pair in zip(begins, ends, strict=True) for p in pair]
    if not any(pad):
        return data
    if mode == "constant" and is_float(data) and not is_var(constant_value):
        fill = 0.0 if constant_value is None else float(constant_value.reshape(-1)[0])
        return mb.pad(x=data, pad=pad, mode="constant", constant_val=fill)
    if mode in _PADS and is_float(data) and rank > 2 and not any(pad[:-4]) and _within(data, pad):
        return mb.pad(x=data, pad=pad[-4:], mode=_PADS[mode])
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise Unsupported(f"mode = {mode!r} is not known")
    numbers = cast(data, "int32") if is_bool(data) else data
    if mode == "constant" and is_bool(data) and constant_value is not None:
        constant_value = cast(constant_value, "int32") if is_var(constant_value) else constant_value.astype(np.int32)
    for axis in range(rank):
        numbers = _joined(numbers, axis, pad[2 * axis], pad[2 * axis + 1], mode, constant_value)
    return cast(numbers, "bool") if is_bool(data) else numbers


def _within(data: Var, pad: list[int]) -> bool:
    """Whether nothing is mirrored twice; what is flexible is believed to be large enough."""
    return all(
        max(pad[2 * axis : 2 * axis + 2]) < size
        for axis, size in enumerate(data.shape)
        if isinstance(size, int | np.integer)
    )


def _cropped(data: Var, begins: list[int], ends: list[int]) -> Var:
    """Negative pads take away."""
    if min(*begins, *ends) >= 0:
        return data
    rank = len(begins)
    shape = shape_of(data)
    last = tuple(shape[a] + min(0, ends[a]) for a in range(rank))
    return Slice(data, tuple(max(0, -b) for b in begins), last, tuple(range(rank)))


def _joined(x: Var, axis: int, begin: int, end: int, mode: str, fill: Operand) -> Var:
    """`x` between pieces of `begin` and `end` elements along one axis."""
    if not begin and not end:
        return x
    size = shape_of(x)[axis]
    if mode == "constant":
        before, after = _filled(x, axis, begin, fill), _filled(x, axis, end, fill)
    elif mode == "edge":
        before = _repeated(Slice(x, (0,), (1,), (axis,)), axis, begin)
        after = _repeated(Slice(x, (size - 1,), (size,), (axis,)), axis, end)
    else:
        # Mirrored without its edge, or begun again; as often as it takes to reach that far.
        period = np.arange(size) if mode == "wrap" else np.concatenate([np.arange(size), np.arange(size - 2, 0, -1)])
        places = period[np.arange(-begin, size + end) % len(period)]
        return mb.gather(x=x, indices=const(places), axis=axis)
    pieces = [piece for piece in (before, x, after) if piece is not None]
    return mb.concat(values=pieces, axis=axis)


def _filled(x: Var, axis: int, count: int, fill: Operand) -> Var | None:
    if not count:
        return None
    shape = [count if a == axis else size for a, size in enumerate(shape_of(x))]
    if is_var(fill):
        return mb.tile(x=mb.reshape(x=fill, shape=[1] * len(shape)), reps=shape)
    number = np.zeros((), np.int32) if fill is None else fill.reshape(())
    return const(np.full(shape, number), like=x)


def _repeated(x: Var, axis: int, count: int) -> Var | None:
    if not count:
        return None
    return mb.tile(x=x, reps=[count if a == axis else 1 for a in range(len(x.shape))]) if count > 1 else x
