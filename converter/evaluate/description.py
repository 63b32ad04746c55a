"""What a Core ML file is, read without running it (and without torch)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converter.errors import EvaluationError
from converter.evaluate import bundle, pipeline
from converter.evaluate.proto import FeatureTypes_pb2, MIL_pb2, named

_MINIMUM_OS = {
    1: "iOS 11, macOS 10.13",
    2: "iOS 11.2, macOS 10.13.2",
    3: "iOS 12, macOS 10.14",
    4: "iOS 13, macOS 10.15",
    5: "iOS 14, macOS 11",
    6: "iOS 15, macOS 12",
    7: "iOS 16, macOS 13",
    8: "iOS 17, macOS 14",
    9: "iOS 18, macOS 15",
    10: "iOS 26, macOS 26",
}
_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """An input or output: `type` in words, with shape, size or key type; `flexibility` where sizes may vary."""

    name: str
    type: str
    flexibility: str = ""
    optional: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A Core ML file as Xcode shows it, and its ops; `ops` counts by type and precision (NeuralNetwork has none).

    Of a package with several functions the inputs, outputs and states are the default function's.
    """

    path: str
    kind: str
    specification_version: int
    minimum_os: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    states: tuple[Feature, ...]
    predicted_feature_name: str
    predicted_probabilities_name: str
    labels: int
    ops: Mapping[str, Mapping[str, int]]
    functions: tuple[str, ...]  # the default first; empty for a model that has only one
    compute_precision: str
    size_bytes: int
    weights_bytes: int
    author: str
    license: str
    short_description: str
    version: str
    metadata: Mapping[str, str]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def describe(model: Any) -> Description:
    """Describe a .mlmodel file, a .mlpackage folder or an MLModel; raises EvaluationError where it cannot be read."""
    opened = bundle.read(model, in_place=True)
    spec, text = opened.spec, opened.spec.description
    kind = spec.WhichOneof("Type")
    functions = sorted((f.name for f in text.functions), key=lambda name: name != text.defaultFunctionName)
    face = next((f for f in text.functions if f.name == functions[0]), text)
    try:
        ops = _counted(_ops(spec))
    except EvaluationError as error:
        error.within(opened.name)
        raise
    return Description(
        path=opened.name,
        kind=kind,
        specification_version=spec.specificationVersion,
        minimum_os=_MINIMUM_OS.get(spec.specificationVersion, "unknown"),
        inputs=tuple(map(_feature, face.input)),
        outputs=tuple(map(_feature, face.output)),
        states=tuple(map(_feature, face.state)),
        predicted_feature_name=face.predictedFeatureName,
        predicted_probabilities_name=face.predictedProbabilitiesName,
        labels=_label_count(spec, kind),
        ops=ops,
        functions=tuple(functions),
        compute_precision=_precision(ops),
        size_bytes=opened.size_bytes,
        weights_bytes=opened.weights.size_bytes,
        author=text.metadata.author,
        license=text.metadata.license,
        short_description=text.metadata.shortDescription,
        version=text.metadata.versionString,
        metadata=dict(sorted(text.metadata.userDefined.items())),
    )


def _feature(feature: Any) -> Feature:
    which = feature.type.WhichOneof("Type")
    words, flexibility = {"imageType": _image, "multiArrayType": _array}.get(which, lambda _: (_plain(which), ""))(
        getattr(feature.type, which) if which else None
    )
    if which == "dictionaryType":
        key = "int" if feature.type.dictionaryType.WhichOneof("KeyType") == "int64KeyType" else "string"
        words = f"dictionary ({key} -> number)"
    elif which == "stateType":
        words = f"state of {_array(feature.type.stateType.arrayType)[0]}"
    return Feature(
        name=feature.name,
        type=words,
        flexibility=flexibility,
        optional=feature.type.isOptional,
        description=feature.shortDescription,
    )


def _plain(which: str | None) -> str:
    return {"int64Type": "int", "doubleType": "number", "stringType": "string"}.get(which or "", str(which))


def _image(image: Any) -> tuple[str, str]:
    color = named(FeatureTypes_pb2.ImageFeatureType.ColorSpace, image.colorSpace)
    flexibility = ""
    if image.WhichOneof("SizeFlexibility") == "enumeratedSizes":
        flexibility = " or ".join(f"{s.height} x {s.width}" for s in image.enumeratedSizes.sizes)
    elif image.WhichOneof("SizeFlexibility") == "imageSizeRange":
        sizes = image.imageSizeRange
        flexibility = f"{_range(sizes.heightRange)} x {_range(sizes.widthRange)}"
    return f"image {color} {image.height} x {image.width} (height x width)", flexibility


def _array(array: Any) -> tuple[str, str]:
    data_type = named(FeatureTypes_pb2.ArrayFeatureType.ArrayDataType, array.dataType).lower()
    flexibility = ""
    if array.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
        flexibility = " or ".join(str(list(s.shape)) for s in array.enumeratedShapes.shapes)
    elif array.WhichOneof("ShapeFlexibility") == "shapeRange":
        flexibility = f"[{', '.join(_range(r) for r in array.shapeRange.sizeRanges)}]"
    return f"{data_type} {list(array.shape)}" if array.shape else data_type, flexibility


def _range(size: Any) -> str:
    if size.lowerBound == size.upperBound:
        return str(size.lowerBound)
    return f"{size.lowerBound}..{'' if size.upperBound < 0 else size.upperBound}"


def _ops(spec: Any) -> Iterator[tuple[str, str]]:
    """Type and precision of each operation or layer, of all models of a pipeline."""
    kind = spec.WhichOneof("Type")
    if kind in pipeline.KINDS:
        for member in pipeline.models(spec).models:
            yield from _ops(member)
    elif kind == "mlProgram":
        yield from _program_ops(spec)
    elif kind in _NETWORKS:
        for layer in getattr(spec, kind).layers:
            yield layer.WhichOneof("layer") or "unknown", ""
    else:
        yield str(kind), ""


def _program_ops(spec: Any) -> Iterator[tuple[str, str]]:
    """Type and precision of each operation of each function; constants are left out."""
    for function in spec.mlProgram.functions.values():
        if function.opset not in function.block_specializations:
            raise EvaluationError(f"a function has no block for its opset {function.opset!r}")
        yield from _block_ops(function.block_specializations[function.opset])


def _block_ops(block: Any) -> Iterator[tuple[str, str]]:
    for operation in block.operations:
        if operation.type != "const":
            tensors = [o.type.tensorType for o in operation.outputs if o.type.WhichOneof("type") == "tensorType"]
            yield operation.type, named(MIL_pb2.DataType, tensors[0].dataType).lower() if tensors else ""
        for nested in operation.blocks:
            yield from _block_ops(nested)


def _counted(ops: Iterator[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """The most frequent first."""
    count = Counter(ops)
    total = Counter(name for name, _ in count.elements())
    return {
        name: {precision: n for (op, precision), n in sorted(count.items()) if op == name}
        for name, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    }


def _precision(ops: Mapping[str, Mapping[str, int]]) -> str:
    """What most float operations compute in; casts are no computation."""
    floats: Counter[str] = Counter()
    for name, precisions in ops.items():
        if name != "cast" and not name.startswith("constexpr"):
            floats.update({p: n for p, n in precisions.items() if p.startswith("float")})
    return floats.most_common(1)[0][0] if floats else "float32"


def _label_count(spec: Any, kind: str) -> int:
    if kind in pipeline.KINDS:
        members = pipeline.models(spec).models
        return max((_label_count(member, member.WhichOneof("Type")) for member in members), default=0)
    if kind == "neuralNetworkClassifier":
        which = spec.neuralNetworkClassifier.WhichOneof("ClassLabels")
        return len(getattr(spec.neuralNetworkClassifier, which).vector) if which else 0
    if kind == "mlProgram":
        for function in spec.mlProgram.functions.values():
            for operation in function.block_specializations[function.opset].operations:
                if operation.type == "classify" and "classes" in operation.inputs:
                    bound = operation.inputs["classes"].arguments
                    return len(bound[0].value.immediateValue.list.values) if bound else 0
    return 0


def _lines(d: Description) -> Iterator[str]:
    weights = f", weights {d.weights_bytes:,} bytes" if d.weights_bytes else ""
    yield d.path
    yield f"  {d.kind}, specification {d.specification_version} ({d.minimum_os}), {d.compute_precision}"
    yield f"  {d.size_bytes:,} bytes{weights}"
    if d.functions:
        yield f"  functions: {', '.join(d.functions)} (default {d.functions[0]})"
    for title, some in (("inputs", d.inputs), ("outputs", d.outputs), ("states", d.states)):
        if some:
            yield f"  {title}"
        for feature in some:
            words = [feature.type, feature.flexibility and f"({feature.flexibility})", feature.optional and "optional"]
            words.append(feature.description)
            yield f"    {feature.name}: {' '.join(str(word) for word in words if word)}"
    if d.predicted_feature_name:
        yield f"  classifier: {d.labels} labels, {d.predicted_feature_name} and {d.predicted_probabilities_name}"
    for name, text in (
        ("author", d.author),
        ("license", d.license),
        ("description", d.short_description),
        ("version", d.version),
        *d.metadata.items(),
    ):
        if text:
            yield f"  {name}: {text}"
    yield f"  {sum(sum(p.values()) for p in d.ops.values())} ops"
    for name, precisions in d.ops.items():
        detail = ", ".join(f"{n} {precision}".rstrip() for precision, n in precisions.items())
        yield f"    {name}: {detail}"
