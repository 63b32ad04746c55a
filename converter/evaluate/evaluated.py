"""A Core ML model that answers on any machine."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch

from converter.errors import EvaluationError
from converter.evaluate import bundle, features, not_finite
from converter.evaluate.layers import Network
from converter.evaluate.mil.program import Program
from converter.evaluate.not_finite import Look, NotFinite
from converter.evaluate.pipeline import KINDS, Pipeline
from converter.evaluate.suppression import Suppression
from converter.evaluate.wiring import Wire
from converter.model import Activation, Precision

State = dict[str, list[torch.Tensor]]

_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")


class Executor(Protocol):
    """What a Program, a Network and a Suppression have in common."""

    def run(self, inputs: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]: ...

    def watch(self, inputs: Mapping[str, Any], look: Look) -> None: ...

    def activation_input(self, name: str) -> tuple[str, str] | None: ...

    def op_types(self) -> Iterable[str]: ...

    def wiring(self) -> Iterable[Wire]: ...

    def value_names(self) -> set[str]: ...


@dataclass(frozen=True)
class _Classifier:
    """Of a NeuralNetwork: the value that holds the scores, what is made of it (label, dictionary), and the labels."""

    scores: str
    made: tuple[str, str]
    labels: Sequence[str | int]


class EvaluatedModel:
    """A loaded model; `predict` keeps the contract of coremltools' MLModel.predict.

    `function` names one of a package with several; `description` is that function's, in all other models the model's.
    `spec` is without the large weights of a network, which are read from the file when they are needed.
    """

    def __init__(self, model: Any, *, compute: Precision = "float16", function: str | None = None) -> None:
        opened = bundle.read(model, in_place=True)
        self.name = opened.name
        self.spec = opened.spec
        try:
            chosen, self.description = _function(self.spec, function)
            self._inputs = list(self.description.input)
            self._outputs = {feature.name: feature for feature in self.description.output}
            self._executor: Executor | Pipeline
            if self.spec.WhichOneof("Type") in KINDS:
                self._executor = Pipeline(opened, partial(EvaluatedModel, compute=compute))
            else:
                self._executor = _executor(opened, compute, chosen, self.description)
            self._inner = self._executor.value_names()
            self._classifier = _network_classifier(self.spec)
        except EvaluationError as error:
            error.within(self.name)
            raise

    def predict(
        self,
        data: Mapping[str, Any],
        state: State | None = None,
        *,
        outputs: Literal["all"] | Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Answer to `data`: name -> array (or what makes one), PIL image, or number.

        Images must have the described size and the mode RGB (also where the model wants BGR) or L. Gives name ->
        array, PIL image, str, int or dict as Core ML does: scalars of shape (1,), a classifier's label and dictionary.
        A model with states reads and changes `state`, which make_state gives. `outputs` names what is wanted, inner
        values included (as arrays); "all" gives every value. Raises EvaluationError.
        """
        try:
            self._check_state(state)
            inner = self._inner
            wanted = [*self._outputs, *sorted(inner - set(self._outputs))] if outputs == "all" else outputs
            wanted = list(self._outputs) if wanted is None else wanted
            unknown = [name for name in wanted if name not in self._outputs and name not in inner]
            if unknown:
                near = difflib.get_close_matches(unknown[0], self.value_names())
                fix = f"did you mean {' or '.join(near)}?" if near else f"outputs are {', '.join(self._outputs)}"
                raise EvaluationError(f"there is no output or value {unknown[0]!r}", fix=fix)
            if isinstance(self._executor, Pipeline):
                return self._executor.run(features.known(self._inputs, data), wanted)
            rank5 = isinstance(self._executor, Network) and self._executor.rank5
            return self._answer({**features.accept(self._inputs, data, rank5=rank5), **(state or {})}, wanted)
        except EvaluationError as error:
            error.within(self.name)
            raise

    def first_not_finite(self, data: Mapping[str, Any], state: State | None = None) -> NotFinite | None:
        """What first gives NaN or infinity as the model answers to `data`; None where everything is finite.

        Inputs count as well. Every value is looked at, and none is kept; a state is changed as by predict.
        """
        try:
            if isinstance(self._executor, Pipeline):
                return self._executor.first_not_finite(features.known(self._inputs, data))
            self._check_state(state)
            rank5 = isinstance(self._executor, Network) and self._executor.rank5
            given = {**features.accept(self._inputs, data, rank5=rank5), **(state or {})}
            self._executor.watch(given, not_finite.look)
        except not_finite.Found as signal:
            return signal.found
        except EvaluationError as error:
            error.within(self.name)
            raise
        return None

    def make_state(self) -> State:
        """A new state, all zero; raises EvaluationError where the model has none."""
        if not isinstance(self._executor, Program) or not self.description.state:
            raise EvaluationError("the model has no state", where=[self.name])
        return self._executor.make_state()

    def activation_input(self, output: str) -> tuple[str, Activation] | None:
        """The value before the softmax or sigmoid that makes `output`, and which of the two; else None.

        predict(..., outputs=[value]) gives it. Its elements are in the output's order (in a dictionary: the labels').
        """
        source = self._classifier.scores if self._classifier and output in self._classifier.made else output
        found = self._executor.activation_input(source)
        if found is None:
            return None
        return found[0], "softmax" if found[1] == "softmax" else "sigmoid"

    def op_types(self) -> Iterable[str]:
        """The type of every operation or layer, in order."""
        return self._executor.op_types()

    def wiring(self) -> tuple[Wire, ...]:
        """The operations or layers in the order in which they run, and what each reads; a pipeline shows none."""
        return () if isinstance(self._executor, Pipeline) else tuple(self._executor.wiring())

    def value_names(self) -> set[str]:
        """Everything that `outputs` of predict may name."""
        return {*self._outputs, *self._inner}

    def _check_state(self, state: State | None) -> None:
        if (state is None) == bool(self.description.state):
            has = "has states" if state is None else "has no state"
            raise EvaluationError(f"the model {has}", fix="predict(data, model.make_state()) where it has states")

    def _answer(self, accepted: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
        assert not isinstance(self._executor, Pipeline)
        made = self._classifier.made if self._classifier else ("", "")
        scores = self._classifier.scores if self._classifier else ""
        needed = dict.fromkeys(scores if name in made else name for name in wanted)
        values = self._executor.run(accepted, list(needed))
        answer: dict[str, Any] = {}
        for name in wanted:
            if self._classifier and name in made:
                label, probabilities = _classified(values[self._classifier.scores], self._classifier.labels)
                answer[name] = label if name == made[0] else probabilities
            elif name not in values:
                raise EvaluationError(f"{name!r} was not computed: it lies in a branch that was not taken")
            elif name in self._outputs:
                answer[name] = features.give(self._outputs[name], values[name])
            else:
                answer[name] = _inner(values[name])
        return answer


def _function(spec: Any, function: str | None) -> tuple[str, Any]:
    """The name of the function to run, and its description."""
    described = {entry.name: entry for entry in spec.description.functions}
    chosen = function or (described and spec.description.defaultFunctionName) or "main"
    if chosen in described:
        return chosen, described[chosen]
    if described or chosen != "main":
        has = f"its functions are {', '.join(described)}" if described else "the model has one function, main"
        raise EvaluationError(f"the model has no function {chosen!r}", fix=has)
    return chosen, spec.description


def _executor(opened: bundle.Bundle, compute: Precision, function: str, description: Any) -> Executor:
    kind = opened.spec.WhichOneof("Type")
    if kind == "mlProgram":
        program = Program(opened.spec, opened.weights, compute=compute, function=function)
        program.check_interface(description)
        return program
    if kind in _NETWORKS:
        return Network(opened.spec, opened.weights.model)
    if kind == "nonMaximumSuppression":
        return Suppression(opened.spec)
    raise EvaluationError(
        f"a model of type {kind} cannot be evaluated",
        fix="mlProgram, neural networks, non-maximum suppression and pipelines of them can",
    )


def _network_classifier(spec: Any) -> _Classifier | None:
    if spec.WhichOneof("Type") != "neuralNetworkClassifier":
        return None
    network = spec.neuralNetworkClassifier
    which = network.WhichOneof("ClassLabels")
    if which is None:
        raise EvaluationError("the classifier has no labels", fix="convert the model again")
    labels = list(getattr(network, which).vector)
    scores = network.labelProbabilityLayerName or network.layers[-1].output[0]
    return _Classifier(
        scores, (spec.description.predictedFeatureName, spec.description.predictedProbabilitiesName), labels
    )


def _classified(scores: torch.Tensor, labels: Sequence[str | int]) -> tuple[str | int, dict[str | int, float]]:
    values = scores.reshape(-1)
    if len(labels) != len(values):
        raise EvaluationError(f"there are {len(labels)} labels for {len(values)} scores", fix="convert the model again")
    return labels[int(torch.argmax(values))], dict(zip(labels, values.tolist(), strict=True))


def _inner(value: Any) -> Any:
    """An inner value as an array; floats as float32, which holds an fp16 exactly."""
    if isinstance(value, torch.Tensor):
        return features.array(value.float() if value.is_floating_point() else value)
    if isinstance(value, list):
        return _stacked([features.array(item) for item in value])
    return value


def _stacked(items: Sequence[np.ndarray]) -> np.ndarray:
    """A list's elements as one array; where their shapes differ, an array of arrays."""
    if len({item.shape for item in items}) <= 1:
        return np.array(items) if items else np.empty(0)
    apart = np.empty(len(items), object)
    apart[:] = items
    return apart
