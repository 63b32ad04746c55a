"""A model's description, which is what an app sees: names, types, shapes, flexibility."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from converter.evaluate.faults.fault import Faults
from converter.evaluate.proto import FeatureTypes_pb2

_ARRAY = FeatureTypes_pb2.ArrayFeatureType
_COLORS = FeatureTypes_pb2.ImageFeatureType.ColorSpace
_CLASSIFIERS = ("neuralNetworkClassifier", "pipelineClassifier")
# The data types for which a default value of each kind may stand.
_DEFAULTS = {
    "doubleDefaultValue": (_ARRAY.DOUBLE,),
    "floatDefaultValue": (_ARRAY.FLOAT32, _ARRAY.FLOAT16),
    "intDefaultValue": (_ARRAY.INT32, _ARRAY.INT8),
}


def faces(spec: Any) -> Iterator[tuple[str, Any]]:
    """Each described function's name and description; of a model without functions "" and the model's."""
    if spec.description.functions:
        yield from ((function.name, function) for function in spec.description.functions)
    else:
        yield "", spec.description


def check(spec: Any, faults: Faults) -> None:
    """Add what is wrong with the description itself, whatever the model behind it."""
    kind = spec.WhichOneof("Type")
    for function, face in faces(spec):
        here = faults.at(function=function)
        if not face.output:
            here.add("the description has no output")
        if not face.input and not (kind == "mlProgram" and spec.specificationVersion >= 9):
            here.add("the description has no input")
        for what, features in (("input", [*face.input, *face.state]), ("output", list(face.output))):
            _check_names(what, features, here)
        for what, features in (("input", face.input), ("output", face.output), ("state", face.state)):
            for feature in features:
                for problem in _problems(feature.type, what):
                    here.at(op=what, name=feature.name).add(problem)
        _check_predictions(face, kind, here)


def _check_names(what: str, features: Sequence[Any], faults: Faults) -> None:
    for name, count in Counter(feature.name for feature in features).items():
        if not name:
            faults.add(f"an {what} has no name")
        elif count > 1:
            faults.at(op=what, name=name).add(f"is described {count} times")


def _check_predictions(face: Any, kind: str, faults: Faults) -> None:
    outputs = {feature.name: feature for feature in face.output}
    for field in ("predictedFeatureName", "predictedProbabilitiesName"):
        name = getattr(face, field)
        if name and name not in outputs:
            faults.add(f"{field} is {name!r}, which is no output; the outputs are {', '.join(outputs)}")
    if kind in _CLASSIFIERS and not face.predictedFeatureName:
        faults.add("the classifier has no predictedFeatureName")
    predicted = outputs.get(face.predictedFeatureName)
    if predicted and kind in _CLASSIFIERS and predicted.type.WhichOneof("Type") not in ("stringType", "int64Type"):
        faults.at(op="output", name=predicted.name).add("is the predicted label, but neither a string nor an int")


def _problems(kind: Any, what: str) -> Iterator[str]:
    """What is wrong with one feature's type; `what` is input, output or state."""
    which = kind.WhichOneof("Type")
    if which is None:
        yield "has no type"
    elif (which == "stateType") != (what == "state"):
        yield f"is of type {which}, which cannot stand among the {what}s"
    elif which == "multiArrayType":
        yield from _of_array(kind.multiArrayType, what)
    elif which == "imageType":
        yield from _of_image(kind.imageType)
    elif which == "dictionaryType" and kind.dictionaryType.WhichOneof("KeyType") is None:
        yield "is a dictionary without a key type"
    elif which == "sequenceType" and kind.sequenceType.WhichOneof("Type") is None:
        yield "is a sequence without an element type"
    elif which == "stateType":
        array = kind.stateType.arrayType
        if array.dataType != _ARRAY.FLOAT16:
            yield f"is a state of {_data_type(array)}; only FLOAT16 is allowed"
        if not array.shape:
            yield "is a state without a shape"
        if array.WhichOneof("ShapeFlexibility") or kind.isOptional:
            yield "is a state; it cannot be flexible or optional"


def _of_array(array: Any, what: str) -> Iterator[str]:
    default, flexibility = list(array.shape), array.WhichOneof("ShapeFlexibility")
    if array.dataType not in (_ARRAY.DOUBLE, _ARRAY.FLOAT32, _ARRAY.FLOAT16, _ARRAY.INT32, _ARRAY.INT8):
        yield f"has the data type {_data_type(array)}; DOUBLE, FLOAT32, FLOAT16, INT32 and INT8 are allowed"
    if any(size < 0 for size in default):
        yield f"has the shape {default}"
    if what == "input" and not default and not flexibility:
        yield "has no shape"
    if flexibility == "enumeratedShapes":
        shapes = [list(shape.shape) for shape in array.enumeratedShapes.shapes]
        if not shapes or [] in shapes:
            yield "lists no shapes, or an empty one"
        elif default and default not in shapes:
            yield f"has the default shape {default}, which is not among those listed"
    elif flexibility == "shapeRange":
        ranges = list(array.shapeRange.sizeRanges)
        if default and len(ranges) != len(default):
            yield f"has the default shape {default}, but ranges for {len(ranges)} dimensions"
        elif any(map(_is_empty, ranges)):
            yield "has a range whose upper bound lies below the lower"
        elif default and not all(map(_holds, ranges, default)):
            yield f"has the default shape {default}, which lies outside its ranges"
    value = array.WhichOneof("defaultOptionalValue")
    if value and array.dataType not in _DEFAULTS[value]:
        yield f"has a {value}, but the data type {_data_type(array)}"


def _of_image(image: Any) -> Iterator[str]:
    flexibility = image.WhichOneof("SizeFlexibility")
    if image.colorSpace not in _COLORS.values() or image.colorSpace == _COLORS.Value("INVALID_COLOR_SPACE"):
        yield f"has the unknown colour space {image.colorSpace}"
    has_default = image.width > 0 and image.height > 0
    if not has_default and not flexibility:
        yield f"is an image of {image.width} x {image.height} pixels (width x height)"
    if flexibility == "enumeratedSizes":
        sizes = [(size.width, size.height) for size in image.enumeratedSizes.sizes]
        if not sizes or any(0 in size for size in sizes):
            yield "lists no image sizes, or an empty one"
        elif has_default and (image.width, image.height) not in sizes:
            yield f"has the default size {image.width} x {image.height}, which is not among those listed"
    elif flexibility == "imageSizeRange":
        ranges = (image.imageSizeRange.widthRange, image.imageSizeRange.heightRange)
        if any(map(_is_empty, ranges)):
            yield "has a range whose upper bound lies below the lower"
        elif has_default and not all(map(_holds, ranges, (image.width, image.height))):
            yield f"has the default size {image.width} x {image.height}, which lies outside its ranges"


def _is_empty(size_range: Any) -> bool:
    return bool(0 < size_range.upperBound < size_range.lowerBound)


def _holds(size_range: Any, size: int) -> bool:
    """An upper bound below zero means none."""
    return bool(size_range.lowerBound <= size and (size_range.upperBound < 0 or size <= size_range.upperBound))


def _data_type(array: Any) -> str:
    known = _ARRAY.ArrayDataType
    return known.Name(array.dataType) if array.dataType in known.values() else f"number {array.dataType}"
