"""Every value that a saved file computes for one sample, in the reference evaluator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converter.debug.values import Value
from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.wiring import Wire
from converter.model import Activation, ImageInput, Interface, Precision, Tensors
from converter.validate.check import activated


@dataclass(frozen=True)
class Outlet:
    """One output: the value inside the file that is held against the source's, and what the source gives."""

    name: str  # as the app knows it
    value: str
    expected: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A file's values by name, how they follow from each other, and where they leave."""

    values: Mapping[str, Value]
    wires: Sequence[Wire]
    outlets: Sequence[Outlet]


def candidate_values(
    path: Path,
    interface: Interface,
    inputs: Tensors,
    expected: Tensors,
    *,
    scores_activation: Activation | None,
    compute: Precision,
) -> Candidate:
    """Run a .mlmodel file or .mlpackage folder and keep everything; raises EvaluationError."""
    model = load_model(path, compute=compute)
    wires = model.wiring()
    if not wires:
        raise EvaluationError("a pipeline has no operations of its own to look into", where=[path.name])
    fed = {
        spec.name: Image.fromarray(inputs[spec.name]) if isinstance(spec, ImageInput) else inputs[spec.name]
        for spec in interface.inputs
    }
    answered = model.predict(fed, outputs="all")
    types = {name: wire.op_type for wire in wires for name in wire.outputs}
    values = {}
    for name in [*fed, *types]:
        array = _array(answered.get(name, fed.get(name)), interface)
        if array is not None:
            values[name] = Value(types.get(name, "input"), name, array)
    return Candidate(values, wires, _outlets(model, interface, expected, scores_activation))


def _array(value: Any, interface: Interface) -> np.ndarray | None:
    if isinstance(value, Image.Image):
        pixels = np.asarray(value.convert("RGB") if value.mode not in ("L", "F") else value)
        return pixels.transpose(2, 0, 1)[None] if pixels.ndim == 3 else pixels[None, None]
    if isinstance(value, Mapping) and interface.classifier:
        by_label = {str(label): score for label, score in value.items()}
        return np.array([by_label.get(label, np.nan) for label in interface.classifier.labels], np.float32)
    array = np.asarray(value) if isinstance(value, np.ndarray | float | int) else None
    return array if array is not None and array.dtype.kind in "fiub" else None


def _outlets(model: Any, interface: Interface, expected: Tensors, scores_activation: Activation | None) -> list[Outlet]:
    """The scores stand before their activation, as under validate, wherever that can be reached."""
    outlets = []
    for index, output in enumerate(interface.outputs):
        classifier = interface.classifier if index == 0 else None
        shown = classifier.probabilities_name if classifier else output.name
        wanted = expected[output.name]
        activation = (classifier.activation if classifier else None) or (scores_activation if index == 0 else None)
        value = shown
        if activation is not None:
            inner = model.activation_input(shown)
            if inner and inner[1] == activation:
                value = inner[0]
            else:
                wanted = activated(wanted, activation)
        if output.color is not None:
            wanted = np.clip(np.rint(wanted), 0, 255)
        outlets.append(Outlet(shown, value, wanted))
    return outlets
