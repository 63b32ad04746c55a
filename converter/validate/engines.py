"""What answers for a saved model: the reference evaluator on any machine, Core ML on macOS.

The job on macOS needs coremltools, numpy and Pillow only, so nothing here imports torch before it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from converter.errors import EvaluationError, ManifestError
from converter.model import Activation, ComputeUnits, ImageInput, Interface, Output, Placement, Tensors
from converter.validate import coreml

ENGINES = ("reference", "coreml")


class Predictor(Protocol):
    """A loaded Core ML model; `predict` is coremltools' MLModel.predict, plus inner values by name where it can."""

    def predict(self, inputs: Mapping[str, Any], /, *, outputs: Sequence[str] | None = None) -> Mapping[str, Any]: ...

    def activation_input(self, output: str, /) -> tuple[str, Activation] | None:
        """The inner value and the activation that makes `output` of it, where the engine can answer with it."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Who answers: `name` is said in reports, `load` opens a .mlmodel file or .mlpackage folder.

    One that may hang or take its process down is asked in a process of its own: `load` goes there, and so does
    `placements`, which says of a loaded model where its operations would run. Its models know their `load_s`.
    """

    name: str
    load: Callable[[Path], Predictor]
    placements: Callable[[Any], tuple[Placement, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a saved model answers to one sample.

    `values` are keyed by the interface's output names; a classifier's probabilities are a vector in the order of its
    labels. `scores` stand before `activation`, where they could be reached. `label` is a classifier's first class.
    """

    values: Tensors
    scores: np.ndarray | None = None
    activation: Activation | None = None
    label: str | None = None


def engine(name: str, compute_units: ComputeUnits = "CPU_ONLY") -> Engine:
    """The engine `reference` (our evaluator) or `coreml`; raises ManifestError where it cannot run here."""
    if name == "reference":
        return Engine(name="the reference evaluator", load=_load_evaluator)
    if name != "coreml":
        raise ManifestError(f"no engine is called {name!r}", fix=f"choose one of {', '.join(ENGINES)}")
    coreml.require()
    return Engine(
        name=f"Core ML ({coreml.machine()})",
        load=partial(coreml.CoreML, compute_units=compute_units),
        placements=coreml.placements,
    )


def _load_evaluator(path: Path) -> Predictor:
    from converter.evaluate import load_model

    return load_model(path)


def fed(interface: Interface, inputs: Tensors) -> dict[str, Any]:
    """One sample as a loaded model takes it, pictures as PIL images."""
    return {
        spec.name: Image.fromarray(inputs[spec.name]) if isinstance(spec, ImageInput) else inputs[spec.name]
        for spec in interface.inputs
    }


def ask(predictor: Predictor, interface: Interface, inputs: Tensors) -> Answer:
    """Give one sample to a loaded model, and read its answer by the interface.

    Raises EvaluationError where an output is missing or a classifier's labels are not the interface's.
    """
    classifier = interface.classifier
    names = [output.name for output in interface.outputs]
    first = names[0]
    if classifier:
        names[0] = first = classifier.probabilities_name
        names.append(classifier.predicted_feature_name)
    inner = predictor.activation_input(first)
    answered = predictor.predict(fed(interface, inputs), outputs=[*names, inner[0]] if inner else names)
    missing = [name for name in names if name not in answered]
    if missing:
        raise EvaluationError(
            f"the saved model has no output {', '.join(missing)}; it has {', '.join(answered)}",
            fix="convert the model again",
        )
    values = {}
    for output, name in zip(interface.outputs, names, strict=False):
        value = answered[name]
        values[output.name] = (
            _vector(value, classifier.labels) if classifier and name == first else _array(output, value)
        )
    return Answer(
        values=values,
        scores=np.asarray(answered[inner[0]]) if inner else None,
        activation=inner[1] if inner else None,
        label=str(answered[names[-1]]) if classifier else None,
    )


def _vector(probabilities: Mapping[Any, float], labels: Sequence[str]) -> np.ndarray:
    by_label = {str(label): value for label, value in probabilities.items()}
    if set(by_label) != set(labels):
        lost, foreign = set(labels) - set(by_label), set(by_label) - set(labels)
        raise EvaluationError(
            f"the saved classifier's {len(by_label)} labels are not the model's {len(labels)}: "
            f"{sorted(lost)[:3]} are missing, {sorted(foreign)[:3]} are foreign",
            fix="check the label list and convert the model again",
        )
    return np.array([by_label[label] for label in labels], dtype=np.float32)


def _array(output: Output, value: Any) -> np.ndarray:
    """A multi-array as it is; an image as [1, C, H, W], 0 to 255, in the order of the output's colours."""
    if not output.color:
        return np.asarray(value)
    pixels = np.asarray(value.convert("L" if output.color == "GRAYSCALE" else "RGB"))
    channels = pixels[None] if output.color == "GRAYSCALE" else pixels.transpose(2, 0, 1)
    return channels[None, ::-1] if output.color == "BGR" else channels[None]
