"""An interface in words, as Xcode shows it: what the app hands over and receives."""

import math
from typing import Any

from converter.model import ImageInput, Interface, Range, TensorInput
from converter.report import figures


def type_words(feature: Any) -> str:
    """What the app hands over or receives, with size or shape."""
    if isinstance(feature, ImageInput):
        if feature.ranges:
            height, width = (f"{side.lower} to {side.upper}" for side in feature.ranges)
            return f"image, {feature.color}, height {height}, width {width}, {_size(feature.size)} by default"
        sizes = dict.fromkeys((feature.size, *feature.enumerated))
        return f"image, {feature.color}, {' or '.join(_size(size) for size in sizes)} (height × width)"
    if isinstance(feature, TensorInput):
        shapes = feature.enumerated or (feature.shape,)
        return f"{feature.dtype} multi-array, {' or '.join(_shape(shape) for shape in shapes)}"
    return f"image, {feature.color}" if feature.color else f"{feature.dtype} multi-array"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _shape(shape: tuple[int | Range, ...]) -> str:
    sides = (f"{s.lower} to {s.upper} (default {s.default})" if isinstance(s, Range) else str(s) for s in shape)
    return f"({', '.join(sides)})"


def features(interface: Interface) -> list[tuple[str, str, str, str]]:
    """Every input and output as the app sees it: direction, name, type, description."""
    found = [("input", i.name, type_words(i), i.description) for i in interface.inputs]
    outputs = [("output", o.name, type_words(o), o.description) for o in interface.outputs]
    if interface.classifier:
        classifier, scores = interface.classifier, interface.outputs[0]
        outputs[:1] = [
            ("output", classifier.predicted_feature_name, "string", "The most likely class"),
            (
                "output",
                classifier.probabilities_name,
                f"dictionary of {len(classifier.labels)} labels and numbers",
                scores.description or "Each label's probability",
            ),
        ]
    return found + outputs


def scale(image: ImageInput) -> str:
    """The factor on pixels, as one writes it."""
    factor = image.normalization.scale
    return "1/255" if math.isclose(factor, 1 / 255) else figures.number(factor)


def crop(image: ImageInput) -> str:
    """How much of the shorter side the model was made to see, as a share; empty where it is all of it."""
    return figures.share(image.central_share) if image.central_share < 1 else ""
