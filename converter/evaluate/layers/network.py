"""A NeuralNetwork, prepared once and run with torch in float32."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.layers.activation import identity
from converter.evaluate.layers.binding import arguments, check, unshadowed
from converter.evaluate.layers.inputs import check_preprocessing, entered, left
from converter.evaluate.layers.table import Leaving, layers
from converter.evaluate.layers.weights import Weights
from converter.evaluate.limits import KERNEL_ERRORS
from converter.evaluate.mapped import Mapped
from converter.evaluate.not_finite import Look
from converter.evaluate.proto import NeuralNetwork_pb2
from converter.evaluate.wiring import Wire
from converter.registry import Op

_KINDS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
_SHAPING = {"reshape", "flatten", "copy", "squeeze", "expandDims", "flattenTo2D"}
_SHAPING |= {"reshapeStatic", "reshapeLike", "reshapeDynamic", "rankPreservingReshape"}


@dataclass(frozen=True)
class Layer:
    """A layer whose function is found and whose fields are read."""

    name: str
    kind: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fields: dict[str, Any]

    @property
    def place(self) -> str:
        return f'layer "{self.name}" ({self.kind})'

    @cached_property
    def named(self) -> dict[str, Any]:
        """The fields that are arguments, beside the inputs."""
        return unshadowed(self.op, self.inputs, self.fields)

    @property
    def blocks(self) -> Iterator["Block"]:
        return (value for value in self.fields.values() if isinstance(value, Block))

    @cached_property
    def reads(self) -> set[str]:
        return set(self.inputs).union(*(layer.reads for block in self.blocks for layer in block.layers))

    @cached_property
    def writes(self) -> set[str]:
        return set(self.outputs).union(*(layer.writes for block in self.blocks for layer in block.layers))

    def prepare(self) -> None:
        """Read what every run needs."""
        try:
            for value in self.named.values():
                if isinstance(value, Weights):
                    value.read()
        except EvaluationError as error:
            raise error.within(self.place) from error

    def run(self, scope: dict[str, Tensor]) -> None:
        """Read the inputs from the scope and write the outputs to it."""
        missing = [name for name in self.inputs if name not in scope]
        if missing:
            raise EvaluationError(f'reads "{missing[0]}", which no layer before it computes', where=[self.place])
        given = [scope[name] for name in self.inputs]
        nested = {name: replace(f, scope=scope) for name, f in self.named.items() if isinstance(f, Block)}
        try:
            answer = self.op.function(*given, **{**self.named, **nested})
        except EvaluationError as error:
            raise error.within(self.place) from error
        except KERNEL_ERRORS as error:
            shapes = ", ".join(str(list(value.shape)) for value in given)
            raise EvaluationError(f"{error} (inputs of shape {shapes})", where=[self.place]) from error
        values = answer if isinstance(answer, tuple) else (answer,)
        if len(self.outputs) > len(values):
            raise EvaluationError(f"has {len(self.outputs)} outputs, computes {len(values)}", where=[self.place])
        # NeuralNetwork has no rank 0: a scalar has shape [1].
        scope |= {n: v.reshape(1) if v.dim() == 0 else v for n, v in zip(self.outputs, values, strict=False)}


@dataclass(frozen=True)
class Block:
    """A nested network; it runs in the scope of the layer that holds it."""

    layers: tuple[Layer, ...]
    scope: dict[str, Tensor] | None = None

    def __call__(self) -> Mapping[str, Tensor]:
        """Run, and answer with every value that is visible then."""
        assert self.scope is not None
        for layer in self.layers:
            layer.run(self.scope)
        return self.scope


Schedule = Sequence[tuple[Layer, Sequence[str]]]


class Network:
    """The network of a model of type neuralNetwork, neuralNetworkClassifier or neuralNetworkRegressor.

    `file` is where its large weights were left, if they were. Raises EvaluationError for another type, and for
    everything in it that cannot be run, all at once.
    """

    def __init__(self, spec: Any, file: Mapped | None = None) -> None:
        kind = spec.WhichOneof("Type")
        if kind not in _KINDS:
            raise EvaluationError(f"the model is a {kind}, not a neural network")
        self._message = getattr(spec, kind)
        self._inputs = {feature.name: feature for feature in spec.description.input}
        self._outputs = {feature.name: feature for feature in spec.description.output}
        check_preprocessing(self._message, self._inputs)
        complaints: list[EvaluationError] = []
        self._layers = tuple(_prepared(self._message.layers, complaints, file))
        if complaints:
            raise _joined(complaints)
        self._known = {name for layer in self._layers for name in layer.writes} | set(self._inputs)
        self._last: tuple[frozenset[str], Schedule] | None = None

    @property
    def rank5(self) -> bool:
        """Whether arrays are [Seq, Batch, C, H, W] within the network, as in all before iOS 13."""
        return bool(self._message.arrayInputShapeMapping == NeuralNetwork_pb2.RANK5_ARRAY_MAPPING)

    def value_names(self) -> set[str]:
        """What a run can give: every output of a layer that stands in no nested network."""
        return {name for layer in self._layers for name in layer.outputs}

    def op_types(self) -> Iterable[str]:
        """The layers' types in order, nested networks' after the layer that holds them."""
        return _kinds(self._layers)

    def wiring(self) -> Iterable[Wire]:
        """The layers in order, those of nested networks in the layer that holds them."""
        for layer in self._layers:
            yield Wire(layer.kind, layer.name, tuple(sorted(layer.reads)), tuple(layer.outputs))

    def activation_input(self, name: str) -> tuple[str, str] | None:
        """If `name` is computed by a softmax or sigmoid: the value before it, and "softmax" or "sigmoid"; else None.

        Layers that only reshape or copy may lie between.
        """
        makers = {output: layer for layer in self._layers for output in layer.outputs}
        seen: set[str] = set()
        while name in makers and name not in seen:
            seen.add(name)
            layer = makers[name]
            if layer.kind in ("softmax", "softmaxND"):
                return layer.inputs[0], "softmax"
            if layer.kind == "activation" and "sigmoid" in layer.fields:
                return layer.inputs[0], "sigmoid"
            if layer.kind not in _SHAPING and layer.fields.get("linear") is not identity:
                return None
            name = layer.inputs[0]
        return None

    def run(self, inputs: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
        """The wanted values, intermediates too; only the layers that they need are run.

        Images are float32 [1, C, H, W] with pixels 0..255 in the declared order of colours. Raises EvaluationError
        naming the layer.
        """
        for name in wanted:
            if name not in self._known:
                near = difflib.get_close_matches(name, self._known)
                raise EvaluationError(
                    f'the network computes no value "{name}"', fix=f"did you mean {' or '.join(near)}?" if near else ""
                )
        scope = self._start(inputs, wanted)
        absent = [name for name in wanted if name not in scope]
        if absent:
            raise EvaluationError(f'"{absent[0]}" was not computed: the branch that computes it was not taken')
        return {name: left(scope[name], self._outputs.get(name), self._message) for name in wanted}

    def watch(self, inputs: Mapping[str, Tensor], look: Look) -> None:
        """Compute every value and show it to `look`, in order; those of a nested network after its layer."""
        self._start(inputs, self.value_names(), look)

    def _start(
        self, inputs: Mapping[str, Tensor], wanted: Collection[str], look: Look | None = None
    ) -> dict[str, Tensor]:
        scope = {
            name: entered(value, self._inputs[name], self._message)
            for name, value in inputs.items()
            if name in self._inputs
        }
        if look is not None:
            for name in scope:
                look(name, scope[name], f"the input {name!r}")
        with torch.inference_mode():
            for layer, dying in self._chosen(frozenset(wanted)):
                try:
                    layer.run(scope)
                except Leaving as signal:
                    raise EvaluationError("leaves a loop, but stands in none", where=[layer.place]) from signal
                if look is not None:
                    for name in sorted(layer.writes & set(scope)):
                        look(name, scope[name], layer.place)
                for name in dying:
                    scope.pop(name, None)
        return scope

    def _chosen(self, wanted: frozenset[str]) -> "Schedule":
        """The schedule of these values; a model is mostly asked for the same ones."""
        if self._last is None or self._last[0] != wanted:
            self._last = (wanted, _schedule(self._layers, wanted))
            for layer, _ in self._last[1]:
                layer.prepare()
        return self._last[1]


def _prepared(messages: Iterable[Any], complaints: list[EvaluationError], file: Mapped | None) -> Iterator[Layer]:
    for message in messages:
        kind = message.WhichOneof("layer")
        place = f'layer "{message.name}" ({kind})'
        try:
            op = _found(kind)
            fields = arguments(getattr(message, kind), partial(_block, complaints=complaints, file=file), file)
            check(op, message.input, fields)
            yield Layer(message.name, kind, op, tuple(message.input), tuple(message.output), fields)
        except EvaluationError as error:
            complaints.append(error.within(place))


def _block(message: Any, complaints: list[EvaluationError], file: Mapped | None) -> Block:
    return Block(tuple(_prepared(message.layers, complaints, file)))


def _found(kind: str | None) -> Op:
    if kind is None:
        raise EvaluationError("this version of coremltools does not know its type", fix="update coremltools")
    if kind == "custom":
        raise EvaluationError("a custom layer's code is in the app, not in the model: it cannot be run here")
    op = layers.find(kind, 1)
    if op is None:
        raise EvaluationError("this layer type is not implemented here")
    return op


def _joined(complaints: Sequence[EvaluationError]) -> EvaluationError:
    if len(complaints) == 1:
        return complaints[0]
    listed = "\n".join(f"  {error}" for error in complaints)
    return EvaluationError(f"{len(complaints)} layers cannot be run:\n{listed}")


def _kinds(sequence: Iterable[Layer]) -> Iterator[str]:
    for layer in sequence:
        yield layer.kind
        for block in layer.blocks:
            yield from _kinds(block.layers)


def _schedule(sequence: Sequence[Layer], wanted: Collection[str]) -> Schedule:
    """The layers that the wanted values need, in order, each with the values that nothing needs after it."""
    needed = set(wanted)
    chosen: list[tuple[Layer, Sequence[str]]] = []
    for layer in reversed(sequence):
        if needed & layer.writes:
            touched = layer.reads | layer.writes
            chosen.append((layer, sorted(touched - needed)))
            needed |= touched
    return chosen[::-1]
