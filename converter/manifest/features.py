"""What goes into a model and comes out of it, as the app sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict, Tag

from converter.manifest.record import FEATURE_NAME, Bool, Fault, Float, Int, Line, Record, Text, by_shape
from converter.manifest.sources import File, path_as_file
from converter.model import Range

MAX_RANK = 5  # of Core ML's multi-arrays
MAX_ENUMERATED = 128  # https://apple.github.io/coremltools/docs-guides/source/flexible-inputs.html

Side = Annotated[int, Strict(), Field(ge=1, le=16384, description="Pixels.")]
FeatureName = Annotated[str, Strict(), Field(pattern=FEATURE_NAME)]
Color = Literal["RGB", "BGR", "GRAYSCALE"]
DType = Literal["float32", "float16", "int32"]
NormalizationName = Literal["imagenet", "none", "unit"]


class Normalize(Record):
    """Mean and standard deviation of pixels scaled to 0..1, per channel in the model's own channel order."""

    mean: tuple[Float, ...] = Field(min_length=1, max_length=3, description="One number per channel.")
    std: tuple[Float, ...] = Field(min_length=1, max_length=3, description="One number per channel, none of them 0.")

    def rules(self) -> Iterator[Fault]:
        for index, std in enumerate(self.std):
            if std <= 0:
                yield Fault(("std", index), f"nothing can be divided by a std of {std:g}", "write one above 0")
        if len(self.mean) != len(self.std):
            yield Fault(
                ("std",), f"mean has {len(self.mean)} numbers and std {len(self.std)}", "one of each per channel"
            )


NormalizeField = Annotated[
    Annotated[NormalizationName, Tag("<text>")] | Annotated[Normalize, Tag("<mapping>")],
    by_shape("imagenet, unit, none or {mean: [...], std: [...]}"),
]
SizeField = Annotated[
    Annotated[Side, Tag("<number>")] | Annotated[tuple[Side, Side], Tag("<list>")],
    by_shape("a number of pixels or [height, width]"),
]


class ImageRange(Record):
    """Bounds of a picture's sides, both included."""

    height: tuple[Side, Side] = Field(description="[lowest, highest] height in pixels.")
    width: tuple[Side, Side] = Field(description="[lowest, highest] width in pixels.")

    def rules(self) -> Iterator[Fault]:
        for name, (lower, upper) in (("height", self.height), ("width", self.width)):
            if lower > upper:
                yield Fault((name,), f"the lower bound {lower} is above the upper bound {upper}", "swap them")


class Image(Record):
    """A picture as Core ML takes it: the app hands over pixels, normalisation happens inside the model."""

    size: SizeField | None = Field(
        None, description="Pixels: one number for a square, or [height, width]. Default: the torchvision weights' own."
    )
    enumerated: tuple[tuple[Side, Side], ...] = Field(
        (), max_length=MAX_ENUMERATED, description="All sizes the model takes, the default first."
    )
    range: ImageRange | None = Field(None, description="Bounded sizes; `size` is then the default.")
    color: Color = Field("RGB", description="Channel order that the source model was trained with.")
    normalize: NormalizeField | None = Field(
        None,
        description="What the source model expects of pixels: imagenet, unit (0..1), none (0..255 as they are), or "
        "mean and std of 0..1 units. Default: the torchvision weights' own.",
    )
    resize: Side | None = Field(
        None, description="What the app does first: scale the shorter side to this, then crop the centre to size."
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = Field(
        None, description="How the app scales. Default: the torchvision weights' own, else bilinear."
    )

    def rules(self) -> Iterator[Fault]:
        channels = 1 if self.color == "GRAYSCALE" else 3
        if self.normalize == "imagenet" and channels == 1:
            fix = "write {mean: [...], std: [...]} with one number each"
            yield Fault(("normalize",), "imagenet normalises three channels, GRAYSCALE has one", fix)
        if isinstance(self.normalize, Normalize) and len(self.normalize.mean) not in (1, channels):
            problem = f"{self.color} needs {channels} of mean and std, {len(self.normalize.mean)} are given"
            yield Fault(("normalize", "mean"), problem, "give one number per channel, or one for all")
        yield from self._size_rules()

    def _size_rules(self) -> Iterator[Fault]:
        if self.enumerated and self.range:
            yield Fault(("range",), "sizes are enumerated and a range as well", "keep one of the two")
        for index, pair in enumerate(self.enumerated):
            if pair in self.enumerated[:index]:
                yield Fault(("enumerated", index), f"the size {list(pair)} is listed twice", "list it once")
        size = self.height_width
        if size is None:
            return
        if self.enumerated and size not in self.enumerated:
            yield Fault(("size",), f"the default size {list(size)} is not among the enumerated ones", "add it there")
        if self.range:
            sides = (("height", self.range.height, size[0]), ("width", self.range.width, size[1]))
            for name, (lower, upper), side in sides:
                if lower <= upper and not lower <= side <= upper:
                    problem = f"the default {name} {side} is outside of {lower} to {upper}"
                    yield Fault(("size",), problem, "choose a default inside the range")
        if self.resize is not None and self.resize < min(size):
            problem = f"a picture whose shorter side is {self.resize} cannot be cropped to {size[0]} x {size[1]}"
            yield Fault(("resize",), problem, f"resize to at least {min(size)}")

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The default (height, width), or None where the source's own is meant."""
        if self.size is not None:
            return (self.size, self.size) if isinstance(self.size, int) else self.size
        return self.enumerated[0] if self.enumerated else None

    @property
    def ranges(self) -> tuple[Range, Range] | None:
        """Height and width as bounded ranges around the default size."""
        if self.range is None or self.height_width is None:
            return None
        (low_h, high_h), (low_w, high_w) = self.range.height, self.range.width
        height, width = self.height_width
        return Range(lower=low_h, upper=high_h, default=height), Range(lower=low_w, upper=high_w, default=width)


class Dimension(Record):
    """A flexible dimension: `lower` to `upper`, both included."""

    lower: Int = Field(ge=1, description="Smallest size.")
    upper: Int = Field(ge=1, description="Largest size; Core ML needs a bound.")
    default: Int | None = Field(None, ge=1, description="Size that the app sees first. Default: `lower`.")

    def rules(self) -> Iterator[Fault]:
        if self.lower > self.upper:
            yield Fault(("lower",), f"the lower bound {self.lower} is above the upper bound {self.upper}", "swap them")
        elif self.default is not None and not self.lower <= self.default <= self.upper:
            problem = f"the default {self.default} is outside of {self.lower} to {self.upper}"
            yield Fault(("default",), problem, "choose a default inside the range")

    @property
    def record(self) -> Range:
        return Range(lower=self.lower, upper=self.upper, default=self.lower if self.default is None else self.default)


Size = Annotated[int, Strict(), Field(ge=1)]
DimensionField = Annotated[
    Annotated[Size, Tag("<number>")] | Annotated[Dimension, Tag("<mapping>")],
    by_shape("a number or {lower, upper, default}"),
]


class Tensor(Record):
    """A multi-array."""

    shape: tuple[DimensionField, ...] | None = Field(
        None, min_length=1, max_length=MAX_RANK, description="Sizes; a flexible one is {lower, upper, default}."
    )
    enumerated: tuple[tuple[Size, ...], ...] = Field(
        (),
        max_length=MAX_ENUMERATED,
        description="All shapes the model takes, the default first; instead of `shape`.",
    )
    dtype: DType = Field("float32", description="Type of the numbers that the app hands over.")

    def rules(self) -> Iterator[Fault]:
        if (self.shape is None) == (not self.enumerated):
            problem = "both shape and enumerated are given" if self.shape else "neither shape nor enumerated is given"
            yield Fault((), problem, "give exactly one of shape and enumerated")
        for index, shape in enumerate(self.enumerated):
            if not 1 <= len(shape) <= MAX_RANK:
                yield Fault(
                    ("enumerated", index), f"a shape of rank {len(shape)}", f"Core ML takes rank 1 to {MAX_RANK}"
                )
            elif len(shape) != len(self.enumerated[0]):
                problem = f"this shape has rank {len(shape)}, the first one rank {len(self.enumerated[0])}"
                yield Fault(("enumerated", index), problem, "give all shapes the same rank")
            elif shape in self.enumerated[:index]:
                yield Fault(("enumerated", index), f"the shape {list(shape)} is listed twice", "list it once")

    @property
    def dimensions(self) -> tuple[int | Range, ...]:
        """The shape; of enumerated shapes the first."""
        if self.shape is None:
            return self.enumerated[0]
        return tuple(d.record if isinstance(d, Dimension) else d for d in self.shape)


class Input(Record):
    """An input, in the order in which the source model takes them; either `image` or `tensor`."""

    name: FeatureName = Field(description="Name that the app uses.")
    description: Text = Field("", description="What Xcode shows beside the input.")
    image: Image | None = Field(None, description="The input is a picture.")
    tensor: Tensor | None = Field(None, description="The input is a multi-array.")

    def rules(self) -> Iterator[Fault]:
        if (self.image is None) == (self.tensor is None):
            problem = "both image and tensor are given" if self.image else "neither image nor tensor is given"
            yield Fault((), problem, "give exactly one of image and tensor")


class Output(Record):
    """An output, in the order in which the source model gives them."""

    name: FeatureName = Field(description="Name that the app uses.")
    description: Text = Field("", description="What Xcode shows beside the output.")
    dtype: DType = Field("float32", description="Type of the numbers that the app receives.")
    image: Color | None = Field(None, description="The output is a picture with values 0 to 255.")

    def rules(self) -> Iterator[Fault]:
        if self.image and "dtype" in self.model_fields_set:
            yield Fault(("dtype",), "a picture has no dtype", "take dtype or image out")


def _path_as_labels(value: Any) -> Any:
    return value if value == "torchvision" else path_as_file(value)


# `torchvision` is a word here; a file of that name is said as {path: torchvision}.
LabelsField = Annotated[
    Annotated[Literal["torchvision"], Tag("<text>")]
    | Annotated[File, Tag("<mapping>")]
    | Annotated[tuple[Line, ...], Tag("<list>")],
    by_shape("torchvision, a file or a list of labels"),
    BeforeValidator(_path_as_labels, json_schema_input_type=Line | File | tuple[Line, ...]),
]


class Classifier(Record):
    """Makes the model a classifier: its first output are scores, one per label."""

    labels: LabelsField = Field(
        "torchvision",
        description="Labels in the order of the scores: `torchvision` for the weights' own categories, a text file "
        "(one a line) or JSON file, or the list itself.",
    )
    softmax: Bool = Field(False, description="Append a softmax: the source gives scores, one label is right.")
    sigmoid: Bool = Field(False, description="Append a sigmoid: the source gives scores, several labels may be right.")
    predicted_feature_name: FeatureName = Field("classLabel", description="Output with the best label.")
    probabilities_name: FeatureName = Field("classLabelProbs", description="Output with every label's probability.")

    def rules(self) -> Iterator[Fault]:
        if self.softmax and self.sigmoid:
            problem = "softmax (one label is right) and sigmoid (several may be) exclude each other"
            yield Fault(("sigmoid",), problem, "keep the one that the model was trained with")
        if self.predicted_feature_name == self.probabilities_name:
            problem = f"both outputs are called {self.probabilities_name}"
            yield Fault(("probabilities_name",), problem, "give them different names")
        if self.labels == ():
            yield Fault(("labels",), "the list of labels is empty", "list one label per score, in the scores' order")
