"""The command `predict`: files in, a saved model's answer in words out."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.model import ImageInput, Normalization, Resize
from converter.report import figures
from converter.validate.pictures import fit_picture, read_picture

_SHOWN = 8  # values of an array that are printed before it is summed up


def answer(path: Path, files: Mapping[str, Path], top: int) -> Iterator[str]:
    """Run the model at `path` on one file per input and say what it answers, line by line.

    The name "" stands for the only input. A picture is resized and cropped as the model's metadata says. Raises
    EvaluationError, and SourceError for a file that cannot be read.
    """
    model = load_model(path)
    features = {feature.name: feature for feature in model.spec.description.input}
    inputs = {}
    for name, file in files.items():
        if not name and len(features) != 1:
            raise EvaluationError(
                f"{path.name} has {len(features)} inputs",
                fix=f"say which: --input NAME={file}, NAME one of {_all(features)}",
            )
        name = name or next(iter(features))
        if name not in features:
            raise EvaluationError(f"{path.name} has no input {name!r}", fix=f"its inputs are {_all(features)}")
        inputs[name] = _read(file, features[name], model.spec.description.metadata.userDefined)
    missing = [name for name, feature in features.items() if name not in inputs and not feature.type.isOptional]
    if missing:
        fix = "give " + " ".join(f"--input {name}=FILE" for name in missing)
        raise EvaluationError(f"{path.name} is asked without its input {', '.join(missing)}", fix=fix)
    answered = model.predict(inputs)
    label = model.spec.description.predictedFeatureName
    for name, value in sorted(answered.items(), key=lambda item: item[0] != label):
        yield from _said(name, value, top)


def _all(features: Mapping[str, Any]) -> str:
    return ", ".join(features)


def _read(file: Path, feature: Any, metadata: Mapping[str, str]) -> Any:
    if feature.type.WhichOneof("Type") == "imageType":
        return Image.fromarray(fit_picture(read_picture(file), _image(feature, metadata)))
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = [feature.name] if feature.name in loaded.files else loaded.files
            if len(names) == 1:
                return loaded[names[0]]
            held = ", ".join(loaded.files)
    except (OSError, ValueError, EOFError) as error:
        raise EvaluationError(
            f"{file} cannot be read as an array: {error}", fix="give an .npy or .npz file for a multi-array"
        ) from error
    raise EvaluationError(f"{file} holds {held}, none of them called {feature.name}", fix="name the array as the input")


def _image(feature: Any, metadata: Mapping[str, str]) -> ImageInput:
    """The image input of a saved model, with the resize and crop that the conversion wrote into its metadata."""
    described = feature.type.imageType
    color = type(described).ColorSpace.Name(described.colorSpace)
    said = json.loads(metadata.get("preprocessing", "null"))
    return ImageInput(
        name=feature.name,
        color="GRAYSCALE" if color.startswith("GRAYSCALE") else color,
        size=(described.height, described.width),
        normalization=Normalization(scale=1, mean=(), std=()),
        resize=Resize(shorter_side=said["resize_shorter_side"], interpolation=said["interpolation"]) if said else None,
    )


def _said(name: str, value: Any, top: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}:"
        best = sorted(value.items(), key=lambda item: -item[1])[:top]
        for label, probability in best:
            yield f"  {100 * probability:6.2f} %  {label}"
    elif isinstance(value, np.ndarray):
        shape = " x ".join(map(str, value.shape))
        numbers = ", ".join(figures.number(float(v)) for v in value.ravel()[:_SHOWN])
        more = f", ... from {figures.number(float(value.min()))} to {figures.number(float(value.max()))}"
        yield f"{name}: {value.dtype} [{shape}] {numbers}{more if value.size > _SHOWN else ''}"
    elif isinstance(value, Image.Image):
        yield f"{name}: a picture of {value.width} x {value.height} pixels"
    else:
        yield f"{name}: {value}"
