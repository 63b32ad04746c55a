"""What an app gives and gets: images and arrays checked against the description, outputs as Core ML gives them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate.proto import FeatureTypes_pb2, named

_NUMPY: dict[str, Any] = {
    "FLOAT32": np.float32,
    "DOUBLE": np.float64,
    "INT32": np.int32,
    "INT8": np.int8,
    "FLOAT16": np.float16,
}
_MOST_AXES = 64  # numpy's limit; Core ML's is 5
_MODES = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}


def accept(features: Sequence[Any], given: Mapping[str, Any], *, rank5: bool = False) -> dict[str, torch.Tensor]:
    """The inputs as tensors, typed as the description says; an image becomes float32 [1, C, H, W], pixels as they are.

    Where `rank5`, as in old networks, [C] and [C, H, W] may be given as sequences [Seq, Batch, C, H, W] too. `features`
    are the FeatureDescription messages. Raises EvaluationError that names every input that does not fit.
    """
    complaints = _unknown(features, given)
    accepted = {}
    for feature in features:
        if feature.name in given:
            try:
                accepted[feature.name] = _accept(feature.type, given[feature.name], rank5)
            except EvaluationError as error:
                complaints.append(f"the input {feature.name!r} {error}")
        elif (default := _default(feature.type)) is not None:
            accepted[feature.name] = default
        elif feature.type.WhichOneof("Type") == "multiArrayType" or not feature.type.isOptional:
            complaints.append(f"the input {feature.name!r} is missing")
    if complaints:
        raise EvaluationError("; ".join(complaints))
    return accepted


def known(features: Sequence[Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs of a pipeline, which its models accept; raises EvaluationError for names that do not fit."""
    complaints = _unknown(features, given)
    complaints += [
        f"the input {feature.name!r} is missing"
        for feature in features
        if feature.name not in given and not feature.type.isOptional
    ]
    if complaints:
        raise EvaluationError("; ".join(complaints))
    return given


def _unknown(features: Sequence[Any], given: Mapping[str, Any]) -> list[str]:
    names = [feature.name for feature in features]
    unknown = [name for name in given if name not in names]
    return [f"there is no input {', '.join(map(repr, unknown))}; the inputs are {', '.join(names)}"] if unknown else []


def give(feature: Any, value: Any) -> Any:
    """A value as Core ML's prediction holds it: an array, a PIL image, a str, an int, a float or a dict."""
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        return _picture(feature.type.imageType, value)
    if not isinstance(value, torch.Tensor):
        return value
    if kind == "multiArrayType":
        name = named(FeatureTypes_pb2.ArrayFeatureType.ArrayDataType, feature.type.multiArrayType.dataType)
        return array(value).astype(_NUMPY.get(name, np.float32), copy=False)
    if kind not in ("int64Type", "doubleType"):
        return array(value)
    if value.numel() != 1 or (kind == "int64Type" and not torch.isfinite(value).all()):
        raise EvaluationError(f"the output {feature.name!r} is described as one number, it is {_shown(value)}")
    return int(value) if kind == "int64Type" else float(value)


def _shown(value: torch.Tensor) -> str:
    return f"of shape {list(value.shape)}" if value.numel() != 1 else str(value.item())


def array(value: torch.Tensor) -> np.ndarray:
    """A tensor as an array of its own; a scalar has the shape (1,), as Core ML knows none without axes."""
    if value.dim() > _MOST_AXES:
        raise EvaluationError(f"a value of {value.dim()} axes cannot be given; {_MOST_AXES} are the most")
    content: np.ndarray = np.atleast_1d(value.detach().numpy())
    return content.copy()


def _accept(kind: Any, value: Any, rank5: bool) -> torch.Tensor:
    which = kind.WhichOneof("Type")
    if which == "imageType":
        return _pixels(kind.imageType, value)
    if which == "multiArrayType":
        return _multi_array(kind.multiArrayType, value, rank5)
    if which in ("doubleType", "int64Type") and np.ndim(value) == 0 and np.isreal(value):
        return torch.tensor([value], dtype=torch.float32 if which == "doubleType" else torch.int32)
    raise EvaluationError(f"is of type {which}, which cannot be evaluated")


def _pixels(image: Any, value: Any) -> torch.Tensor:
    color = named(FeatureTypes_pb2.ImageFeatureType.ColorSpace, image.colorSpace)
    if color not in _MODES:
        raise EvaluationError(f"is an image of the colour space {color}, which cannot be evaluated")
    if not isinstance(value, Image.Image):
        raise EvaluationError(f"is an image; give a PIL.Image, not {type(value).__name__}")
    if value.mode != _MODES[color]:
        raise EvaluationError(
            f"needs a PIL image of mode {_MODES[color]}, got {value.mode}; call .convert({_MODES[color]!r})"
        )
    _check_image_size(image, value.height, value.width)
    pixels = np.asarray(value, dtype=np.float32)
    if color == "BGR":
        pixels = pixels[:, :, ::-1]
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.array(pixels[None], order="C"))


def _check_image_size(image: Any, height: int, width: int) -> None:
    flexibility = image.WhichOneof("SizeFlexibility")
    allowed = f"{image.width} x {image.height}"
    if flexibility == "imageSizeRange":
        widths, heights = image.imageSizeRange.widthRange, image.imageSizeRange.heightRange
        fits = _within(widths, width) and _within(heights, height)
        allowed = f"{_words(widths)} x {_words(heights)}"
    elif flexibility == "enumeratedSizes":
        sizes = [(s.width, s.height) for s in image.enumeratedSizes.sizes]
        sizes += [] if (image.width, image.height) in sizes else [(image.width, image.height)]
        fits = (width, height) in sizes
        allowed = " or ".join(f"{w} x {h}" for w, h in sizes)
    else:
        fits = (width, height) == (image.width, image.height)
    if not fits:
        raise EvaluationError(f"needs an image of {allowed} pixels (width x height), got {width} x {height}")


def _multi_array(kind: Any, value: Any, rank5: bool) -> torch.Tensor:
    if isinstance(value, Image.Image):
        raise EvaluationError("is a multi-array; give a number array, not a PIL image")
    content = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    if content.dtype.kind not in "fiub":
        raise EvaluationError(f"needs numbers, got an array of {content.dtype}")
    name = named(FeatureTypes_pb2.ArrayFeatureType.ArrayDataType, kind.dataType)
    if name not in _NUMPY:
        raise EvaluationError(f"has the data type {name}, which cannot be evaluated")
    if not (rank5 and _is_sequence(kind, content.shape)):
        _check_shape(kind, content.shape)
    wanted = _NUMPY[name]
    if np.issubdtype(wanted, np.integer):
        limits = np.iinfo(wanted)
        if content.dtype.kind == "f" and not np.array_equal(content, np.trunc(content)):
            raise EvaluationError(f"needs whole numbers ({name}), got fractions")
        if content.size and (content.min() < limits.min or content.max() > limits.max):
            raise EvaluationError(f"holds numbers outside {name}: {content.min()} to {content.max()}")
    elif wanted is np.float64:
        wanted = np.float32  # DOUBLE is how an app sees it; the network computes in float32
    content = content.reshape(content.shape or (1,) * len(kind.shape))
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.array(content, dtype=wanted, order="C"))


def _is_sequence(kind: Any, shape: Sequence[int]) -> bool:
    """Whether this is [Seq, Batch, ...] of what an old network declares, without its sizes of sequence and batch."""
    declared = tuple(kind.shape)
    return len(shape) == 5 and tuple(shape[2:]) == {1: (*declared, 1, 1), 3: declared}.get(len(declared))


def _check_shape(kind: Any, shape: Sequence[int]) -> None:
    flexibility = kind.WhichOneof("ShapeFlexibility")
    default = list(kind.shape)
    words = ""
    if flexibility == "shapeRange":
        ranges = list(kind.shapeRange.sizeRanges)
        fits = len(ranges) == len(shape) and all(map(_within, ranges, shape))
        allowed = f"[{', '.join(_words(r) for r in ranges)}]"
        words = "; ".join(
            f"Size ({size}) of dimension ({axis}) is not in allowed range ({_words(r)})"
            for axis, (r, size) in enumerate(zip(ranges, shape, strict=False))
            if not _within(r, size)
        )
    elif flexibility == "enumeratedShapes":
        shapes = [list(s.shape) for s in kind.enumeratedShapes.shapes]
        shapes += [] if default in shapes else [default]
        fits = list(shape) in shapes
        allowed = " or ".join(map(str, shapes))
        words = f"MultiArray Shape ({' x '.join(map(str, shape))}) was not in enumerated set of allowed shapes"
    else:
        fits = not default or list(shape) == default or (math.prod(default) == 1 and shape == ())
        allowed = str(default)
    if not fits:
        core_ml_says = f" ({words})" if words else ""
        raise EvaluationError(f"needs the shape {allowed}, got {list(shape)}{core_ml_says}")


def _within(size_range: Any, size: int) -> bool:
    """An upper bound below zero means none."""
    return bool(size_range.lowerBound <= size and (size_range.upperBound < 0 or size <= size_range.upperBound))


def _words(size_range: Any) -> str:
    if size_range.lowerBound == size_range.upperBound:
        return str(size_range.lowerBound)
    return f"{size_range.lowerBound}..{'' if size_range.upperBound < 0 else size_range.upperBound}"


def _default(kind: Any) -> torch.Tensor | None:
    """What stands in for an optional input that is not given."""
    if not kind.isOptional or kind.WhichOneof("Type") != "multiArrayType":
        return None
    which = kind.multiArrayType.WhichOneof("defaultOptionalValue")
    value = getattr(kind.multiArrayType, which) if which else 0
    return _multi_array(kind.multiArrayType, np.full(tuple(kind.multiArrayType.shape), value), False)


def _picture(image: Any, value: torch.Tensor) -> Image.Image:
    """[1, C, H, W] of pixels as a PIL image, opaque RGBA where it has colours; what lies outside 0..255 is clipped."""
    color = named(FeatureTypes_pb2.ImageFeatureType.ColorSpace, image.colorSpace)
    channels = 3 if color in ("RGB", "BGR") else 1
    if value.dim() < 3 or value.numel() != channels * value.shape[-2] * value.shape[-1]:
        raise EvaluationError(f"an image output ({color}) is of shape {list(value.shape)}")
    pixels = value.reshape(channels, *value.shape[-2:]).float().numpy()
    if color == "GRAYSCALE_FLOAT16":
        return Image.fromarray(pixels[0].astype(np.float32))
    levels = np.clip(np.nan_to_num(np.rint(pixels)), 0, 255).astype(np.uint8)
    if color == "GRAYSCALE":
        return Image.fromarray(levels[0])
    colours = levels[::-1] if color == "BGR" else levels
    opaque = np.full_like(levels[:1], 255)
    return Image.fromarray(np.ascontiguousarray(np.concatenate([colours, opaque]).transpose(1, 2, 0)))
