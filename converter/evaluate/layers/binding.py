"""A layer's protobuf message as keyword arguments: only the fields that are set, by their own names."""

import typing
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.layers.table import messages
from converter.evaluate.layers.weights import Weights
from converter.evaluate.mapped import Mapped
from converter.registry import BindError, Op

Nested = Callable[[Any], Any]
"""What a nested network's message becomes."""


def arguments(message: Any, nested: Nested, file: Mapped | None = None) -> dict[str, Any]:
    """The set fields; enumerations as names, repeated fields as tuples, messages through their table.

    `file` is where large weights were left. Raises EvaluationError for a field, a message or an enumeration's number
    that nobody here knows.
    """
    if len(UnknownFieldSet(message)):
        raise EvaluationError(
            f"{message.DESCRIPTOR.name} has fields that this version of coremltools does not know",
            fix="update coremltools",
        )
    return {field.name: _value(field, value, nested, file) for field, value in message.ListFields()}


def check(op: Op, inputs: Sequence[str], named: dict[str, Any]) -> None:
    """Raise EvaluationError unless the inputs and fields fit the layer's function."""
    acceptable = [p for p in op.parameters if Tensor in (p.annotation, *typing.get_args(p.annotation))]
    if len(inputs) > len(acceptable) and not any(p.variadic for p in acceptable):
        raise EvaluationError(f"takes at most {len(acceptable)} inputs, has {len(inputs)}")
    if not inputs and any(p.variadic for p in acceptable):
        raise EvaluationError("takes at least one input, has none")
    try:
        op.bind(inputs, unshadowed(op, inputs, named))
    except BindError as error:
        raise EvaluationError(str(error)) from error


def unshadowed(op: Op, inputs: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The fields for which no input stands."""
    if any(p.variadic for p in op.parameters):
        return named
    taken = {p.name for p in op.parameters[: len(inputs)]}
    return {name: value for name, value in named.items() if name not in taken}


def _value(field: Any, value: Any, nested: Nested, file: Mapped | None) -> Any:
    if field.is_repeated:
        return tuple(_single(field, item, nested, file) for item in value)
    return _single(field, value, nested, file)


def _single(field: Any, value: Any, nested: Nested, file: Mapped | None) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        if known is None:
            raise EvaluationError(f"{field.name} is {value}, which {field.enum_type.name} does not have")
        return known.name
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return value
    name = field.message_type.name
    if name == "WeightParams":
        return Weights(value, file)
    if name == "NeuralNetwork":
        return nested(value)
    op = messages.find(name, 1)
    if op is None:
        raise EvaluationError(f"{field.name} ({name}) is not supported here")
    try:
        return op.bind((), arguments(value, nested, file))()
    except BindError as error:
        raise EvaluationError(f"{field.name} ({name}): {error}") from error
