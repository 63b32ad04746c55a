"""The specification version against what the model uses.

The versions are those of mlmodel/src/Utils.cpp in coremltools, which decide what an older system can load.
"""

from collections.abc import Iterator
from typing import Any

from converter.evaluate import pipeline
from converter.evaluate.faults.fault import Faults
from converter.evaluate.proto import FeatureTypes_pb2, NeuralNetwork_pb2

NEWEST = 10
OPSETS = {"CoreML5": 6, "CoreML6": 7, "CoreML7": 8, "CoreML8": 9, "CoreML9": 10}
_SYSTEMS = {2: "iOS 11.2", 3: "iOS 12", 4: "iOS 13", 5: "iOS 14", 6: "iOS 15", 7: "iOS 16", 8: "iOS 17", 9: "iOS 18"}
_SYSTEMS |= {10: "iOS 26"}

_ARRAY = FeatureTypes_pb2.ArrayFeatureType
_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
# Layers that iOS 11 and 12 know, and those that came with iOS 14; all others came with iOS 13.
_FIRST = frozenset(
    """
    convolution innerProduct batchnorm activation pooling padding concat lrn softmax split add multiply unary
    upsample bias l2normalize reshape flatten permute reduce loadConstant scale simpleRecurrent gru
    uniDirectionalLSTM biDirectionalLSTM crop average max min dot mvn embedding sequenceRepeat reorganizeData
    slice custom resizeBilinear cropResize
    """.split()  # noqa: SIM905  # one a line would take a page
)
_IOS12 = {"resizeBilinear", "cropResize"}
_IOS14 = {"cumSum", "oneHot", "clampedReLU", "argSort", "pooling3d", "globalPooling3d", "sliceBySize", "convolution3d"}


def check(spec: Any, faults: Faults) -> None:
    """Add a fault where the version does not exist, or is older than something that the model uses."""
    version = spec.specificationVersion
    if not 1 <= version <= NEWEST:
        faults.add(f"the specification version is {version}; there are 1 to {NEWEST}")
        return
    newest = max(_needed(spec), key=lambda found: found[0], default=(1, ""))
    if newest[0] > version:
        faults.add(
            f"the specification version is {version}, but {newest[1]} needs {newest[0]} ({_SYSTEMS[newest[0]]})",
            fix=f"convert the model again for {_SYSTEMS[newest[0]]} or newer",
        )


def _needed(spec: Any) -> Iterator[tuple[int, str]]:
    """A version, and what of the model needs it."""
    kind = spec.WhichOneof("Type")
    faces = list(spec.description.functions) or [spec.description]
    if kind in pipeline.KINDS:
        for member in pipeline.models(spec).models:
            yield from _needed(member)
    for face in faces:
        yield from _of_features(face, kind)
    if kind == "mlProgram":
        yield 6, "an ML Program"
        for name, function in spec.mlProgram.functions.items():
            yield OPSETS.get(function.opset, 1), f"the opset {function.opset} of function {name}"
        if spec.description.functions or spec.description.defaultFunctionName:
            yield 9, "a package of several functions"
    elif kind in _NETWORKS:
        yield from _of_network(getattr(spec, kind))
    elif kind == "nonMaximumSuppression":
        yield 3, "non-maximum suppression"
    if spec.isUpdatable:
        yield 4, "an updatable model"


def _of_features(face: Any, kind: str) -> Iterator[tuple[int, str]]:
    for feature in [*face.input, *face.output, *face.state]:
        said, which = f"the type of {feature.name!r}", feature.type.WhichOneof("Type")
        if which == "multiArrayType":
            array = feature.type.multiArrayType
            if array.dataType == _ARRAY.FLOAT16:
                yield 7, said
            elif array.dataType == _ARRAY.INT8:
                yield 10, said
            elif array.dataType == _ARRAY.FLOAT32 and kind == "nonMaximumSuppression":
                yield 5, said
            if array.WhichOneof("defaultOptionalValue") and feature.type.isOptional:
                yield 5, f"the default value of {feature.name!r}"
        elif which == "imageType" and feature.type.imageType.colorSpace == _gray16():
            yield 7, said
        elif which == "sequenceType":
            yield 3, said
        elif which == "stateType":
            yield 9, f"the state {feature.name!r}"
    for feature in face.input:
        if feature.type.multiArrayType.WhichOneof("ShapeFlexibility") or feature.type.imageType.WhichOneof(
            "SizeFlexibility"
        ):
            yield 3, f"the flexible shape of {feature.name!r}"


def _of_network(network: Any) -> Iterator[tuple[int, str]]:
    exact = NeuralNetwork_pb2.EXACT_ARRAY_MAPPING
    if network.arrayInputShapeMapping == exact or network.imageInputShapeMapping != 0:
        yield 4, "inputs of any rank"
    for layer in network.layers:
        kind = layer.WhichOneof("layer")
        if kind is None:
            continue
        said = f"the layer {layer.name!r} ({kind})"
        if kind in _IOS14 or _is_newer(layer, kind):
            yield 5, said
        elif kind not in _FIRST or (kind == "convolution" and len(layer.input) > 1):
            yield 4, said
        elif kind in _IOS12:
            yield 3, said
        elif kind == "custom":
            yield 2, said


def _is_newer(layer: Any, kind: str) -> bool:
    """Whether a field that came with iOS 14 is used."""
    params = getattr(layer, kind)
    if kind == "sliceDynamic":
        return len(layer.input) == 7 or len(params.squeezeMasks) > 0
    if kind == "upsample":
        return params.linearUpsampleMode != 0 or len(params.fractionalScalingFactor) > 0
    if kind == "reorganizeData":
        return bool(params.mode == type(params).PIXEL_SHUFFLE)
    if kind in ("innerProduct", "batchedMatmul"):
        return bool(params.int8DynamicQuantize)
    return kind == "concatND" and bool(params.interleave)


def _gray16() -> int:
    return int(FeatureTypes_pb2.ImageFeatureType.GRAYSCALE_FLOAT16)
