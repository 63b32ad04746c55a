"""What `predict` does: files in, lines out."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate.evaluated import EvaluatedModel
from converter.evaluate.proto import FeatureTypes_pb2


def predict(path: Path, files: Mapping[str, Path], top: int) -> list[str]:
    """The answer of the model at `path`, line by line: the `top` classes, arrays in brief.

    `files` are pictures, .npy or .npz by input name; "" is the only input. A picture is converted to the described
    mode, and refused unless it has the described size. Raises EvaluationError.
    """
    model = EvaluatedModel(path)
    features = {feature.name: feature for feature in model.spec.description.input}
    given: dict[str, Any] = {}
    for name, file in files.items():
        if not name and len(features) != 1:
            raise EvaluationError(
                f"which input is {file}? The model has {', '.join(features)}", where=[str(path)], fix="write NAME=FILE"
            )
        wanted = name or next(iter(features))
        given[wanted] = _content(file, wanted, features.get(wanted))
    return [line for name, value in model.predict(given).items() for line in _lines(name, value, top)]


def _content(file: Path, name: str, feature: Any) -> Any:
    try:
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return archive[name]
        picture: Image.Image = Image.open(file)
        if feature is not None and feature.type.WhichOneof("Type") == "imageType":
            color = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name(feature.type.imageType.colorSpace)
            picture = picture.convert({"GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}.get(color, "RGB"))
        picture.load()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
        raise EvaluationError(
            f"cannot be read as the input {name!r}: {error}", where=[str(file)], fix="give a picture, .npy or .npz file"
        ) from error
    return picture


def _lines(name: str, value: Any, top: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name}:"
        for label, score in sorted(value.items(), key=lambda item: -item[1])[:top]:
            yield f"  {score:8.4f}  {label}"
    elif isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=12, edgeitems=3, precision=5)
        yield f"{name}: {value.dtype} {list(value.shape)}"
        yield from (f"  {line}" for line in text.splitlines()[:12])
    elif isinstance(value, Image.Image):
        yield f"{name}: picture {value.mode} {value.width} x {value.height}"
    else:
        yield f"{name}: {value}"
