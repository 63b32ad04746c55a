"""What the names of a graph stand for: tensors by name, and sequences and optionals as long as they can be followed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from converter.convert.onnx.builder import Unsupported
from converter.convert.onnx.prepare.protos import attribute_value

AI_ONNX = ("", "ai.onnx")


@dataclass(frozen=True)
class Listed:
    """A sequence whose elements are known one by one; `proto` is its type, where it says one."""

    elements: tuple["Value", ...]
    proto: onnx.TypeProto | None = None


@dataclass(frozen=True)
class Absent:
    """An optional that holds nothing."""


Value: TypeAlias = (
    str | Listed | Absent
)  # a tensor goes by its name, which is unique in the whole model; '' is left out


class Scope:
    """What the names of one graph or function body stand for. A graph sees the scope around it, a function does not."""

    def __init__(
        self,
        opsets: Mapping[str, int],
        prefix: str = "",
        outer: "Scope | None" = None,
        attributes: Mapping[str, onnx.AttributeProto] | None = None,
    ) -> None:
        self.opsets = opsets
        self.prefix = prefix  # of the names of its own values
        self.outer = outer
        self.attributes = attributes or {}  # of the function call
        self.values: dict[str, Value] = {}

    def find(self, name: str) -> Value:
        if not name or name in self.values:
            return self.values.get(name, "")
        return self.outer.find(name) if self.outer is not None else name

    def within(self, prefix: str) -> "Scope":
        """Of a graph inside this one."""
        return Scope(self.opsets, prefix, self, self.attributes)


@dataclass(frozen=True)
class Call:
    """A node as it stands in its scope: inputs resolved, attributes as protobuf, outputs by the scope's own names."""

    op_type: str
    domain: str
    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, onnx.AttributeProto]
    scope: Scope

    @property
    def opset(self) -> int:
        return self.scope.opsets.get(self.domain, 0)

    @property
    def prefix(self) -> str:
        """Of what is opened in its place."""
        own = self.name or next((f"{self.scope.prefix}{name}" for name in self.outputs if name), self.op_type)
        return f"{own}/"

    def attribute(self, name: str, default: Any = None) -> Any:
        return attribute_value(self.attributes[name]) if name in self.attributes else default


def attributes(proto: onnx.NodeProto, scope: Scope) -> dict[str, onnx.AttributeProto]:
    """A node's attributes; one that refers to its function's takes the value of the call, or is left out with it."""
    given = {}
    for attribute in proto.attribute:
        if not attribute.ref_attr_name:
            given[attribute.name] = attribute
        elif attribute.ref_attr_name in scope.attributes:
            value = onnx.AttributeProto()
            value.CopyFrom(scope.attributes[attribute.ref_attr_name])
            value.name = attribute.name
            given[attribute.name] = value
    return given


def tensors(values: Sequence[Value]) -> list[str]:
    """The values as the tensors they are; Unsupported where one is none."""
    for value in values:
        if isinstance(value, Listed):
            raise Unsupported("it needs a sequence of tensors, which Core ML has not, as one value")
        if isinstance(value, Absent):
            raise Unsupported("it needs an optional, which Core ML has not")
    return [value for value in values if isinstance(value, str)]


def names_in(values: Sequence[Value]) -> list[str]:
    """Every tensor in the values."""
    names = []
    for value in values:
        names += [value] if isinstance(value, str) else names_in(value.elements) if isinstance(value, Listed) else []
    return names
