"""What Xcode reads in a compiled model, held against what was promised.

A .mlmodelc's metadata.json is a list with one model; what it says of features is text, made by the rules of
coremltools' mlmodel/src/DataType.cpp (FeatureType::toDictionary), which Xcode's compiler shares.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from converter.errors import EvaluationError
from converter.model import ColorLayout, Format, ImageInput, Interface, Output, Range, TensorInput, Tensors
from converter.validate.references import References

_Facts = Mapping[str, str]  # of one feature, in words that are the same for the same thing

_COLORS: Mapping[ColorLayout, str] = {"RGB": "RGB", "BGR": "BGR", "GRAYSCALE": "Grayscale"}
_ENDLESS = -1  # an upper bound that is none


def differences(metadata: Path, references: References, format: Format) -> tuple[str, ...]:
    """Where a compiled model's interface is not the promised one, a sentence each.

    Raises EvaluationError where the file cannot be read.
    """
    try:
        (model,) = json.loads(metadata.read_text(encoding="utf-8"))
        given = {
            "input": {feature["name"]: _given(feature) for feature in model["inputSchema"]},
            "output": {feature["name"]: _given(feature) for feature in model["outputSchema"]},
        }
        labels = [str(label) for label in model["classLabels"]] if "classLabels" in model else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvaluationError(
            f"the compiled model's {metadata.name} cannot be read: {type(error).__name__}: {error}"
        ) from error
    interface = references.interface
    inputs = {i.name: _image(i) if isinstance(i, ImageInput) else _tensor(i, format) for i in interface.inputs}
    found = [*_compared("input", inputs, given["input"])]
    found += _compared("output", _outputs(interface, default_answer(references), format), given["output"])
    if labels is not None:
        found += _labels(interface.classifier.labels if interface.classifier else (), labels)
    return tuple(found)


def default_answer(references: References) -> Tensors:
    """What the source answered to the first sample whose inputs all have their default shape; empty without one."""
    reference = references.reference
    for sample, answered in zip(reference.samples, reference.outputs, strict=True):
        if all(is_default(spec, sample.inputs[spec.name].shape) for spec in references.interface.inputs):
            return answered
    return {}


def is_default(spec: ImageInput | TensorInput, shape: Sequence[int]) -> bool:
    """Whether a sample's shape, of a picture [H, W] or [H, W, 3], is the one that the file says."""
    if isinstance(spec, ImageInput):
        return tuple(shape[:2]) == spec.size
    return tuple(shape) == spec.default_shape


def _image(image: ImageInput) -> _Facts:
    facts = {"type": "Image", "color layout": _COLORS[image.color], "size": _sides(image.size)}
    if image.enumerated:
        facts["other sizes"] = _listed((image.size, *image.enumerated))
    elif image.ranges:
        facts["other sizes"] = _ranges((side.lower, side.upper) for side in image.ranges)
    return facts


def _tensor(tensor: TensorInput, format: Format) -> _Facts:
    facts = {"type": "MultiArray", "dtype": _dtype(tensor.dtype, format), "shape": _sides(tensor.default_shape)}
    if tensor.enumerated:
        facts["other shapes"] = _listed(tensor.enumerated)
    elif any(isinstance(side, Range) for side in tensor.shape):
        bounds = ((s.lower, s.upper) if isinstance(s, Range) else (s, s) for s in tensor.shape)
        facts["other shapes"] = _ranges(bounds)
    return facts


def _outputs(interface: Interface, answered: Tensors, format: Format) -> dict[str, _Facts]:
    classifier = interface.classifier
    facts: dict[str, _Facts] = {}
    if classifier:
        facts[classifier.predicted_feature_name] = {"type": "String"}
        facts[classifier.probabilities_name] = {"type": "Dictionary", "keys": "String"}
    for output in interface.outputs[1 if classifier else 0 :]:
        shape = answered[output.name].shape if output.name in answered else ()
        facts[output.name] = _output(output, shape, format)
    return facts


def _output(output: Output, shape: Sequence[int], format: Format) -> _Facts:
    """The interface promises no shape, but the source has answered in one: [1, C, H, W] for an image."""
    if output.color:
        facts = {"type": "Image", "color layout": _COLORS[output.color]}
        return facts | ({"size": _sides(shape[2:])} if len(shape) == 4 else {})
    facts = {"type": "MultiArray", "dtype": _dtype(output.dtype, format)}
    return facts | ({"shape": _sides(shape)} if shape and format == "mlpackage" else {})


def _dtype(dtype: str, format: Format) -> str:
    """NeuralNetwork has float32 alone, and takes an app's integers all the same."""
    return "Float32" if format == "mlmodel" else dtype.capitalize()


def _given(feature: Mapping[str, Any]) -> _Facts:
    facts = {"type": feature["type"]}
    if facts["type"] == "Image":
        facts["color layout"] = feature["colorspace"]
        facts["size"] = _sides((int(feature["height"]), int(feature["width"])))
        if feature.get("hasSizeFlexibility", "0") != "0":  # width comes first
            facts["other sizes"] = (
                _listed(size[::-1] for size in json.loads(feature["enumeratedSizes"]))
                if "enumeratedSizes" in feature
                else _ranges(json.loads(feature["sizeRange"])[::-1])
            )
    elif facts["type"] == "MultiArray":
        facts["dtype"] = feature["dataType"]
        facts["shape"] = _sides(json.loads(feature["shape"]))
        if feature.get("hasShapeFlexibility", "0") != "0":
            facts["other shapes"] = (
                _listed(json.loads(feature["enumeratedShapes"]))
                if "enumeratedShapes" in feature
                else _ranges(json.loads(feature["shapeRange"]))
            )
    elif facts["type"] == "Dictionary":
        facts["keys"] = feature["keyType"]
    return facts


def _sides(sides: Sequence[int]) -> str:
    return " × ".join(map(str, sides))


def _listed(shapes: Iterable[Sequence[int]]) -> str:
    """Core ML keeps the default beside the list, so the list's own order says nothing."""
    return " or ".join(_sides(shape) for shape in sorted({tuple(shape) for shape in shapes}))


def _ranges(bounds: Iterable[Sequence[int]]) -> str:
    ends = ((lower, "any" if upper == _ENDLESS else upper) for lower, upper in bounds)
    return " × ".join(str(lower) if lower == upper else f"{lower} to {upper}" for lower, upper in ends)


def _compared(direction: str, promised: Mapping[str, _Facts], given: Mapping[str, _Facts]) -> Iterator[str]:
    for name, facts in promised.items():
        subject = f"the {direction} {name!r}"
        if name not in given:
            yield f"the compiled model lacks {subject}; it has {', '.join(map(repr, given)) or 'none'}"
        elif given[name]["type"] != facts["type"]:
            yield f"{subject}: the compiled model says {given[name]['type']}, not {facts['type']}"
        else:
            yield from _feature(subject, facts, given[name], complete=direction == "input")
    for name in given:
        if name not in promised:
            yield f"the compiled model has the {direction} {name!r}, which was not promised"


def _feature(subject: str, promised: _Facts, given: _Facts, *, complete: bool) -> Iterator[str]:
    """Of an output, what both sides say is compared: its description may leave out its shape, or say more."""
    for fact in dict.fromkeys((*promised, *given)):
        wanted, said = promised.get(fact, ""), given.get(fact, "")
        if said != wanted and (complete or (said and wanted)):
            yield f"{subject}: the compiled model says {fact} {said or 'none'}, not {wanted or 'none'}"


def _labels(promised: Sequence[str], given: Sequence[str]) -> Iterator[str]:
    if len(promised) != len(given):
        yield f"the compiled model has {len(given)} class labels, not {len(promised)}"
    for index, (label, other) in enumerate(zip(promised, given, strict=False)):
        if label != other:
            yield f"class label {index}: the compiled model says {other!r}, not {label!r}"
            return
