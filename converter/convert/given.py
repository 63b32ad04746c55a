"""A Core ML file that was converted elsewhere: taken as it is, if it has the interface that the manifest describes."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from converter.convert.coreml import coremltools
from converter.errors import ConversionError
from converter.model import Conversion, ImageInput, Interface, Output, Precision, Range, Source, Target, TensorInput

_SYSTEMS = {5: "iOS14", 6: "iOS15", 7: "iOS16", 8: "iOS17", 9: "iOS18", 10: "iOS26"}  # by specification version
_COLORS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE"}
_ARRAYS = {65568: "float32", 65600: "double", 131104: "int32", 131080: "int8", 65552: "float16"}
_CREATOR = "com.github.apple.coremltools."


def given(source: Source, file: Path, target: Target, path: Path) -> Conversion:
    """Copy a .mlmodel file or a .mlpackage folder to `path`, byte for byte.

    Deployment target, precision and versions are what the file says. Raises ConversionError with every difference
    between its interface and the source's.
    """
    started = time.perf_counter()
    try:
        spec = _specification(file)
        complaints = [*_inputs(spec, source.interface), *_outputs(spec, source.interface)]
        if complaints:
            raise ConversionError(
                "its interface is not the manifest's:\n" + "\n".join(f"    {one}" for one in complaints),
                fix="write the file's names, sizes and types into the manifest, or convert it with the manifest's",
            )
        shutil.copytree(file, path) if file.is_dir() else shutil.copyfile(file, path)
    except ConversionError as error:
        raise error.within(source.place, "convert", f"the given {file.name}") from error.__cause__
    return Conversion(
        route="given",
        target=Target(
            format=target.format,
            deployment_target=_SYSTEMS.get(spec.specificationVersion, "iOS13"),
            compute_precision=_precision(spec),
            compute_units=target.compute_units,
        ),
        path=path,
        seconds=time.perf_counter() - started,
        versions=_versions(spec.description.metadata.userDefined),
    )


def _specification(file: Path) -> Any:
    try:
        content = _root(file).read_bytes()
        spec = coremltools().proto.Model_pb2.Model.FromString(content)
    except Exception as error:  # protobuf's errors have no public base class
        raise ConversionError(
            f"it cannot be read: {type(error).__name__}: {error}".replace(str(file), file.name),
            fix="give a whole .mlmodel file or .mlpackage folder",
        ) from error
    if spec.WhichOneof("Type") is None:
        raise ConversionError("it holds no model", fix="give a whole .mlmodel file or .mlpackage folder")
    return spec


def _root(file: Path) -> Path:
    """The specification; of a package the one that its Manifest.json names."""
    if not file.is_dir():
        return file
    content = json.loads((file / "Manifest.json").read_text(encoding="utf-8"))
    return file / "Data" / str(content["itemInfoEntries"][content["rootModelIdentifier"]]["path"])


def _inputs(spec: Any, interface: Interface) -> Iterator[str]:
    found = {feature.name: feature for feature in spec.description.input}
    for feature in interface.inputs:
        if feature.name not in found:
            yield f"there is no input {feature.name!r}; the file has {_listed(found)}"
        elif isinstance(feature, ImageInput):
            yield from _image(found[feature.name].type, feature)
        else:
            yield from _tensor(found[feature.name].type, feature)
    for name in found.keys() - {feature.name for feature in interface.inputs}:
        if not found[name].type.isOptional:
            yield f"the file also wants an input {name!r}"


def _image(kind: Any, feature: ImageInput) -> Iterator[str]:
    # Where both are in colour their order is no difference: Core ML gives a file the order that it asks for, and
    # whether it is the source's is measured.
    color = _COLORS.get(kind.imageType.colorSpace, "no colours") if kind.HasField("imageType") else _kind(kind)
    if ("GRAYSCALE" in (color, feature.color) and color != feature.color) or color not in _COLORS.values():
        yield f"input {feature.name!r} takes {color}, the manifest says {feature.color}"
        return
    wanted: list[tuple[int, int]] = [feature.size, *feature.enumerated]
    if feature.ranges:
        wanted += [
            (feature.ranges[0].lower, feature.ranges[1].lower),
            (feature.ranges[0].upper, feature.ranges[1].upper),
        ]
    image = kind.imageType
    for height, width in dict.fromkeys(wanted):
        if not _takes_size(image, height, width):
            yield (
                f"input {feature.name!r} does not take {height} x {width} pixels (height x width); "
                f"its own size is {image.height} x {image.width}"
            )


def _takes_size(image: Any, height: int, width: int) -> bool:
    if image.WhichOneof("SizeFlexibility") == "enumeratedSizes":
        return any((s.height, s.width) == (height, width) for s in image.enumeratedSizes.sizes)
    if image.WhichOneof("SizeFlexibility") == "imageSizeRange":
        sizes = image.imageSizeRange
        return _within(height, sizes.heightRange) and _within(width, sizes.widthRange)
    return (image.height, image.width) == (height, width)


def _within(size: int, bounds: Any) -> bool:
    return bool(bounds.lowerBound <= size and (bounds.upperBound < 0 or size <= bounds.upperBound))


def _tensor(kind: Any, feature: TensorInput) -> Iterator[str]:
    if not kind.HasField("multiArrayType"):
        yield f"input {feature.name!r} is {_kind(kind)}, the manifest says a multi-array"
        return
    array = kind.multiArrayType
    dtype = _ARRAYS.get(array.dataType, "of an unknown type")
    if dtype != feature.dtype:
        yield f"input {feature.name!r} is {dtype}, the manifest says {feature.dtype}"
    bounds = [d if isinstance(d, Range) else Range(d, d) for d in feature.shape]
    wanted = [feature.default_shape, *feature.enumerated]
    wanted += [tuple(d.lower for d in bounds), tuple(d.upper for d in bounds)] if not feature.enumerated else []
    for shape in dict.fromkeys(wanted):
        if not _takes_shape(array, shape):
            yield f"input {feature.name!r} does not take the shape {list(shape)}; its own is {list(array.shape)}"


def _takes_shape(array: Any, shape: tuple[int, ...]) -> bool:
    if array.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
        return any(tuple(s.shape) == shape for s in array.enumeratedShapes.shapes)
    if array.WhichOneof("ShapeFlexibility") == "shapeRange":
        sizes = array.shapeRange.sizeRanges
        return len(sizes) == len(shape) and all(_within(*pair) for pair in zip(shape, sizes, strict=True))
    return tuple(array.shape) == shape


def _outputs(spec: Any, interface: Interface) -> Iterator[str]:
    found = {feature.name: feature.type for feature in spec.description.output}
    classifier, plain = interface.classifier, list(interface.outputs)
    if classifier:
        plain = plain[1:]
        for name, kind, words in (
            (classifier.predicted_feature_name, "stringType", "a label"),
            (classifier.probabilities_name, "dictionaryType", "a dictionary of probabilities"),
        ):
            if name not in found:
                yield f"there is no output {name!r} ({words}); the file has {_listed(found)}"
            elif not found[name].HasField(kind):
                yield f"output {name!r} is {_kind(found[name])}, not {words}"
        yield from _labels(spec, classifier.labels)
    for output in plain:
        if output.name not in found:
            yield f"there is no output {output.name!r}; the file has {_listed(found)}"
        else:
            yield from _output(found[output.name], output)


def _output(kind: Any, output: Output) -> Iterator[str]:
    if output.color:
        color = _COLORS.get(kind.imageType.colorSpace) if kind.HasField("imageType") else _kind(kind)
        if color != output.color:
            yield f"output {output.name!r} is {color}, the manifest says an image, {output.color}"
    elif not kind.HasField("multiArrayType"):
        yield f"output {output.name!r} is {_kind(kind)}, the manifest says a multi-array"
    elif (dtype := _ARRAYS.get(kind.multiArrayType.dataType)) not in (output.dtype, "double"):
        # A NeuralNetwork says double, and gives float32.
        yield f"output {output.name!r} is {dtype}, the manifest says {output.dtype}"


def _labels(spec: Any, labels: tuple[str, ...]) -> Iterator[str]:
    """Which labels there are; whether they are in the scores' order is measured."""
    found = _found_labels(spec)
    if found is None:
        yield "the file has no labels, the manifest describes a classifier"
        return
    lost, foreign = sorted(set(labels) - set(found)), sorted(set(found) - set(labels))
    if len(found) != len(labels):
        yield f"the file has {len(found)} labels, the manifest {len(labels)}"
    if lost or foreign:
        yield f"the file's labels are others: without {_listed(lost[:3])}, with {_listed(foreign[:3])}"
    twice = [label for label, count in Counter(found).items() if count > 1]
    if twice:
        yield f"the file has the label {twice[0]!r} twice"


def _found_labels(spec: Any) -> list[str] | None:
    kind = spec.WhichOneof("Type")
    if kind == "neuralNetworkClassifier":
        which = spec.neuralNetworkClassifier.WhichOneof("ClassLabels")
        return [str(one) for one in getattr(spec.neuralNetworkClassifier, which).vector] if which else None
    for operation in _operations(spec) if kind == "mlProgram" else ():
        if operation.type == "classify":
            values = operation.inputs["classes"].arguments[0].value.immediateValue.list.values
            return [_label(value.immediateValue.tensor) for value in values]
    return None


def _label(tensor: Any) -> str:
    return str([*tensor.strings.values, *tensor.ints.values, *tensor.longInts.values][0])


def _operations(spec: Any) -> Iterator[Any]:
    for function in spec.mlProgram.functions.values():
        yield from function.block_specializations[function.opset].operations


def _precision(spec: Any) -> Precision:
    """Half precision as soon as one operation computes in it: that bounds what can be asked of the answers."""
    if spec.WhichOneof("Type") != "mlProgram":
        return "float32"
    float16 = coremltools().proto.MIL_pb2.FLOAT16
    for operation in _operations(spec):
        computes = operation.type not in ("const", "cast") and not operation.type.startswith("constexpr")
        if computes and any(output.type.tensorType.dataType == float16 for output in operation.outputs):
            return "float16"
    return "float32"


def _versions(said: Mapping[str, str]) -> Mapping[str, str]:
    """Of the libraries that made the file, by its own metadata."""
    found = {}
    if f"{_CREATOR}version" in said:
        found["coremltools"] = said[f"{_CREATOR}version"]
    name, separator, version = said.get(f"{_CREATOR}source", "").partition("==")
    if separator:
        found[name] = version
    return found or {"coremltools": "of an unknown version"}


def _kind(kind: Any) -> str:
    """`an image`, `a multi-array`, ... in words."""
    words = {"imageType": "an image", "multiArrayType": "a multi-array", "dictionaryType": "a dictionary"}
    which = kind.WhichOneof("Type")
    return words.get(which, str(which).removesuffix("Type"))


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
