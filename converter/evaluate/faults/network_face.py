"""What an app sees of a NeuralNetwork against what its layers give."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.labels import check_labels
from converter.evaluate.proto import NeuralNetwork_pb2


def check_outputs(spec: Any, network: Any, scope: Mapping[str, Tensor], faults: Faults) -> None:
    """Hold the described shapes of outputs against what was computed, where they are exact; axes of 1 may differ."""
    features = [*spec.description.input, *spec.description.output]
    if is_flexible(features) or network.arrayInputShapeMapping != NeuralNetwork_pb2.EXACT_ARRAY_MAPPING:
        return
    for feature in spec.description.output:
        value = scope.get(feature.name)
        shape = list(feature.type.multiArrayType.shape)
        if value is not None and shape and _without_ones(value.shape) != _without_ones(shape):
            faults.at(op="output", name=feature.name).add(
                f"is described with the shape {shape}, the network gives {list(value.shape)}"
            )
        image = feature.type.imageType
        if value is not None and image.width and list(value.shape[-2:]) != [image.height, image.width]:
            faults.at(op="output", name=feature.name).add(
                f"is described as {image.width} x {image.height} pixels (width x height), the network gives "
                f"{list(value.shape)}"
            )


def _without_ones(shape: Iterable[int]) -> list[int]:
    return [size for size in shape if size != 1]


def is_flexible(features: Iterable[Any]) -> bool:
    """Whether one of the features has no fixed size."""
    return any(
        f.type.multiArrayType.WhichOneof("ShapeFlexibility") or f.type.imageType.WhichOneof("SizeFlexibility")
        for f in features
    )


def check_classifier(spec: Any, network: Any, known: set[str], scope: Mapping[str, Tensor], faults: Faults) -> None:
    """Hold labels against scores and against what is described; `known` are all values, `scope` those computed."""
    which = network.WhichOneof("ClassLabels")
    labels = list(getattr(network, which).vector) if which else []
    last = next((layer.output[0] for layer in reversed(network.layers) if layer.output), "")
    name = network.labelProbabilityLayerName or last
    if name not in known:
        faults.add(f"labelProbabilityLayerName is {name!r}, which no layer gives")
    scores = scope.get(name)
    check_labels(labels, None if scores is None else scores.numel(), faults)
    outputs = {feature.name: feature.type for feature in spec.description.output}
    label_type = "int64Type" if which == "int64ClassLabels" else "stringType"
    predicted = outputs.get(spec.description.predictedFeatureName)
    if predicted is not None and labels and predicted.WhichOneof("Type") != label_type:
        faults.at(op="output", name=spec.description.predictedFeatureName).add(
            f"is described as {predicted.WhichOneof('Type')}, the labels are {label_type}"
        )
    scored = outputs.get(spec.description.predictedProbabilitiesName)
    if scored is not None and labels and scored.WhichOneof("Type") == "dictionaryType":
        key = "int64KeyType" if which == "int64ClassLabels" else "stringKeyType"
        if scored.dictionaryType.WhichOneof("KeyType") != key:
            faults.at(op="output", name=spec.description.predictedProbabilitiesName).add(
                f"is described with {scored.dictionaryType.WhichOneof('KeyType')}, the labels are {label_type}"
            )
