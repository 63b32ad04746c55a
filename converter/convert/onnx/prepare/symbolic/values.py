"""What the ops of shape arithmetic do to integers, each of which is a number, a polynomial in sizes, or unknown.

An array of such elements has dtype object; None is an unknown one. Booleans are Python's.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from converter.convert.onnx.prepare.symbolic.size import Number, Size, Symbols

Values: TypeAlias = np.ndarray  # of dtype object
Element: TypeAlias = Any  # int, bool, Size or None

MOST = 1024  # elements; a larger tensor is no shape
_INTEGERS = (2, 3, 4, 5, 6, 7, 9, 12, 13)  # and bool, as TensorProto.DataType has them
_OPS: dict[str, Callable[..., Any]] = {}


def computed(
    op_type: str, inputs: Sequence[Values | None], attributes: Mapping[str, Any], symbols: Symbols
) -> list[Values] | None:
    """The outputs of a node of ai.onnx, or None where the op or its inputs are beyond this."""
    function = _OPS.get(op_type)
    if function is None:
        return None
    try:
        found = function(symbols, inputs, attributes)
    except (ValueError, IndexError, TypeError, AttributeError):  # an input is unknown where it may not be, or is wrong
        return None
    results = found if isinstance(found, list) else [found]
    return results if all(isinstance(r, np.ndarray) and r.size <= MOST for r in results) else None


def of_array(value: np.ndarray) -> Values | None:
    """A constant's elements as Python's own; None for what is no shape."""
    return value.astype(object) if value.dtype.kind in "iub" and value.size <= MOST else None


def plain(values: Values, dtype: Any) -> np.ndarray | None:
    """The elements as an array of numbers, or None where some are not known."""
    if any(element is None or isinstance(element, Size) for element in values.reshape(-1)):
        return None
    return values.astype(dtype)


def _op(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        _OPS[name] = function
        return function

    return declare


def ints(values: Values) -> list[int]:
    """Elements that must be integers; TypeError where one is not."""
    elements = values.reshape(-1).tolist()
    if any(isinstance(element, Size) or element is None for element in elements):
        raise TypeError
    return [int(element) for element in elements]


def _each(function: Callable[..., Element], *arrays: Values) -> Values:
    """Element by element, broadcast; what meets an unknown element is unknown, unless the function takes it."""
    broadcast = np.broadcast_arrays(*arrays)
    out = np.empty(broadcast[0].shape, object)
    for place in np.ndindex(out.shape):
        out[place] = function(*(array[place] for array in broadcast))
    return out


def _known(function: Callable[..., Element]) -> Callable[..., Element]:
    return lambda *elements: None if any(element is None for element in elements) else function(*elements)


def _array(elements: Sequence[Element], shape: tuple[int, ...]) -> Values:
    out = np.empty(len(elements), object)
    out[:] = elements
    return out.reshape(shape)


def _arithmetic(op_type: str, function: Callable[[Symbols, Number, Number], Element]) -> None:
    def op(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
        if attributes.get("broadcast") or attributes.get("fmod"):
            raise TypeError
        return reduce(lambda a, b: _each(_known(lambda x, y: function(symbols, x, y)), a, b), inputs)

    _OPS[op_type] = op


def _remainder(symbols: Symbols, a: Number, b: Number) -> Element:
    whole = symbols.floor_quotient(a, b)
    return None if whole is None else a - whole * b


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


for _name, _function in {
    "Add": lambda symbols, a, b: a + b,
    "Sub": lambda symbols, a, b: a - b,
    "Mul": lambda symbols, a, b: a * b,
    "Div": lambda symbols, a, b: symbols.floor_quotient(a, b),
    "Mod": _remainder,
    "Min": lambda symbols, a, b: symbols.smaller(a, b),
    "Max": lambda symbols, a, b: symbols.larger(a, b),
    "Equal": lambda symbols, a, b: symbols.is_equal(a, b),
    "Less": lambda symbols, a, b: symbols.is_less(a, b),
    "Greater": lambda symbols, a, b: symbols.is_less(b, a),
    "LessOrEqual": lambda symbols, a, b: _not(symbols.is_less(b, a)),
    "GreaterOrEqual": lambda symbols, a, b: _not(symbols.is_less(a, b)),
    "And": lambda symbols, a, b: bool(a and b),
    "Or": lambda symbols, a, b: bool(a or b),
}.items():
    _arithmetic(_name, _function)


@_op("Not")
def _inverted(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return _each(_not, inputs[0])


@_op("Neg")
def _neg(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return _each(_known(lambda x: -x), inputs[0])


@_op("Identity")
def _identity(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return inputs[0]


@_op("Cast")
def _cast(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    if attributes["to"] not in _INTEGERS:
        raise TypeError
    if attributes["to"] == 9:
        return _each(lambda x: _not(symbols.is_equal(x, 0)) if x is not None else None, inputs[0])
    return _each(_known(lambda x: int(x) if isinstance(x, bool) else x), inputs[0])


@_op("Where")
def _where(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return _each(lambda c, x, y: (x if x == y else None) if c is None else x if c else y, *inputs)


@_op("Gather")
def _gather(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    data, places = inputs
    taken = np.take(data, np.array(ints(places), np.int64).reshape(places.shape), axis=attributes.get("axis", 0))
    return _array([taken], ()) if not isinstance(taken, np.ndarray) else taken


@_op("Slice")
def _slice(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    data, *given = inputs
    if not given:
        given = [np.array(attributes[name], object) for name in ("starts", "ends", "axes") if name in attributes]
    starts, ends = ints(given[0]), ints(given[1])
    axes = ints(given[2]) if len(given) > 2 and given[2] is not None else range(len(starts))
    steps = ints(given[3]) if len(given) > 3 and given[3] is not None else [1] * len(starts)
    places = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        places[axis] = slice(*slice(start, end, step).indices(data.shape[axis]))
        if places[axis].stop < 0:
            places[axis] = slice(places[axis].start, None, step)
    return data[tuple(places)]


@_op("Concat")
def _concat(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return np.concatenate(list(inputs), axis=attributes["axis"])


@_op("Split")
def _split(symbols: Symbols, inputs: Sequence[Values | None], attributes: Mapping[str, Any]) -> list[Values]:
    data, *split = inputs
    if data is None or (not split and "split" not in attributes):
        raise TypeError
    sizes = ints(split[0]) if split and split[0] is not None else list(attributes["split"])
    return list(np.split(data, np.cumsum(sizes)[:-1], axis=attributes.get("axis", 0)))


@_op("Squeeze")
def _squeeze(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    axes = ints(inputs[1]) if len(inputs) > 1 else attributes.get("axes")
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


@_op("Unsqueeze")
def _unsqueeze(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    axes = ints(inputs[1]) if len(inputs) > 1 else attributes["axes"]
    return np.expand_dims(inputs[0], tuple(axes))


@_op("Reshape")
def _reshape(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    shape = ints(inputs[1]) if len(inputs) > 1 else list(attributes["shape"])
    if not attributes.get("allowzero", 0):
        shape = [inputs[0].shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return inputs[0].reshape(shape)


@_op("Expand")
def _expand(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(ints(inputs[1])))
    return np.broadcast_to(inputs[0], shape)


@_op("Tile")
def _tile(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    return np.tile(inputs[0], ints(inputs[1]))


@_op("ConstantOfShape")
def _constant_of_shape(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
    value = attributes.get("value")
    if value is None or value.dtype.kind not in "iub":
        raise TypeError
    return np.full(ints(inputs[0]), value.reshape(-1).tolist()[0], object)


def _reduced(op_type: str, function: Callable[[Symbols, Number, Number], Element]) -> None:
    def op(symbols: Symbols, inputs: Sequence[Values], attributes: Mapping[str, Any]) -> Values:
        data = inputs[0]
        axes = ints(inputs[1]) if len(inputs) > 1 else attributes.get("axes")
        if data.ndim != 1 or (axes is not None and list(axes) not in ([0], [-1])) or not data.size:
            raise TypeError
        whole = reduce(_known(lambda a, b: function(symbols, a, b)), data.tolist())
        return _array([whole], (1,) if attributes.get("keepdims", 1) else ())

    _OPS[op_type] = op


_reduced("ReduceProd", lambda symbols, a, b: a * b)
_reduced("ReduceSum", lambda symbols, a, b: a + b)
_reduced("ReduceMin", lambda symbols, a, b: symbols.smaller(a, b))
_reduced("ReduceMax", lambda symbols, a, b: symbols.larger(a, b))
