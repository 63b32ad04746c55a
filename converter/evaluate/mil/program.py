"""The walker: runs a MIL program's function op by op, and checks each result against the type the program declares."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.mil.reader import Body, Constant, Name, Reader
from converter.evaluate.mil.routine import Routine, prepared, typed
from converter.evaluate.mil.types import OtherType, TensorType, value_type
from converter.evaluate.not_finite import Look
from converter.evaluate.wiring import Wire
from converter.model import Precision

OPSETS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18, "CoreML9": 26}

# Ops that keep the order of scores, so that what stands before them still belongs to the output.
_PASSING = {"cast", "identity", "reshape", "squeeze", "expand_dims", "flatten2d"}
_ACTIVATIONS = {"softmax", "sigmoid"}


@dataclass(frozen=True)
class Run:
    """What one prediction carries along: which names to keep, and those kept so far."""

    wanted: Collection[str]
    kept: dict[str, Any] = field(default_factory=dict)
    look: Look | None = None

    def keep(self, name: str, value: Any, place: str = "") -> None:
        if name in self.wanted:
            self.kept[name] = value
        if self.look is not None:
            self.look(name, value, place or f"the input {name!r}")


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
            self._routine = prepared(self._body, compute)
            self._last: tuple[frozenset[str], Routine] | None = None
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

    def wiring(self) -> Iterable[Wire]:
        """The operations in order, those of blocks in the operation that holds them."""
        for step in self._body.steps:
            inputs = sorted(step.uses - self._body.constants.keys())
            yield Wire(step.op_type, step.name, tuple(inputs), tuple(name for name, _ in step.outputs))

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
        run = Run(frozenset(wanted))
        self._start(inputs, wanted, run)
        return {name: run.kept[name] for name in wanted if name in run.kept}

    def watch(self, inputs: Mapping[str, Any], look: Look) -> None:
        """Compute every value and show it to `look`, in order, those of blocks too; none is kept."""
        self._start(inputs, self.value_names(), Run((), look=look))

    def _start(self, inputs: Mapping[str, Any], wanted: Collection[str], run: Run) -> None:
        try:
            with torch.inference_mode():
                self._run(self._chosen(wanted), [self._input(*each) for each in inputs.items()], {}, run)
        except EvaluationError as error:
            error.within(self.place)
            raise

    def _chosen(self, wanted: Collection[str]) -> Routine:
        """The routine of these values; a model is mostly asked for the same ones."""
        names = frozenset(wanted)
        if self._last is None or self._last[0] != names:
            self._last = (names, self._routine.only(names))
            for call in self._last[1].calls:
                try:
                    call.bind()
                except EvaluationError as error:
                    error.within(call.step.place)
                    raise
        return self._last[1]

    def _input(self, name: str, value: Any) -> tuple[str, Any]:
        kind = self.inputs[name]
        if isinstance(kind, TensorType):
            if kind.data_type.name == "uint8" and value.is_floating_point():  # of all inputs only pictures can be
                value = value.to(kind.data_type.carrier)
            return name, typed(value, kind, f"the input {name}", self.compute)
        return name, value

    def _run(
        self, routine: Routine, inputs: Iterable[tuple[str, Any]], outer: Mapping[str, Any], run: Run
    ) -> list[Any]:
        values = {**outer, **dict(inputs)}
        for name in values.keys() & set(routine.inputs):
            run.keep(name, values[name])
        for name in routine.constants.keys() & set(run.wanted):
            run.keep(name, routine.constants[name].value)
        for call, dying in zip(routine.calls, routine.frees, strict=True):
            try:
                blocks = {key: self._block(nested, values, run) for key, nested in call.routines.items()}
                results = call.run(values, blocks)
            except EvaluationError as error:
                error.within(call.step.place)
                raise
            for name, _ in reversed(call.step.outputs):
                values[name] = results.pop()
                run.keep(name, values[name], call.step.place)
            for name in dying:
                values.pop(name, None)
        return [values[out.name] if isinstance(out, Name) else out.value for out in routine.outputs]

    def _block(self, routine: Routine, values: Mapping[str, Any], run: Run) -> Callable[..., list[Any]]:
        def call(*arguments: Any) -> list[Any]:
            return self._run(routine, zip(routine.inputs, arguments, strict=True), values, run)

        return call


def _op_types(body: Body) -> Iterable[str]:
    for step in body.steps:
        yield step.op_type
        for nested in step.bodies:
            yield from _op_types(nested)


def _single(binding: Sequence[Name | Constant]) -> str | None:
    return binding[0].name if len(binding) == 1 and isinstance(binding[0], Name) else None
