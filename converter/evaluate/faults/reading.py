"""Reads all of a program's operations, where the evaluator's reader stops at the first that is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.faults.fault import Faults
from converter.evaluate.mil.reader import Body, Constant, Name, Reader, Step, Type
from converter.evaluate.mil.types import TensorType, value_type
from converter.evaluate.mil.values import decode
from converter.evaluate.proto import MIL_pb2, named

# Parameters that must be of one data type, in every opset (from iOS17 on matmul may mix them).
_ALIKE = {
    **dict.fromkeys(("add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum"), ("x", "y")),
    **dict.fromkeys(("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"), ("x", "y")),
    "select": ("a", "b"),
    "concat": ("values",),
    "stack": ("values",),
}


class Reading(Reader):
    """`lost` are the results, by name, of operations that cannot be read; `types` those of all values."""

    def __init__(self, weights: Weights, opset: int, faults: Faults) -> None:
        super().__init__(weights, opset)
        self.faults = faults
        self.lost: dict[str, Type] = {}
        self.types: dict[str, Type] = {}
        self.names: set[str] = set()

    def body(
        self, block: Any, inputs: Sequence[tuple[str, Type]], outer: Mapping[str, Type], *, top: bool = False
    ) -> Body:
        """The block, without the operations that cannot be read."""
        types: dict[str, Type] = {**outer, **dict(inputs)}
        own = {name for name, _ in inputs}
        self.names |= own
        constants: dict[str, Constant] = {}
        steps: list[Step] = []
        for operation in block.operations:
            here = self.faults.at(op=operation.type, name=_name(operation))
            step = self._operation(operation, types, constants, here)
            if step is not None:
                steps.append(step)
            for output in operation.outputs:
                if output.name in own:
                    here.add(f"the name {output.name!r} is given to a second value")
                own.add(output.name)
                try:
                    types[output.name] = value_type(output.type)
                except EvaluationError as error:
                    here.caught(error)
                    continue
                if step is None and output.name not in constants:
                    self.lost[output.name] = types[output.name]
        self.names |= own
        self.types |= {name: types[name] for name in own if name in types}
        for name in block.outputs:
            if name not in types:
                self.faults.add(f"the block's output {name!r} is computed nowhere")
        if top and len(set(block.outputs)) != len(block.outputs):
            self.faults.add("has two outputs of the same name")
        return Body(inputs, list(block.outputs), steps, constants)

    def _operation(
        self, operation: Any, types: Mapping[str, Type], constants: dict[str, Constant], here: Faults
    ) -> Step | None:
        try:
            if operation.type == "const":
                self._constant(operation, constants, here)
                return None
            step = self.step(operation, _name(operation), types)
        except EvaluationError as error:
            here.caught(error)
            return None
        if step is None:
            here.add(f"there is no such op in iOS {self.opset}'s opset")
            return None
        for binding in step.arguments.values():
            for argument in binding:
                if isinstance(argument, Constant):
                    check_value(argument, here)
        _check_alike(step, types, here)
        return step

    def _constant(self, operation: Any, constants: dict[str, Constant], here: Faults) -> None:
        if len(operation.outputs) != 1 or "val" not in operation.attributes:
            raise EvaluationError("a constant has one value")
        (output,) = operation.outputs
        constant = Constant(operation.attributes["val"], self.weights)
        said, held = value_type(output.type), value_type(constant.message.type)
        if said != held:
            here.add(f"holds a value of type {held}, the program declares {said}")
        check_value(constant, here)
        constants[output.name] = self.constants[output.name] = constant


def _check_alike(step: Step, types: Mapping[str, Type], faults: Faults) -> None:
    given = [a for parameter in _ALIKE.get(step.op_type, ()) for a in step.arguments.get(parameter, ())]
    kinds = [types[a.name] if isinstance(a, Name) else value_type(a.message.type) for a in given]
    found = list(dict.fromkeys(kind.data_type.name for kind in kinds if isinstance(kind, TensorType)))
    if len(found) > 1:
        faults.add(f"takes {' and '.join(found)}; its inputs must be of one data type")


def check_value(constant: Constant, faults: Faults) -> None:
    """Add a fault where a literal does not fit its type; blobs are checked by their sizes, without being read."""
    message = constant.message
    try:
        if message.WhichOneof("value") != "blobFileValue":
            decode(message, constant.weights)
            return
        place = message.blobFileValue
        stored, content = constant.weights.read(place.fileName, place.offset)
        tensor = message.type.tensorType
        wanted = named(MIL_pb2.DataType, tensor.dataType)
        if stored != wanted:
            faults.add(f"is {wanted}, its blob at offset {place.offset} is {stored}")
            return
        kind = value_type(message.type)
        asked = blob_bytes(kind)
        if content.size != asked:
            faults.add(f"is {kind}, which takes {asked} bytes; its blob at offset {place.offset} has {content.size}")
    except EvaluationError as error:
        faults.caught(error)


def blob_bytes(kind: Type) -> int | None:
    """How many bytes a value of this type takes; None where the type says no size."""
    shape = getattr(kind, "shape", None)
    if shape is None or None in shape:
        return None
    count = 1
    for size in shape:
        count *= size
    bits: int = kind.data_type.bits  # type: ignore[union-attr]  # only a TensorType has a shape
    return -(-count * bits // 8)


def _name(operation: Any) -> str:
    strings = (
        operation.attributes["name"].immediateValue.tensor.strings.values if "name" in operation.attributes else ()
    )
    return str(strings[0] if strings else operation.outputs[0].name if operation.outputs else "")
