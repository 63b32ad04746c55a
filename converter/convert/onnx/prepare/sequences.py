"""Sequences and optionals, which Core ML has not, followed from where they are made to where they are taken apart."""

# ruff: noqa: N802  the functions are named as the standard's ops

from collections.abc import Sequence

import numpy as np

from converter.convert.onnx.builder import NotConstant, Unsupported
from converter.convert.onnx.prepare.scope import Absent, Call, Listed, Value, tensors
from converter.convert.onnx.prepare.walk import Walk


def Identity(walk: Walk, call: Call) -> Sequence[Value]:
    return call.inputs


def SequenceEmpty(walk: Walk, call: Call) -> Sequence[Value]:
    return [Listed(())]


def SequenceConstruct(walk: Walk, call: Call) -> Sequence[Value]:
    return [Listed(call.inputs)]


def SequenceInsert(walk: Walk, call: Call) -> Sequence[Value]:
    elements = _elements(call)
    place = _position(walk, call, 2, len(elements), len(elements) + 1)
    return [Listed((*elements[:place], call.inputs[1], *elements[place:]))]


def SequenceErase(walk: Walk, call: Call) -> Sequence[Value]:
    elements = _elements(call)
    place = _position(walk, call, 1, len(elements) - 1, len(elements))
    return [Listed((*elements[:place], *elements[place + 1 :]))]


def SequenceAt(walk: Walk, call: Call) -> Sequence[Value]:
    elements = _elements(call)
    return [elements[_position(walk, call, 1, 0, len(elements))]]


def SequenceLength(walk: Walk, call: Call) -> Sequence[Value]:
    return [walk.constant(np.array(len(_elements(call)), np.int64))]


def SplitToSequence(walk: Walk, call: Call) -> Sequence[Value]:
    name, given = tensors(call.inputs)[0], call.inputs[1] if len(call.inputs) > 1 else ""
    axis = call.attribute("axis", 0)
    shape = walk.types[name].shape if name in walk.types else None
    size = shape[axis] if shape is not None else None
    if not isinstance(size, int):
        raise Unsupported("the length of what it splits must be known at conversion")
    split = walk.known(given)
    if given and split is None:
        raise NotConstant("split")
    lengths = _lengths(size, split)
    if 0 in lengths:
        raise Unsupported("one of its results is empty, which Core ML cannot hold")
    parts = walk.op("Split", name, walk.constant(np.array(lengths, np.int64)), outputs=len(lengths), axis=axis)
    if split is None and not call.attribute("keepdims", 1):
        axes = walk.constant(np.array([axis], np.int64))
        parts = [walk.op("Squeeze", part, axes)[0] for part in parts]
    return [Listed(tuple(parts))]


def _lengths(size: int, split: np.ndarray | None) -> list[int]:
    """Without `split` all are 1; of a scalar the last may be shorter."""
    if split is None:
        return [1] * size
    if split.ndim:
        return [int(length) for length in split]
    chunk = int(split)
    return [min(chunk, size - begin) for begin in range(0, size, chunk)]


def ConcatFromSequence(walk: Walk, call: Call) -> Sequence[Value]:
    names = tensors(_elements(call))
    if not names:
        raise Unsupported("its sequence is empty")
    axis = call.attribute("axis")
    if call.attribute("new_axis", 0):
        axes = walk.constant(np.array([axis], np.int64))
        names = [walk.op("Unsqueeze", name, axes)[0] for name in names]
    return walk.op("Concat", *names, axis=axis)


def SequenceMap(walk: Walk, call: Call) -> Sequence[Value]:
    body = call.attribute("body")
    elements = _elements(call)
    results = []
    for index, element in enumerate(elements):
        others = [value.elements[index] if isinstance(value, Listed) else value for value in call.inputs[1:]]
        results.append(walk.enclosed(body, [element, *others], call.scope.within(f"{call.prefix}{index}/")))
    return [Listed(tuple(row[place] for row in results)) for place in range(len(body.output))]


def Optional(walk: Walk, call: Call) -> Sequence[Value]:
    return [call.inputs[0] if call.inputs and call.inputs[0] else Absent()]


def OptionalHasElement(walk: Walk, call: Call) -> Sequence[Value]:
    value = call.inputs[0] if call.inputs else ""
    return [walk.constant(np.array(bool(value) and not isinstance(value, Absent)))]


def OptionalGetElement(walk: Walk, call: Call) -> Sequence[Value]:
    if isinstance(call.inputs[0], Absent):
        raise Unsupported("its optional holds nothing")
    return call.inputs


def _elements(call: Call) -> tuple[Value, ...]:
    sequence = call.inputs[0]
    if not isinstance(sequence, Listed):
        raise Unsupported("its sequence is not made in the model where it is known at conversion")
    return sequence.elements


def _position(walk: Walk, call: Call, index: int, default: int, count: int) -> int:
    """The place in a sequence that an input gives, of `count` places there are."""
    given = call.inputs[index] if len(call.inputs) > index else ""
    if not given:
        return default
    known = walk.known(given)
    if known is None:
        raise NotConstant("position")
    place = int(known.reshape(-1)[0])
    size = len(_elements(call))
    if not -size <= place < count:
        raise Unsupported(f"its position {place} lies outside a sequence of {size}")
    return place + size if place < 0 else place


OPENERS = {
    function.__name__: function
    for function in (
        Identity,
        SequenceEmpty,
        SequenceConstruct,
        SequenceInsert,
        SequenceErase,
        SequenceAt,
        SequenceLength,
        SplitToSequence,
        ConcatFromSequence,
        SequenceMap,
        Optional,
        OptionalHasElement,
        OptionalGetElement,
    )
}
