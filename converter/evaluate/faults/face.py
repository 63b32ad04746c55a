"""What an app sees of a function against the function itself. Nothing else on any system but macOS looks at this."""

from collections.abc import Mapping, Sequence
from typing import Any

from converter.evaluate.faults.fault import Faults
from converter.evaluate.mil.reader import Type
from converter.evaluate.mil.types import OtherType, TensorType
from converter.evaluate.proto import FeatureTypes_pb2

_ARRAY = FeatureTypes_pb2.ArrayFeatureType
_DATA_TYPES = {
    "DOUBLE": ("fp64", "fp32"),
    "FLOAT32": ("fp32",),
    "FLOAT16": ("fp16",),
    "INT32": ("int32",),
    "INT8": ("int8",),
}
_CHANNELS = {"GRAYSCALE": 1, "RGB": 3, "BGR": 3, "GRAYSCALE_FLOAT16": 1}


def check_face(
    face: Any, inputs: Mapping[str, Type], outputs: Sequence[str], types: Mapping[str, Type], faults: Faults
) -> None:
    """Hold a description's inputs, states and outputs against those of the function; `types` are of all its values."""
    _check_names("input", [f.name for f in face.input] + [f.name for f in face.state], list(inputs), faults)
    _check_names("output", [f.name for f in face.output], list(outputs), faults)
    for what, features, known in (
        ("input", face.input, inputs),
        ("output", face.output, types),
        ("state", face.state, inputs),
    ):
        for feature in features:
            kind = known.get(feature.name)
            if kind is not None:
                _compare(feature.type, kind, what, faults.at(op=what, name=feature.name))


def _check_names(what: str, described: Sequence[str], own: Sequence[str], faults: Faults) -> None:
    for name in dict.fromkeys(described):
        if name not in own:
            faults.at(op=what, name=name).add(f"is described, but the program has no such {what}; {_has(own)}")
    for name in dict.fromkeys(own):
        if name not in described:
            faults.at(op=what, name=name).add(f"is an {what} of the program that is not described")


def _has(names: Sequence[str]) -> str:
    return f"it has {', '.join(names)}" if names else "it has none"


def _compare(described: Any, kind: Type, what: str, faults: Faults) -> None:
    which = described.WhichOneof("Type")
    if which == "stateType" or what == "state":
        if not (isinstance(kind, OtherType) and kind.name == "state"):
            faults.add(f"is described as a state, the program's is {kind}")
        elif kind.element is not None:
            _compare_array(described.stateType.arrayType, kind.element, faults)
    elif which == "imageType":
        if not isinstance(kind, TensorType):
            faults.add(f"is described as an image, the program's is {kind}")
        else:
            _compare_image(described.imageType, kind, faults)
    elif which == "multiArrayType":
        if not isinstance(kind, TensorType):
            faults.add(f"is described as an array, the program's is {kind}")
        else:
            _compare_array(described.multiArrayType, kind, faults)
    elif which == "dictionaryType" and (not isinstance(kind, OtherType) or kind.name != "dictionary"):
        faults.add(f"is described as a dictionary, the program's is {kind}")
    elif which in ("stringType", "int64Type"):
        wanted = "string" if which == "stringType" else "int"
        if not isinstance(kind, TensorType) or kind.data_type.kind != wanted:
            faults.add(f"is described as {which.removesuffix('Type')}, the program's is {kind}")


def _compare_array(array: Any, kind: TensorType, faults: Faults) -> None:
    name = _ARRAY.ArrayDataType.Name(array.dataType) if array.dataType in _ARRAY.ArrayDataType.values() else ""
    if name in _DATA_TYPES and kind.data_type.name not in _DATA_TYPES[name]:
        faults.add(f"is described as {name}, the program's is {kind}")
    shapes = [list(array.shape)] if array.shape else []
    shapes += [list(shape.shape) for shape in array.enumeratedShapes.shapes]
    for shape in shapes:
        if not _fits(shape, kind):
            faults.add(f"is described with the shape {shape}, the program's is {kind}")
    ranges = list(array.shapeRange.sizeRanges)
    if ranges and kind.shape is not None:
        if len(ranges) != len(kind.shape):
            faults.add(f"is described with {len(ranges)} dimensions, the program's is {kind}")
        elif any(
            size is not None and not (r.lowerBound <= size and (r.upperBound < 0 or size <= r.upperBound))
            for size, r in zip(kind.shape, ranges, strict=True)
        ):
            faults.add(f"is described with ranges that do not hold the program's {kind}")


def _compare_image(image: Any, kind: TensorType, faults: Faults) -> None:
    if kind.shape is None:
        return
    if kind.data_type.kind != "float" or len(kind.shape) not in (3, 4):
        faults.add(f"is described as an image, the program's is {kind}")
        return
    channels, height, width = kind.shape[-3:]
    colors = FeatureTypes_pb2.ImageFeatureType.ColorSpace
    color = colors.Name(image.colorSpace) if image.colorSpace in colors.values() else ""
    if color in _CHANNELS and channels not in (None, _CHANNELS[color]):
        faults.add(f"is described as {color}, the program's is {kind}")
    sizes = [(image.height, image.width)] if image.height and image.width else []
    sizes += [(size.height, size.width) for size in image.enumeratedSizes.sizes]
    for described in sizes:
        if height not in (None, described[0]) or width not in (None, described[1]):
            faults.add(
                f"is described as {described[0]} x {described[1]} pixels (height x width), the program's is {kind}"
            )


def _fits(shape: Sequence[int], kind: TensorType) -> bool:
    if kind.shape is None:
        return True
    own = kind.shape or (1,)  # an array has at least one axis
    return len(shape) == len(own) and all(size in (None, n) for size, n in zip(own, shape, strict=True))
