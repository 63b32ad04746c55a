"""The sizes of outputs where ONNX's inference stops: where flexible dimensions are added, divided or compared."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from converter.convert.onnx.prepare.symbolic.size import Number, Size, Symbols
from converter.convert.onnx.prepare.symbolic.values import Values

Shape: TypeAlias = tuple[Number, ...]
Sizes: TypeAlias = list[Number | None]  # None: not known
Some: TypeAlias = Sequence[Number | None]

_RULES: dict[str, Callable[..., Sizes]] = {}
_BROADCAST = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Mod",
    "Pow",
    "Min",
    "Max",
    "Sum",
    "Mean",
    "And",
    "Or",
    "Xor",
    "Equal",
    "Less",
    "Greater",
    "LessOrEqual",
    "GreaterOrEqual",
    "Where",
    "PRelu",
)


def inferred(
    op_type: str,
    shapes: Sequence[Shape | None],
    values: Sequence[Values | None],
    attributes: Mapping[str, Any],
    symbols: Symbols,
) -> Sizes | None:
    """The first output's shape as far as it is known; None where the op or its inputs are beyond this."""
    rule = _RULES.get(op_type)
    if rule is None:
        return None
    try:
        return rule(symbols, shapes, values, attributes)
    except (TypeError, IndexError, AttributeError, ValueError, KeyError):  # an input is unknown where it may not be
        return None


def product(sizes: Sequence[Number]) -> Number:
    return math.prod(sizes)


def reshaped(symbols: Symbols, shape: Shape, target: Sequence[Any], allowzero: int) -> Sizes:
    """What Reshape makes of a shape: 0 keeps the axis, -1 is what is left."""
    sizes: Sizes = [shape[axis] if size == 0 and not allowzero else size for axis, size in enumerate(target)]
    rest = [size for size in sizes if size != -1]
    if len(rest) < len(sizes):
        left = symbols.quotient(product(shape), product([size for size in rest if size is not None]))
        sizes[sizes.index(-1)] = left if None not in rest else None
    return sizes


def sliced(symbols: Symbols, size: Number, start: Any, end: Any, step: Any) -> Number | None:
    """How many elements a slice takes of an axis."""
    if not isinstance(step, int) or step == 0 or start is None or end is None:
        return None
    if step < 0:
        return size if step == -1 and start == -1 and isinstance(end, int) and end < -(1 << 31) + 1 else None
    first, last = (_place(symbols, place, size) for place in (start, end))
    if first is None or last is None:
        return None
    count = symbols.larger(last - first, 0)
    return count if count is None or step == 1 else symbols.floor_quotient(count + (step - 1), step)


def _place(symbols: Symbols, place: Number, size: Number) -> Number | None:
    """A place of a slice, counted from the front and kept within the axis."""
    if symbols.bounds(place)[1] < 0:
        return symbols.larger(place + size, 0)
    return symbols.smaller(place, size) if symbols.bounds(place)[0] >= 0 else None


def slices(
    rank: int, values: Sequence[Values | None], attributes: Mapping[str, Any]
) -> list[tuple[int, Any, Any, Any]]:
    """Axis, start, end and step of each axis that a Slice cuts; TypeError where an input is not known."""

    def given(index: int, name: str) -> list[Any] | None:
        if len(values) > index and values[index] is not None:
            found = values[index]
            return None if found is None else list(found.reshape(-1).tolist())
        return list(attributes[name]) if name in attributes else None

    starts, ends = given(1, "starts"), given(2, "ends")
    if starts is None or ends is None:
        raise TypeError
    axes = given(3, "axes") or list(range(len(starts)))
    steps = given(4, "steps") or [1] * len(starts)
    return [(axis % rank, *cut) for axis, *cut in zip(axes, starts, ends, steps, strict=True)]


def broadcast(symbols: Symbols, shapes: Sequence[Some | None]) -> Sizes:
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        raise TypeError
    rank = max(map(len, known))
    full = [(*[1] * (rank - len(shape)), *shape) for shape in known]
    return [_common(symbols, dims) for dims in zip(*full, strict=True)]


def _common(symbols: Symbols, dims: Some) -> Number | None:
    """The size that sizes broadcast to: of a valid model all that are not 1 are the same."""
    different = {dim for dim in dims if dim != 1}
    sure = [dim for dim in different if dim is not None and symbols.bounds(dim)[0] > 1]
    return sure[0] if sure else 1 if not different else next(iter(different)) if len(different) == 1 else None


def _rule(*names: str) -> Callable[[Callable[..., Sizes]], Callable[..., Sizes]]:
    def declare(function: Callable[..., Sizes]) -> Callable[..., Sizes]:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return declare


@_rule("Reshape")
def _reshape(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    target = values[1].tolist() if len(values) > 1 else list(attributes["shape"])
    return reshaped(symbols, shapes[0], target, attributes.get("allowzero", 0))


@_rule("Expand")
def _expand(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    return broadcast(symbols, [shapes[0], values[1].tolist()])


@_rule(*_BROADCAST)
def _elementwise(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    return broadcast(symbols, shapes)


@_rule("MatMul")
def _matmul(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    a, b = shapes
    if min(len(a), len(b)) < 2:
        raise TypeError
    return [*broadcast(symbols, [a[:-2], b[:-2]]), a[-2], b[-1]] if len(a) + len(b) > 4 else [a[-2], b[-1]]


@_rule("ConstantOfShape")
def _constant_of_shape(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    return list(values[0].tolist())


@_rule("Range")
def _range(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    start, limit, delta = (value.reshape(-1).tolist()[0] for value in values)
    if delta != 1 or start is None or limit is None:
        raise TypeError
    return [symbols.larger(limit - start, 0)]


@_rule("Slice")
def _slice(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    sizes: Sizes = list(shapes[0])
    for axis, start, end, step in slices(len(sizes), values, attributes):
        size = shapes[0][axis]
        sizes[axis] = sliced(symbols, size, start, end, step)
    return sizes


@_rule("Concat")
def _concat(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    axis = attributes["axis"] % len(shapes[0])
    sizes: Sizes = list(shapes[0])
    sizes[axis] = sum((shape[axis] for shape in shapes[1:]), shapes[0][axis])
    return sizes


@_rule("Tile")
def _tile(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    return [None if times is None else size * times for size, times in zip(shapes[0], values[1].tolist(), strict=True)]


@_rule("Flatten")
def _flatten(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    axis = attributes.get("axis", 1)
    axis += len(shapes[0]) if axis < 0 else 0
    return [product(shapes[0][:axis]), product(shapes[0][axis:])]


@_rule("Pad")
def _pad(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    rank = len(shapes[0])
    pads = values[1].reshape(-1).tolist() if len(values) > 1 else list(attributes["pads"])
    axes = values[3].tolist() if len(values) > 3 and values[3] is not None else list(range(rank))
    sizes: Sizes = list(shapes[0])
    for place, axis in enumerate(axes):
        sizes[axis % rank] = shapes[0][axis % rank] + pads[place] + pads[place + len(axes)]
    return sizes


@_rule("Conv", "MaxPool", "AveragePool", "LpPool")
def _windows(symbols: Symbols, shapes: Any, values: Any, attributes: Any) -> Sizes:
    """A window's count along each axis, [N, C, ...]; rounded up where ceil_mode asks for it."""
    batch, channels, *spatial = shapes[0]
    count = len(spatial)
    kernel = attributes.get("kernel_shape") or [int(size) for size in shapes[1][2:]]
    strides, dilations = (attributes.get(name) or [1] * count for name in ("strides", "dilations"))
    pads = attributes.get("pads") or [0] * 2 * count
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or attributes.get("ceil_mode", 0):
        return [batch, shapes[1][0] if len(shapes) > 1 else channels, *[None] * count]
    sizes: Sizes = [batch, shapes[1][0] if len(shapes) > 1 else channels]
    for axis, size in enumerate(spatial):
        room = size + pads[axis] + pads[axis + count] - dilations[axis] * (kernel[axis] - 1) - 1
        steps = symbols.floor_quotient(room, strides[axis])
        sizes.append(None if steps is None else steps + 1)
    return sizes


def is_flexible(shape: Shape | None) -> bool:
    return shape is not None and any(isinstance(size, Size) for size in shape)
