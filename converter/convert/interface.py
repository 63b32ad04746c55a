"""What the app sees: image inputs, classifier, names and metadata, the same for every route and format."""

import json
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.convert.coreml import coremltools, deployment_target, little_garbage, validate
from converter.errors import ConversionError
from converter.model import ImageInput, Interface, Output, Range, Source, Target, TensorInput

_VALID_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")  # of ML Programs; NeuralNetwork accepts more
_DTYPES: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "int32": np.int32}
_MANIFEST_NAMESPACE = uuid.UUID(
    "5f1d8f6e-4c57-5d2b-9f0e-3a4f6c0f4d11"
)  # package identifiers that repeat from run to run


def check(interface: Interface) -> None:
    """Refuse, all at once, names that Core ML does not take and labels that it would take wrongly."""
    complaints = [
        f"{name!r} is no Core ML name; use letters, digits and _, and begin with no digit"
        for name in _names(interface)
        if not _VALID_NAME.fullmatch(name)
    ]
    complaints += [f"the name {name!r} is used {count} times" for name, count in _counted(_names(interface))]
    if interface.classifier:
        labels = interface.classifier.labels
        complaints += [f"label {label!r} stands {count} times in the list" for label, count in _counted(labels)]
    if complaints:
        raise ConversionError("\n".join(complaints), where=("interface",))


def _names(interface: Interface) -> list[str]:
    names = [feature.name for feature in interface.inputs]
    if interface.classifier:
        names += [interface.classifier.predicted_feature_name, interface.classifier.probabilities_name]
        return names + [output.name for output in interface.outputs[1:]]
    return names + [output.name for output in interface.outputs]


def _counted(names: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(names).items() if count > 1]


def output_names(interface: Interface, target: Target) -> tuple[str, ...]:
    """The tensors' names inside the model, one per output.

    An ML Program's dictionary of probabilities is an output of its own, so the tensor that feeds it needs another name.
    """
    names = [output.name for output in interface.outputs]
    if interface.classifier:
        probabilities = interface.classifier.probabilities_name
        names[0] = probabilities if target.format == "mlmodel" else f"{probabilities}_scores"
    return tuple(names)


def inside(interface: Interface, target: Target) -> Interface:
    """The interface with the names that tensors have inside the model."""
    names = output_names(interface, target)
    outputs = tuple(replace(output, name=name) for output, name in zip(interface.outputs, names, strict=True))
    classifier = interface.classifier and replace(interface.classifier, probabilities_name=names[0])
    return replace(interface, outputs=outputs, classifier=classifier)


def input_types(interface: Interface) -> list[Any]:
    """coremltools' ImageType or TensorType for each input.

    ImageType can say one scale and a bias per channel; the division by std happens inside the model (Apple's own
    documentation averages std instead, which is off by up to 0.058: coremltools issues 64, 905 and 2461).
    """
    return [_image_type(i) if isinstance(i, ImageInput) else _tensor_type(i) for i in interface.inputs]


def _image_type(image: ImageInput) -> Any:
    ct = coremltools()

    def shape(height: Any, width: Any) -> tuple[Any, ...]:
        return (1, image.channels, height, width)

    if image.enumerated:
        every = dict.fromkeys((image.size, *image.enumerated))
        sizes: Any = ct.EnumeratedShapes([shape(*size) for size in every], default=shape(*image.size))
    elif image.ranges:
        sizes = shape(*(_range_dim(side) for side in image.ranges))
    else:
        sizes = shape(*image.size)
    bias = [-mean for mean in image.normalization.mean]
    return ct.ImageType(
        name=image.name,
        shape=sizes,
        scale=image.normalization.scale,
        bias=bias[0] if image.channels == 1 else bias,
        color_layout=getattr(ct.colorlayout, image.color),
    )


def _tensor_type(tensor: TensorInput) -> Any:
    ct = coremltools()
    if tensor.enumerated:
        shape: Any = ct.EnumeratedShapes([list(s) for s in tensor.enumerated], default=list(tensor.default_shape))
    else:
        shape = [_range_dim(d) if isinstance(d, Range) else d for d in tensor.shape]
    return ct.TensorType(name=tensor.name, shape=shape, dtype=_DTYPES[tensor.dtype])


def _range_dim(side: Range) -> Any:
    return coremltools().RangeDim(lower_bound=side.lower, upper_bound=side.upper, default=side.default)


def output_types(interface: Interface, target: Target) -> list[Any]:
    """coremltools' type for each output; NeuralNetwork takes no dtype, its outputs have their own."""
    ct = coremltools()

    def output_type(output: Output, name: str) -> Any:
        if output.color:
            return ct.ImageType(name=name, color_layout=getattr(ct.colorlayout, output.color))
        if target.format == "mlmodel":
            return ct.TensorType(name=name)
        return ct.TensorType(name=name, dtype=_DTYPES[output.dtype])

    return [output_type(*pair) for pair in zip(interface.outputs, output_names(interface, target), strict=True)]


def build(
    model: Any,
    interface: Interface,
    target: Target,
    *,
    passes: list[str] | None = None,
    wide: Callable[[Any], bool] = lambda operation: False,
) -> Any:
    """Run coremltools.convert on a torch program or a MIL program; returns its MLModel.

    `passes` are the MIL passes to run; None is coremltools' default pipeline. A MIL program is already in its final
    precision, a torch program gets it from coremltools' own pass; operations that are `wide` stay in float32.
    """
    ct = coremltools()
    options: dict[str, Any] = {}
    if passes is None:
        options["outputs"] = output_types(interface, target)
    else:
        options["pass_pipeline"] = ct.PassPipeline(pass_names=passes, pipeline_name="onnx")
        if any(output.color for output in interface.outputs):
            # coremltools ignores `outputs` of a MIL program (issue 1679)
            model.functions["main"].set_output_types(output_types(interface, target))
    if target.format == "mlpackage":
        in_float32 = passes is not None or target.compute_precision == "float32"
        options["compute_precision"] = ct.precision.FLOAT32 if in_float32 else ct.precision.FLOAT16
        if not in_float32 and target.float32_ops:
            options["compute_precision"] = ct.transform.FP16ComputePrecision(op_selector=lambda op: not wide(op))
    if interface.classifier:
        options["classifier_config"] = ct.ClassifierConfig(
            class_labels=list(interface.classifier.labels),
            predicted_feature_name=interface.classifier.predicted_feature_name,
            predicted_probabilities_output=output_names(interface, target)[0],
        )
    with little_garbage():
        built = ct.convert(
            model,
            inputs=input_types(interface),
            convert_to="neuralnetwork" if target.format == "mlmodel" else "mlprogram",
            minimum_deployment_target=deployment_target(target),
            skip_model_load=True,
            **options,
        )
    if passes is not None:
        validate(model)
    return built


def describe(spec: Any, interface: Interface, target: Target) -> None:
    """Give the features of a fresh Core ML specification their names and descriptions, in place, and check them."""
    classifier = interface.classifier
    if classifier:
        given = spec.description.predictedProbabilitiesName
        if given != classifier.probabilities_name:
            coremltools().utils.rename_feature(spec, given, classifier.probabilities_name)
        if spec.description.predictedProbabilitiesName != classifier.probabilities_name:
            raise ConversionError(f"the probabilities are called {given!r} and cannot be renamed")
    descriptions = {feature.name: feature.description for feature in interface.inputs}
    descriptions |= {output.name: output.description for output in interface.outputs}
    if classifier:
        descriptions[classifier.predicted_feature_name] = "The most likely class."
        kind = "Independent probability" if classifier.activation == "sigmoid" else "Probability"
        descriptions[classifier.probabilities_name] = interface.outputs[0].description or f"{kind} of each class."
    for feature in (*spec.description.input, *spec.description.output):
        feature.shortDescription = descriptions.get(feature.name, "")
    found = {feature.name for feature in (*spec.description.input, *spec.description.output)}
    if found != set(_names(interface)):
        raise ConversionError(
            f"the model came out with the features {sorted(found)} where {sorted(_names(interface))} were asked for"
        )


def label(spec: Any, source: Source, versions: Mapping[str, str]) -> None:
    """Write what Xcode shows, its preview keys, and where the model came from; no dates and no commit.

    An unchanged model keeps its bytes from commit to commit.
    """
    metadata = spec.description.metadata
    metadata.author = source.metadata.author
    metadata.license = source.metadata.license
    metadata.shortDescription = source.metadata.description or source.description
    metadata.versionString = source.metadata.version
    said = metadata.userDefined
    said.pop("com.github.apple.coremltools.conversion_date", None)
    image = next((i for i in source.interface.inputs if isinstance(i, ImageInput)), None)
    if source.interface.classifier and image:
        said["com.apple.coreml.model.preview.type"] = "imageClassifier"
    if image and image.resize:
        said["preprocessing"] = json.dumps(
            {
                "resize_shorter_side": image.resize.shorter_side,
                "center_crop": list(image.size),
                "interpolation": image.resize.interpolation,
            }
        )
    said["source"] = source.description
    for file in source.files:
        said[f"source.sha256.{file.origin}"] = file.sha256
    said["versions"] = json.dumps(dict(versions), sort_keys=True)
    for key, value in source.metadata.additional.items():
        said[key] = value


def write(spec: Any, weights: Path | None, path: Path) -> None:
    """Write a .mlmodel file or a .mlpackage folder whose bytes depend on the model alone.

    coremltools writes fresh identifiers into a package's Manifest.json; here they follow from the item's path.
    """
    data = spec.SerializeToString(deterministic=True)
    if path.suffix == ".mlmodel":
        path.write_bytes(data)
        return
    root = path / "Data" / "com.apple.CoreML"
    root.mkdir(parents=True)
    (root / "model.mlmodel").write_bytes(data)
    entries = {"com.apple.CoreML/model.mlmodel": "CoreML Model Specification"}
    if weights is not None and weights.is_dir():
        shutil.move(weights, root / "weights")
        entries["com.apple.CoreML/weights"] = "CoreML Model Weights"
    items = {str(uuid.uuid5(_MANIFEST_NAMESPACE, item)).upper(): item for item in entries}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            identifier: {
                "author": "com.apple.CoreML",
                "description": entries[item],
                "name": Path(item).name,
                "path": item,
            }
            for identifier, item in items.items()
        },
        "rootModelIdentifier": next(iter(items)),
    }
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n")
