"""The walker: runs a MIL program's function op by op, and checks each result against the type the program declares."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.mil.arguments import adapt
from converter.evaluate.mil.reader import Body, Constant, Name, Reader, Step, Type
from converter.evaluate.mil.table import Block
from converter.evaluate.mil.types import OtherType, TensorType, value_type
from converter.model import Precision
from converter.registry import BindError

OPSETS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18, "CoreML9": 26}

# What a kernel raises when its arguments do not fit, because the file is wrong.
_KERNEL_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, KeyError, ArithmeticError, AttributeError)
# Ops that keep the order of scores, so that what stands before them still belongs to the output.
_PASSING = {"cast", "identity", "reshape", "squeeze", "expand_dims", "flatten2d"}
_ACTIVATIONS = {"softmax", "sigmoid"}


@dataclass(frozen=True)
class Run:
    """What one prediction carries along: which names to keep, and those kept so far."""

    wanted: Collection[str]
    kept: dict[str, Any] = field(default_factory=dict)

    def keep(self, name: str, value: Any) -> None:
        if name in self.wanted:
            self.kept[name] = value


class Program:
    """A function of an ML Program, ready to run.

    `compute` float16 rounds each value to fp16 where the program says fp16 (kernels run in float32); float32 does not
    round, and so gives the program's mathematics. Raises EvaluationError, which lists all ops that are not implemented.
    """

    def __init__(self, spec: Any, weights: Weights, *, compute: Precision, function: str = "main") -> None:
        if function not in spec.mlProgram.functions:
            raise EvaluationError(f"the program has no function {function!r}", fix="convert the model again")
        message = spec.mlProgram.functions[function]
        self.compute = compute
        self.place = f"function {function}"
        try:
            if message.opset not in OPSETS:
                raise EvaluationError(f"unknown opset {message.opset!r}; known are {', '.join(OPSETS)}")
            if message.opset not in message.block_specializations:
                raise EvaluationError(f"has no block for its opset {message.opset}")
            self.inputs = {named.name: value_type(named.type) for named in message.inputs}
            if len(self.inputs) != len(message.inputs):
                raise EvaluationError("has two inputs of the same name")
            reader = Reader(weights, OPSETS[message.opset])
            self._body = reader.body(
                message.block_specializations[message.opset], tuple(self.inputs.items()), {}, top=True
            )
            if reader.unsupported:
                found = sorted(set(reader.unsupported))
                raise EvaluationError(
                    f"{len(found)} kind(s) of op cannot be evaluated: {'; '.join(found)}",
                    fix="report the op; the file itself may be right",
                )
        except EvaluationError as error:
            error.within(self.place)
            raise

    @property
    def outputs(self) -> Sequence[str]:
        return self._body.outputs

    def check_interface(self, description: Any) -> None:
        """Hold the model's description, which is what the app sees, against the function. Nothing else does."""
        complaints = []
        for what, features, names in (
            ("input", [*description.input, *description.state], list(self.inputs)),
            ("output", description.output, list(self._body.outputs)),
        ):
            described = [feature.name for feature in features]
            complaints += [f"the described {what} {n!r} is not in the program" for n in described if n not in names]
            complaints += [f"the program's {what} {n!r} is not described" for n in names if n not in described]
            complaints += [f"the {what} {n!r} is described twice" for n in set(described) if described.count(n) > 1]
        for name in (description.predictedFeatureName, description.predictedProbabilitiesName):
            if name and name not in self._body.outputs:
                complaints.append(f"the predicted feature {name!r} is not an output of the program")
        for feature in description.input:
            kind = self.inputs.get(feature.name)
            image = feature.type.imageType if feature.type.WhichOneof("Type") == "imageType" else None
            if image is not None and isinstance(kind, TensorType) and kind.shape and len(kind.shape) == 4:
                sizes = zip((image.height, image.width), kind.shape[2:], strict=True)
                if any(size is not None and described != size for described, size in sizes):
                    complaints.append(
                        f"the image {feature.name!r} is described as {image.width} x {image.height}, "
                        f"the program's is {kind}"
                    )
        if complaints:
            raise EvaluationError("; ".join(complaints), fix="convert the model again")

    def make_state(self) -> dict[str, list[torch.Tensor]]:
        """The program's states, all zero; a run reads and writes them."""
        return {
            name: [torch.zeros([d or 1 for d in kind.element.shape or ()], dtype=kind.element.data_type.carrier)]
            for name, kind in self.inputs.items()
            if isinstance(kind, OtherType) and kind.name == "state" and kind.element is not None
        }

    def op_types(self) -> Iterable[str]:
        """The type of each operation, constants left out."""
        return _op_types(self._body)

    def value_names(self) -> set[str]:
        """Every value that a run computes and `wanted` may name."""
        own = set(self.inputs) | set(self._body.outputs)
        return own | {name for step in self._body.steps for name, _ in step.outputs}

    def activation_input(self, name: str) -> tuple[str, str] | None:
        """The value before the softmax or sigmoid that computes `name`, and which of the two it is."""
        producers = {output: step for step in self._body.steps for output, _ in step.outputs}
        while (step := producers.get(name)) is not None:
            if step.op_type in _ACTIVATIONS:
                before = _single(step.arguments.get("x", ()))
                return (before, step.op_type) if before else None
            if step.op_type == "classify":
                source = _single(step.arguments.get("probabilities", ()))
            elif step.op_type in _PASSING:
                source = _single(step.arguments.get("x", ()))
            else:
                return None
            if source is None:
                return None
            name = source
        return None

    def run(self, inputs: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
        """Compute the `wanted` values (tensors; of a classifier a label and a dictionary), and what they need."""
        run = Run(wanted)
        try:
            with torch.inference_mode():
                body = replace(self._body, outputs=(), steps=_needed(self._body.steps, wanted))
                self._run_body(body, [self._input(name, value) for name, value in inputs.items()], {}, run)
        except EvaluationError as error:
            error.within(self.place)
            raise
        return {name: run.kept[name] for name in wanted if name in run.kept}

    def _input(self, name: str, value: Any) -> tuple[str, Any]:
        kind = self.inputs[name]
        if isinstance(kind, TensorType):
            return name, self._typed(value, kind, f"the input {name}")
        return name, value

    def _run_body(self, body: Body, inputs: Sequence[tuple[str, Any]], outer: Mapping[str, Any], run: Run) -> list[Any]:
        values = {**outer, **body.constants, **dict(inputs)}
        for name, value in inputs:
            run.keep(name, value)
        for name in body.constants.keys() & set(run.wanted):
            run.keep(name, body.constants[name].value())
        for step in body.steps:
            try:
                results = self._run_step(step, values, run)
            except EvaluationError as error:
                error.within(step.place)
                raise
            for (name, _), result in zip(step.outputs, results, strict=True):
                values[name] = result
                run.keep(name, result)
            for name in step.frees:
                values.pop(name, None)
        return [_resolve(values[name]) for name in body.outputs]

    def _run_step(self, step: Step, values: Mapping[str, Any], run: Run) -> list[Any]:
        named: dict[str, Any] = {
            parameter: [_resolve(values[a.name] if isinstance(a, Name) else a) for a in binding]
            for parameter, binding in step.arguments.items()
        }
        blocks = (parameter for parameter in step.op.parameters if parameter.annotation == Block)
        for parameter, body in zip(blocks, step.bodies, strict=False):
            named[parameter.name] = self._block(body, values, run)
        try:
            result = step.op.bind(named=named, adapt=adapt)()
        except BindError as error:
            raise EvaluationError(str(error)) from error
        except _KERNEL_ERRORS as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise EvaluationError(f"cannot be computed: {lines[0]}") from error
        results = list(result) if isinstance(result, tuple) else [result]
        if not step.outputs and results == [None]:
            return []
        if len(results) != len(step.outputs):
            raise EvaluationError(f"gives {len(results)} values, the program declares {len(step.outputs)}")
        return [
            self._typed(r, kind, f"the result {name}") for r, (name, kind) in zip(results, step.outputs, strict=True)
        ]

    def _block(self, body: Body, values: Mapping[str, Any], run: Run) -> Callable[..., list[Any]]:
        def call(*arguments: Any) -> list[Any]:
            names = [name for name, _ in body.inputs]
            return self._run_body(body, list(zip(names, arguments, strict=True)), values, run)

        return call

    def _typed(self, value: Any, kind: Type, what: str) -> Any:
        """`value` in the data type that the program declares; its shape must be the declared one."""
        if not isinstance(kind, TensorType):
            return value
        if isinstance(value, str if kind.data_type.kind == "string" else int):  # a label, by classify
            return value
        if not isinstance(value, torch.Tensor):
            raise EvaluationError(f"{what} is a {type(value).__name__}, the program declares {kind}")
        declared = value.shape if kind.shape is None else kind.shape
        if value.dim() != len(declared) or any(
            d is not None and d != size for d, size in zip(declared, value.shape, strict=True)
        ):
            raise EvaluationError(f"{what} has shape {list(value.shape)}, the program declares {kind}")
        if _kind(value) != kind.data_type.kind:
            raise EvaluationError(f"{what} is of {value.dtype}, the program declares {kind}")
        if self.compute == "float32" and kind.data_type.kind == "float":
            return value.float()
        return kind.data_type.fit(value)


def _needed(steps: Sequence[Step], wanted: Collection[str]) -> list[Step]:
    """The steps that `wanted` depends on, and those that give nothing: they write states."""
    needed, chosen = set(wanted), []
    for step in reversed(steps):
        if not step.outputs or any(name in needed for name, _ in step.outputs):
            needed |= step.uses
            chosen.append(step)
    return chosen[::-1]


def _op_types(body: Body) -> Iterable[str]:
    for step in body.steps:
        yield step.op_type
        for nested in step.bodies:
            yield from _op_types(nested)


def _single(binding: Sequence[Name | Constant]) -> str | None:
    return binding[0].name if len(binding) == 1 and isinstance(binding[0], Name) else None


def _resolve(value: Any) -> Any:
    return value.value() if isinstance(value, Constant) else value


def _kind(tensor: torch.Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"
