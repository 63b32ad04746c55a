"""From a block's messages to steps: ops looked up, names resolved, types held together, lifetimes known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_type_hints

import torch

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.mil.table import Block, ops
from converter.evaluate.mil.types import Declared, OtherType, TensorType, Typed, value_type
from converter.evaluate.mil.values import decode
from converter.registry import Op, Parameter

# Parameters that say the data type of an op's last result.
_DATA_TYPE_PARAMETERS = ("dtype", "output_dtype", "output_indices_dtype")

Type = TensorType | OtherType


@dataclass(frozen=True)
class Constant:
    """A value in the file, decoded when it is used."""

    message: Any
    weights: Weights

    def value(self) -> Any:
        return decode(self.message, self.weights)


@dataclass(frozen=True)
class Name:
    """A use of an earlier value."""

    name: str


@dataclass(frozen=True)
class Step:
    """One operation, its arguments resolved to names and constants."""

    op_type: str
    name: str
    op: Op
    arguments: Mapping[str, Sequence[Name | Constant]]
    outputs: Sequence[tuple[str, Type]]
    bodies: Sequence["Body"] = ()
    frees: Sequence[str] = ()  # values that no later step of this block uses

    @property
    def place(self) -> str:
        return f'{self.op_type} "{self.name}"'

    @property
    def uses(self) -> set[str]:
        direct = {a.name for binding in self.arguments.values() for a in binding if isinstance(a, Name)}
        return direct.union(*(body.free for body in self.bodies))


@dataclass(frozen=True)
class Body:
    """A block: a function's, or one nested in a control flow op."""

    inputs: Sequence[tuple[str, Type]]
    outputs: Sequence[str]
    steps: Sequence[Step]
    constants: Mapping[str, Constant]

    @property
    def free(self) -> set[str]:
        """Names from outside that this block uses."""
        own = {name for name, _ in self.inputs} | set(self.constants)
        own.update(name for step in self.steps for name, _ in step.outputs)
        return set(self.outputs).union(*(step.uses for step in self.steps)) - own


class Reader:
    """Turns blocks into bodies: ops looked up, names resolved, types held together, lifetimes known."""

    def __init__(self, weights: Weights, opset: int) -> None:
        self.weights = weights
        self.opset = opset
        self.constants: dict[str, Constant] = {}  # of all blocks
        self.unsupported: list[str] = []

    def body(
        self, block: Any, inputs: Sequence[tuple[str, Type]], outer: Mapping[str, Type], *, top: bool = False
    ) -> Body:
        """`outer` holds the types of the names that the block sees from outside."""
        types: dict[str, Type] = {**outer, **dict(inputs)}
        own = {name for name, _ in inputs}
        constants: dict[str, Constant] = {}
        steps: list[Step] = []
        for operation in block.operations:
            name = _literal_name(operation)
            place = f'{operation.type} "{name}"'
            try:
                if operation.type == "const":
                    (output,) = operation.outputs
                    constants[output.name] = Constant(operation.attributes["val"], self.weights)
                    self.constants[output.name] = constants[output.name]
                elif (step := self.step(operation, name, types)) is not None:
                    steps.append(step)
                for output in operation.outputs:
                    if output.name in own:
                        raise EvaluationError(f"the name {output.name!r} is given to a second value")
                    own.add(output.name)
                    types[output.name] = value_type(output.type)
            except ValueError as error:
                raise EvaluationError("a constant has one value", where=[place]) from error
            except EvaluationError as error:
                error.within(place)
                raise
        outputs = list(block.outputs)
        for name in outputs:
            if name not in types:
                raise EvaluationError(f"the output {name!r} is computed nowhere")
        if top and len(set(outputs)) != len(outputs):
            raise EvaluationError("has two outputs of the same name")
        return Body(inputs, outputs, _with_lifetimes(steps, {*outputs}), constants)

    def step(self, operation: Any, name: str, types: Mapping[str, Type]) -> Step | None:
        """The step, or None for an op that is not implemented."""
        arguments = {key: [self.argument(b, types) for b in value.arguments] for key, value in operation.inputs.items()}
        arguments |= {
            key: [Constant(value, self.weights)] for key, value in operation.attributes.items() if key != "name"
        }
        outputs = [(output.name, value_type(output.type)) for output in operation.outputs]
        op = ops.find(operation.type, self.opset)
        if op is None:
            self.unsupported.append(f"{operation.type} (iOS{self.opset}, first used by {name!r})")
            return None
        bodies = [
            self.body(block, [(named.name, value_type(named.type)) for named in block.inputs], types)
            for block in operation.blocks
        ]
        known = {parameter.name: parameter for parameter in op.parameters}
        for key in arguments:
            if key not in known:
                raise EvaluationError(f"the parameter {key!r} is not known", fix=f"known are {', '.join(known)}")
        for parameter in op.parameters:
            if parameter.required and parameter.name not in arguments and parameter.annotation != Block:
                raise EvaluationError(f"the parameter {parameter.name!r} is missing")
        if len(bodies) != sum(parameter.annotation == Block for parameter in op.parameters):
            raise EvaluationError(f"has {len(bodies)} blocks")
        self.check_data_types(op, arguments, outputs, types)
        return Step(operation.type, name, op, arguments, outputs, bodies)

    def argument(self, binding: Any, types: Mapping[str, Type]) -> Name | Constant:
        if binding.WhichOneof("binding") == "value":
            return Constant(binding.value, self.weights)
        if binding.name not in types:
            raise EvaluationError(f"uses {binding.name!r}, which is computed nowhere before")
        return Name(binding.name)

    def check_data_types(
        self,
        op: Op,
        arguments: Mapping[str, Sequence[Name | Constant]],
        outputs: Sequence[tuple[str, Type]],
        types: Mapping[str, Type],
    ) -> None:
        """A result has the data type of the first tensor input of its kind, unless the op says its own (Typed)."""
        given = [
            types[a.name] if isinstance(a, Name) else value_type(a.message.type)
            for parameter in op.parameters
            if _takes_tensors(parameter)
            for a in arguments.get(parameter.name, ())
        ]
        tensors = [kind.data_type for kind in given if isinstance(kind, TensorType)]
        for (name, kind), own in zip(outputs, _typed_results(op, len(outputs)), strict=True):
            if own or not isinstance(kind, TensorType):
                continue
            expected = next((t for t in tensors if t.kind == kind.data_type.kind), kind.data_type)
            if kind.data_type != expected:
                raise EvaluationError(f"its result {name!r} is {expected.name}, the program declares {kind}")
        said = next((arguments[key] for key in _DATA_TYPE_PARAMETERS if key in arguments), None)
        if said and outputs and isinstance(kind := outputs[-1][1], TensorType):
            constant = self.constants.get(said[0].name) if isinstance(said[0], Name) else said[0]
            asked = constant.value() if constant else kind.data_type.name
            if asked != kind.data_type.name:
                raise EvaluationError(f"asks for {asked}, the program declares {kind}")


def _takes_tensors(parameter: Parameter) -> bool:
    return parameter.annotation in (
        torch.Tensor,
        torch.Tensor | None,
        Sequence[torch.Tensor],
        Sequence[torch.Tensor] | None,
    )


def _typed_results(op: Op, count: int) -> list[bool]:
    """For each result, whether the op says its own data type."""
    hint = get_type_hints(op.function).get("return")
    each = getattr(hint, "__args__", None)
    if each and len(each) == count and Ellipsis not in each:
        return [result is Typed for result in each]
    return [hint in (Typed, Declared, Any)] * count


@cache
def has_declared_kind(op: Op) -> bool:
    """Whether the op's results may be of another kind than what it computes; see Declared."""
    return get_type_hints(op.function).get("return") is Declared


def _with_lifetimes(steps: Sequence[Step], outputs: set[str]) -> list[Step]:
    """Each step with the names whose last use it is; a value that nothing uses dies at once."""
    own = {name for step in steps for name, _ in step.outputs} - outputs
    seen: set[str] = set()
    result = []
    for step in reversed(steps):
        ending = ((step.uses | {name for name, _ in step.outputs}) & own) - seen
        seen |= ending
        result.append(replace(step, frees=sorted(ending)))
    return result[::-1]


def _literal_name(operation: Any) -> str:
    strings = (
        operation.attributes["name"].immediateValue.tensor.strings.values if "name" in operation.attributes else ()
    )
    return str(strings[0] if strings else operation.outputs[0].name if operation.outputs else operation.type)
