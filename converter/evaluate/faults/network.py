"""A NeuralNetwork: its layers against one another, against their weights and against the description."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.faults.counts import LARGEST, asked_channels, channels, repaired, with_channels
from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.network_face import check_classifier, check_outputs, is_flexible
from converter.evaluate.faults.numbers import check_numbers
from converter.evaluate.layers.binding import arguments
from converter.evaluate.layers.binding import check as check_arguments
from converter.evaluate.layers.inputs import entered
from converter.evaluate.layers.network import Block, Layer
from converter.evaluate.layers.table import layers
from converter.evaluate.proto import FeatureTypes_pb2

# Layers that take an index, a size or a count as a value: with made-up inputs their failure says nothing.
_BY_VALUE = frozenset(
    """
    gather gatherND gatherAlongAxis scatter scatterND scatterAlongAxis reshapeDynamic sliceDynamic fillDynamic
    rangeDynamic broadcastToDynamic randomNormalDynamic randomUniformDynamic randomBernoulliDynamic tile topK
    embedding embeddingND cropResize constantPad NonMaximumSuppression oneHot sliceBySize reverseSeq whereNonZero
    categoricalDistribution
    """.split()  # noqa: SIM905  # one a line would take a page
)


def check(spec: Any, faults: Faults) -> None:
    """Add what is wrong with the layers, each by itself, in their order, and computed once."""
    kind = spec.WhichOneof("Type")
    network = getattr(spec, kind)
    inputs = {feature.name: feature for feature in spec.description.input}
    if not network.layers:
        faults.add("the network has no layers")
    made = _made(spec, kind)
    known = set(inputs)
    prepared = _prepared(network.layers, known, set(inputs), faults)
    _check_names(network, faults)
    for feature in spec.description.output:
        if feature.name not in known and feature.name not in made:
            faults.at(op="output", name=feature.name).add("is described, but no layer gives it")
    _check_preprocessing(network, inputs, faults)
    scope = dict(_seeds(network, inputs, faults))
    run = _Run(faults, is_flexible=is_flexible(spec.description.input))
    with torch.inference_mode():
        run.walk(prepared, scope)
    check_outputs(spec, network, scope, faults)
    if kind == "neuralNetworkClassifier":
        check_classifier(spec, network, known, scope, faults)


def _made(spec: Any, kind: str) -> set[str]:
    """The outputs that a classifier makes of its scores."""
    if kind != "neuralNetworkClassifier":
        return set()
    return {spec.description.predictedFeatureName, spec.description.predictedProbabilitiesName}


def _check_names(network: Any, faults: Faults) -> None:
    for name, count in Counter(layer.name for layer in network.layers).items():
        if count > 1:
            faults.at(op="layer", name=name).add(f"{count} layers have this name")


def _check_preprocessing(network: Any, inputs: Mapping[str, Any], faults: Faults) -> None:
    for step in network.preprocessing:
        feature = inputs.get(step.featureName)
        name = step.featureName
        if not name and len(inputs) == 1:  # an empty name means the only input
            feature = next(iter(inputs.values()))
        if feature is None:
            faults.at(op="preprocessing", name=name).add(f"is for {name!r}, which is no input; {', '.join(inputs)} are")
        elif feature.type.WhichOneof("Type") != "imageType":
            faults.at(op="preprocessing", name=name).add("is for an input that is no image")
        for field, value in step.scaler.ListFields():
            if not math.isfinite(value):
                faults.at(op="preprocessing", name=name).add(f"its {field.name} is {value}")
    for field_name in ("arrayInputShapeMapping", "imageInputShapeMapping"):
        known = network.DESCRIPTOR.fields_by_name[field_name].enum_type.values_by_number
        if (number := getattr(network, field_name)) not in known:
            faults.add(f"{field_name} is {number}, which does not exist")


def _seeds(network: Any, inputs: Mapping[str, Any], faults: Faults) -> Iterator[tuple[str, Tensor]]:
    """The made-up inputs, as the first layers see them."""
    random = torch.Generator().manual_seed(0)
    for name, feature in inputs.items():
        which = feature.type.WhichOneof("Type")
        if which == "imageType":
            image = feature.type.imageType
            gray = image.colorSpace in (
                FeatureTypes_pb2.ImageFeatureType.GRAYSCALE,
                FeatureTypes_pb2.ImageFeatureType.GRAYSCALE_FLOAT16,
            )
            if not 0 < image.height * image.width <= LARGEST or image.height < 0:
                continue
            value = torch.rand((1, 1 if gray else 3, image.height, image.width), generator=random) * 255
        elif which == "multiArrayType" and feature.type.multiArrayType.shape:
            array = feature.type.multiArrayType
            shape = tuple(max(size, 0) for size in array.shape)
            if math.prod(shape) > LARGEST:
                continue
            value = torch.rand(shape, generator=random)
            if array.dataType == FeatureTypes_pb2.ArrayFeatureType.INT32:
                value = torch.zeros_like(value)
        elif which in ("doubleType", "int64Type"):
            value = torch.ones(1)
        else:
            continue
        try:
            yield name, entered(value, feature, network)
        except (EvaluationError, RuntimeError, ValueError) as error:
            faults.at(op="input", name=name).add(getattr(error, "problem", str(error)))


def _prepared(messages: Iterable[Any], known: set[str], taken: set[str], faults: Faults) -> list[Layer | None]:
    """The layers in order, None for one that cannot be run.

    `known` grows by the values that may be read afterwards, `taken` by those that no later layer may give again: what
    stands in a nested network may be read, and given again, outside of it.
    """
    found: list[Layer | None] = []
    for message in messages:
        kind = message.WhichOneof("layer")
        here = faults.at(op=kind or "layer", name=message.name)
        for name in message.input:
            if name not in known:
                here.add(f"reads {name!r}, which no layer before it gives")
        layer = _layer(message, kind, known, taken, here)
        for name in message.output:
            if name in taken and kind != "copy":
                here.add(f"gives {name!r}, which stands already")
        known |= set(message.output)
        taken |= set(message.output)
        if not message.output and kind not in ("branch", "loop", "loopBreak", "loopContinue"):
            here.add("has no output")
        found.append(layer)
    return found


def _layer(message: Any, kind: str | None, known: set[str], taken: set[str], here: Faults) -> Layer | None:
    if kind is None:
        here.add("has no type, or one that this version of coremltools does not know")
        return None
    params = getattr(message, kind)
    check_numbers(message, kind, here)
    op = layers.find(kind, 1)
    if op is None or _is_dynamically_quantised(params):  # a custom layer's code is in the app
        return None
    params = repaired(kind, params, here)
    if params is None:
        return None

    def nested(block: Any) -> Block:
        steps = _prepared(block.layers, known, set(taken), here)
        return Block(tuple(step for step in steps if step is not None))

    try:
        fields = arguments(params, nested)
        check_arguments(op, message.input, fields)
    except EvaluationError as error:
        here.caught(error)
        return None
    return Layer(message.name, kind, op, tuple(message.input), tuple(message.output), fields)


def _is_dynamically_quantised(params: Any) -> bool:
    return bool(getattr(params, "int8DynamicQuantize", False))


class _Run:
    """Computes what can be; a layer whose inputs are not known stays unchecked, and so do its results.

    Where the inputs' sizes are flexible, a failure may come from the default sizes, and says nothing about the file.
    """

    def __init__(self, faults: Faults, *, is_flexible: bool) -> None:
        self.faults = faults
        self.is_flexible = is_flexible

    def walk(self, steps: Iterable[Layer | None], scope: dict[str, Tensor]) -> None:
        """Compute each layer once: the branch that is taken, one round of a loop."""
        for layer in steps:
            if layer is None or any(name not in scope for name in layer.inputs):
                continue
            if layer.kind == "branch":
                condition = scope[layer.inputs[0]]
                if condition.numel() != 1:
                    here = self.faults.at(op=layer.kind, name=layer.name)
                    here.add(f"its condition is of shape {list(condition.shape)}, one number is needed")
                    continue
                taken = abs(float(condition)) > 1e-6
                block = layer.fields.get("ifBranch" if taken else "elseBranch")
                if block is not None:
                    self.walk(block.layers, scope)
            elif layer.kind == "loop":
                for name in ("conditionNetwork", "bodyNetwork"):
                    if name in layer.fields:
                        self.walk(layer.fields[name].layers, scope)
            elif layer.kind not in ("loopBreak", "loopContinue"):
                self._compute(layer, scope)

    def _compute(self, layer: Layer, scope: dict[str, Tensor]) -> None:
        here = self.faults.at(op=layer.kind, name=layer.name)
        given = {name: scope[name] for name in layer.inputs}
        if layer.inputs and (asked := asked_channels(layer)) is not None:
            first = given[layer.inputs[0]]
            found = channels(layer, first)
            if found is not None and found != asked:
                here.add(f"takes {asked} channels, its input {layer.inputs[0]!r} has {found}")
                if not 0 < asked * first.numel() <= LARGEST * max(found, 1):
                    return
                given[layer.inputs[0]] = with_channels(layer, first, asked)
        try:
            layer.run(given)
        except EvaluationError as error:
            if not self.is_flexible and layer.kind not in _BY_VALUE and all(value.numel() for value in given.values()):
                here.add(error.problem, error.fix or "convert the model again")
            return
        except (TypeError, ArithmeticError, KeyError, AttributeError, MemoryError) as error:  # layer.run lets these by
            here.add(f"cannot be computed: {error or type(error).__name__}")
            return
        scope |= {name: given[name] for name in layer.outputs if name in given}
