"""What was built, in words and numbers: the report of a run and a card for each model."""

import functools
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.model import Attempt, BuildRecord, ImageInput, Interface, ModelRecord, Range, TensorInput
from converter.report import figures
from converter.report.markdown import Markdown, block, code, escape

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render_card", "render_report"]


def render_report(record: BuildRecord) -> str:
    """report.md: a table of all files, then each model with what was tried, its gates, interface and sources."""
    return _environment().get_template("report.md.j2").render(record=record, lines=figures.lines(record.models))


def render_card(record: ModelRecord) -> str:
    """NAME.md, for those who use the model. It holds no times and no dates: an unchanged model keeps its card."""
    built = [(a, figures.artifact_of(record, a)) for a in record.attempts if a.passed]
    passed = [a for a in record.attempts if a.passed]
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            record=record,
            interface=record.interface,
            classifier=record.interface.classifier if record.interface else None,
            built=[(attempt, file) for attempt, file in built if file],
            others=[f for f in record.artifacts if f.published and f not in [file for _, file in built]],
            validations=[a.validation for a in passed],
            class_name=_class_name(passed[0]) if passed else "",
            versions=passed[0].conversion.versions if passed and passed[0].conversion else {},
        )
    )


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Not HTML: `finalize` escapes for Markdown whatever is not Markdown already.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "block": block,
        "code": code,
        "name": lambda path: path.rpartition("/")[2],
        "number": figures.number,
        "plain": Markdown,  # of valid names, in code
        "psnr": figures.psnr,
        "runs_on": figures.runs_on,
        "seconds": figures.seconds,
        "share": figures.share,
        "size": figures.size,
        "type": _type,
        "vector": lambda values: ", ".join(figures.number(value) for value in values),
    }
    environment.filters |= filters
    environment.tests["image"] = lambda feature: isinstance(feature, ImageInput)
    environment.globals |= {
        "artifact_of": figures.artifact_of,
        "crop": _crop,
        "features": _features,
        "measured": _measured,
        "outcome": figures.outcome,
        "scale": _scale,
    }
    return environment


def _type(feature: Any) -> str:
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


def _features(interface: Interface) -> list[tuple[str, str, str, str]]:
    """Every input and output as the app sees it: direction, name, type, description."""
    found = [("input", i.name, _type(i), i.description) for i in interface.inputs]
    outputs = [("output", o.name, _type(o), o.description) for o in interface.outputs]
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


def _scale(image: ImageInput) -> str:
    """The factor on pixels, as one writes it."""
    factor = image.normalization.scale
    return "1/255" if math.isclose(factor, 1 / 255) else figures.number(factor)


def _crop(image: ImageInput) -> str:
    """How much of the shorter side the model was made to see, as a share; empty where it is all of it."""
    return figures.share(image.central_share) if image.central_share < 1 else ""


def _measured(name: str, value: float) -> str:
    metric = name.removeprefix("baseline ")
    if metric == "psnr_db":
        return figures.psnr(value)
    if metric in ("max_abs_error", "activation_error"):
        return figures.number(value)
    return figures.share(value) if value >= 0 else f"−{figures.share(-value)}"  # a drop below zero is a gain


def _class_name(attempt: Attempt) -> Markdown:
    """The Swift class that Xcode generates from the file's name."""
    stem = attempt.conversion.path.stem if attempt.conversion else ""
    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return Markdown(f"_{name}" if name[:1].isdigit() else name)
