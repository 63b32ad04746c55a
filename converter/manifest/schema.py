"""The manifest as typed, frozen records; their field descriptions are what editors show while one writes.

Every rule that needs no more than one record stands beside its fields, in `rules`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Strict,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from converter.model import ComputeUnits, Format, Metadata, Precision, Range, Route, Target

SHA256 = r"^[0-9a-fA-F]{64}$"
FEATURE_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"  # what an ML Program takes, and Swift
MODEL_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"  # what a release page keeps as it is, and every file system
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
FACTORY = r"^[^:]+:[a-zA-Z_][a-zA-Z0-9_]*$"

MAX_RANK = 5  # of Core ML's multi-arrays

# YAML already says what is text and what is a number: a quoted "3" is no number and `true` is not 1.
Int = Annotated[int, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Bool = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Line = Annotated[str, Strict(), Field(min_length=1, pattern=ONE_LINE)]

Side = Annotated[int, Strict(), Field(ge=1, le=16384, description="Pixels.")]
Sha256 = Annotated[
    str, Strict(), Field(pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 of the file, 64 hex digits.")
]
FeatureName = Annotated[str, Strict(), Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Color = Literal["RGB", "BGR", "GRAYSCALE"]
DType = Literal["float32", "float16", "int32"]
MlmodelTarget = Literal["iOS13", "iOS14"]
MlpackageTarget = Literal["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"]
NormalizationName = Literal["imagenet", "none", "unit"]

Key: TypeAlias = str | int


class Complaint:
    """What is wrong below a record: `path` leads there from the record, `fix` is the way out."""

    def __init__(self, path: tuple[Key, ...], problem: str, fix: str) -> None:
        self.path = path
        self.problem = problem
        self.fix = fix


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True, protected_namespaces=()
    )

    def rules(self) -> Iterator[Complaint]:
        """What the types alone cannot say; yields every complaint about this record."""
        yield from ()

    @model_validator(mode="after")
    def _hold_rules(self) -> Self:
        complaints = list(self.rules())
        if complaints:
            words = "; ".join(complaint.problem for complaint in complaints)
            raise PydanticCustomError("complaints", "{words}", {"words": words, "complaints": complaints})
        return self


def shape(value: Any) -> str | None:
    """What kind of value stands where several are possible; the tags of the unions below.

    No key of a manifest looks like a tag, so that a path through the records can be followed in the YAML.
    """
    if isinstance(value, Mapping | BaseModel):
        return "<mapping>"
    if isinstance(value, tuple | list):
        return "<list>"
    if isinstance(value, str):
        return "<text>"
    return "<number>" if isinstance(value, int) and not isinstance(value, bool) else None


def _by_shape(expected: str) -> Discriminator:
    return Discriminator(shape, custom_error_type="shape", custom_error_message=expected)


def _kind(value: Any, records: Mapping[str, type[_Record]]) -> str | None:
    """The tag of the one record whose key is there; None where none is, or several are."""
    if isinstance(value, BaseModel):
        return next((f"<{kind}>" for kind, record in records.items() if isinstance(value, record)), None)
    kinds = [kind for kind in records if isinstance(value, Mapping) and kind in value]
    return f"<{kinds[0]}>" if len(kinds) == 1 else None


def _path_as_file(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _nothing_as_empty(value: Any) -> Any:
    return {} if value is None else value


class File(_Record):
    """A file: `path` relative to the manifest, or `url` (https or s3)."""

    path: Line | None = Field(None, description="Path relative to the manifest's folder, inside the repository.")
    url: Line | None = Field(None, description="https:// or s3:// address; credentials come from the environment.")
    sha256: Sha256 | None = Field(
        None, description="SHA-256 of the file. Required for a URL that is loaded as a model or checkpoint."
    )

    def rules(self) -> Iterator[Complaint]:
        if (self.path is None) == (self.url is None):
            what = "both path and url are given" if self.path else "neither path nor url is given"
            yield Complaint((), what, "give exactly one of path and url")
        if self.url is not None:
            yield from _url_rules(self.url)

    @property
    def origin(self) -> str:
        """The path, or the URL without its query (which may hold a signature)."""
        return self.path if self.path is not None else str(self.url).partition("?")[0]

    @property
    def suffix(self) -> str:
        """The lower-case ending of the file's name, with its dot; empty where there is none."""
        return Path(self.origin.partition("#")[0]).suffix.lower()


def _url_rules(url: str) -> Iterator[Complaint]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("https", "s3"):
        if scheme.lower() == "http" and separator:
            yield Complaint(("url",), "http is not accepted, anyone on the way could change the file", "use https://")
        else:
            yield Complaint(
                ("url",), "this is not an https:// or s3:// address", "write the whole address, or use path"
            )
        return
    authority, _, path = rest.partition("/")
    if "@" in authority:
        yield Complaint(
            ("url",), "the address holds credentials", "take them out; credentials come from the environment"
        )
    elif not authority or not path:
        yield Complaint(("url",), "the address names no file", "write https://host/path/to/file")


# Anything that names a file may be a plain string, its path.
FileRef = Annotated[File, BeforeValidator(_path_as_file, json_schema_input_type=Line | File)]


class TorchvisionSource(_Record):
    """A model of torchvision, by its builder's name."""

    torchvision: Line = Field(description="Builder of torchvision.models, `mobilenet_v2` for example.")
    weights: Line | None = Field(
        "DEFAULT",
        description="Name in the model's weights enum, DEFAULT, or null for none. Size, crop, normalisation and labels "
        "come from the weights unless said. With a checkpoint only this metadata is used.",
    )
    checkpoint: FileRef | None = Field(
        None, description="State dict to load instead of the published weights: .pth, .pt or .safetensors."
    )

    @property
    def description(self) -> str:
        weights = f", checkpoint {self.checkpoint.origin}" if self.checkpoint else f", weights {self.weights}"
        return f"torchvision {self.torchvision}{weights}"


class FactorySource(_Record):
    """A function of the user's repository that returns a torch module."""

    factory: Line = Field(
        description="`path/to/file.py:function`, relative to the manifest, or `package.module:function`.",
        pattern=FACTORY,
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments for the function.")
    checkpoint: FileRef | None = Field(
        None, description="State dict to load into the module: .pth, .pt or .safetensors."
    )

    @property
    def target(self) -> tuple[str, str]:
        """The file or module, and the function in it."""
        place, _, function = self.factory.rpartition(":")
        return place, function

    @property
    def is_file(self) -> bool:
        """True for `path.py:function`, False for `package.module:function`."""
        return self.target[0].endswith(".py")

    @property
    def description(self) -> str:
        checkpoint = f", checkpoint {self.checkpoint.origin}" if self.checkpoint else ""
        return f"factory {self.factory}{checkpoint}"


class TorchscriptSource(_Record):
    """A TorchScript archive."""

    torchscript: FileRef = Field(description="TorchScript file (.pt); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"torchscript {self.torchscript.origin}"


class ExportedSource(_Record):
    """A program saved by torch.export."""

    exported: FileRef = Field(description="torch.export file (.pt2); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"exported {self.exported.origin}"


class OnnxSource(_Record):
    """An ONNX model; it always takes the route onnx."""

    onnx: FileRef = Field(description="ONNX file (.onnx); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"onnx {self.onnx.origin}"


SOURCES: dict[str, type[_Record]] = {
    "torchvision": TorchvisionSource,
    "factory": FactorySource,
    "torchscript": TorchscriptSource,
    "exported": ExportedSource,
    "onnx": OnnxSource,
}


def _source_kind(value: Any) -> str | None:
    return _kind(value, SOURCES)


Source = Annotated[
    Annotated[TorchvisionSource, Tag("<torchvision>")]
    | Annotated[FactorySource, Tag("<factory>")]
    | Annotated[TorchscriptSource, Tag("<torchscript>")]
    | Annotated[ExportedSource, Tag("<exported>")]
    | Annotated[OnnxSource, Tag("<onnx>")],
    Discriminator(_source_kind, custom_error_type="one_key", custom_error_message=", ".join(SOURCES)),
]


class Normalize(_Record):
    """Mean and standard deviation of pixels scaled to 0..1, per channel in the model's own channel order."""

    mean: tuple[Float, ...] = Field(min_length=1, max_length=3, description="One number per channel.")
    std: tuple[Float, ...] = Field(min_length=1, max_length=3, description="One number per channel, none of them 0.")

    def rules(self) -> Iterator[Complaint]:
        for index, std in enumerate(self.std):
            if std <= 0:
                yield Complaint(("std", index), f"a standard deviation of {std:g} cannot be divided by", "above 0")
        if len(self.mean) != len(self.std):
            yield Complaint(
                ("std",), f"mean has {len(self.mean)} numbers and std {len(self.std)}", "one of each per channel"
            )


NormalizeField = Annotated[
    Annotated[NormalizationName, Tag("<text>")] | Annotated[Normalize, Tag("<mapping>")],
    _by_shape("imagenet, unit, none or {mean: [...], std: [...]}"),
]
SizeField = Annotated[
    Annotated[Side, Tag("<number>")] | Annotated[tuple[Side, Side], Tag("<list>")],
    _by_shape("a number of pixels or [height, width]"),
]


class ImageRange(_Record):
    """Bounds of a picture's sides, both included."""

    height: tuple[Side, Side] = Field(description="[lowest, highest] height in pixels.")
    width: tuple[Side, Side] = Field(description="[lowest, highest] width in pixels.")

    def rules(self) -> Iterator[Complaint]:
        for name, (lower, upper) in (("height", self.height), ("width", self.width)):
            if lower > upper:
                yield Complaint((name,), f"the lower bound {lower} is above the upper bound {upper}", "swap them")


class Image(_Record):
    """A picture as Core ML takes it: the app hands over pixels, normalisation happens inside the model."""

    size: SizeField | None = Field(
        None, description="Pixels: one number for a square, or [height, width]. Default: the torchvision weights' own."
    )
    enumerated: tuple[tuple[Side, Side], ...] = Field((), description="All sizes the model takes, the default first.")
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

    def rules(self) -> Iterator[Complaint]:
        channels = 1 if self.color == "GRAYSCALE" else 3
        if self.normalize == "imagenet" and channels == 1:
            fix = "write {mean: [...], std: [...]} with one number each"
            yield Complaint(("normalize",), "imagenet normalises three channels, GRAYSCALE has one", fix)
        if isinstance(self.normalize, Normalize) and len(self.normalize.mean) not in (1, channels):
            problem = f"{self.color} needs {channels} of mean and std, {len(self.normalize.mean)} are given"
            yield Complaint(("normalize", "mean"), problem, "give one number per channel, or one for all")
        yield from self._size_rules()

    def _size_rules(self) -> Iterator[Complaint]:
        if self.enumerated and self.range:
            yield Complaint(("range",), "sizes are enumerated and a range as well", "keep one of the two")
        for index, pair in enumerate(self.enumerated):
            if pair in self.enumerated[:index]:
                yield Complaint(("enumerated", index), f"the size {list(pair)} is listed twice", "list it once")
        size = self.height_width
        if size is None:
            return
        if self.enumerated and size not in self.enumerated:
            yield Complaint(
                ("size",), f"the default size {list(size)} is not among the enumerated ones", "add it there"
            )
        if self.range:
            sides = (("height", self.range.height, size[0]), ("width", self.range.width, size[1]))
            for name, (lower, upper), side in sides:
                if lower <= upper and not lower <= side <= upper:
                    problem = f"the default {name} {side} is outside of {lower} to {upper}"
                    yield Complaint(("size",), problem, "choose a default inside the range")
        if self.resize is not None and self.resize < min(size):
            problem = f"a picture whose shorter side is {self.resize} cannot be cropped to {size[0]} x {size[1]}"
            yield Complaint(("resize",), problem, f"resize to at least {min(size)}")

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


class Dimension(_Record):
    """A flexible dimension: `lower` to `upper`, both included."""

    lower: Int = Field(ge=1, description="Smallest size.")
    upper: Int = Field(ge=1, description="Largest size; Core ML needs a bound.")
    default: Int | None = Field(None, ge=1, description="Size that the app sees first. Default: `lower`.")

    def rules(self) -> Iterator[Complaint]:
        if self.lower > self.upper:
            yield Complaint(
                ("lower",), f"the lower bound {self.lower} is above the upper bound {self.upper}", "swap them"
            )
        elif self.default is not None and not self.lower <= self.default <= self.upper:
            problem = f"the default {self.default} is outside of {self.lower} to {self.upper}"
            yield Complaint(("default",), problem, "choose a default inside the range")

    @property
    def record(self) -> Range:
        return Range(lower=self.lower, upper=self.upper, default=self.lower if self.default is None else self.default)


Size = Annotated[int, Strict(), Field(ge=1)]
DimensionField = Annotated[
    Annotated[Size, Tag("<number>")] | Annotated[Dimension, Tag("<mapping>")],
    _by_shape("a number or {lower, upper, default}"),
]


class Tensor(_Record):
    """A multi-array."""

    shape: tuple[DimensionField, ...] | None = Field(
        None, min_length=1, max_length=MAX_RANK, description="Sizes; a flexible one is {lower, upper, default}."
    )
    enumerated: tuple[tuple[Size, ...], ...] = Field(
        (), description="All shapes the model takes, the default first; instead of `shape`."
    )
    dtype: DType = Field("float32", description="Type of the numbers that the app hands over.")

    def rules(self) -> Iterator[Complaint]:
        if (self.shape is None) == (not self.enumerated):
            problem = "both shape and enumerated are given" if self.shape else "neither shape nor enumerated is given"
            yield Complaint((), problem, "give exactly one of shape and enumerated")
        for index, shape in enumerate(self.enumerated):
            if not 1 <= len(shape) <= MAX_RANK:
                yield Complaint(
                    ("enumerated", index), f"a shape of rank {len(shape)}", f"Core ML takes rank 1 to {MAX_RANK}"
                )
            elif len(shape) != len(self.enumerated[0]):
                problem = f"this shape has rank {len(shape)}, the first one rank {len(self.enumerated[0])}"
                yield Complaint(("enumerated", index), problem, "give all shapes the same rank")
            elif shape in self.enumerated[:index]:
                yield Complaint(("enumerated", index), f"the shape {list(shape)} is listed twice", "list it once")

    @property
    def dimensions(self) -> tuple[int | Range, ...]:
        """The shape; of enumerated shapes the first."""
        if self.shape is None:
            return self.enumerated[0]
        return tuple(d.record if isinstance(d, Dimension) else d for d in self.shape)


class Input(_Record):
    """An input, in the order in which the source model takes them; either `image` or `tensor`."""

    name: FeatureName = Field(description="Name that the app uses.")
    description: Text = Field("", description="What Xcode shows beside the input.")
    image: Image | None = Field(None, description="The input is a picture.")
    tensor: Tensor | None = Field(None, description="The input is a multi-array.")

    def rules(self) -> Iterator[Complaint]:
        if (self.image is None) == (self.tensor is None):
            problem = "both image and tensor are given" if self.image else "neither image nor tensor is given"
            yield Complaint((), problem, "give exactly one of image and tensor")


class Output(_Record):
    """An output, in the order in which the source model gives them."""

    name: FeatureName = Field(description="Name that the app uses.")
    description: Text = Field("", description="What Xcode shows beside the output.")
    dtype: DType = Field("float32", description="Type of the numbers that the app receives.")
    image: Color | None = Field(None, description="The output is a picture with values 0 to 255.")

    def rules(self) -> Iterator[Complaint]:
        if self.image and "dtype" in self.model_fields_set:
            yield Complaint(("dtype",), "a picture has no dtype", "take dtype or image out")


def _path_as_labels(value: Any) -> Any:
    return value if value == "torchvision" else _path_as_file(value)


# `torchvision` is a word here; a file of that name is said as {path: torchvision}.
LabelsField = Annotated[
    Annotated[Literal["torchvision"], Tag("<text>")]
    | Annotated[File, Tag("<mapping>")]
    | Annotated[tuple[Line, ...], Tag("<list>")],
    _by_shape("torchvision, a file or a list of labels"),
    BeforeValidator(_path_as_labels, json_schema_input_type=Line | File | tuple[Line, ...]),
]


class Classifier(_Record):
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

    def rules(self) -> Iterator[Complaint]:
        if self.softmax and self.sigmoid:
            problem = "softmax (one label is right) and sigmoid (several may be) exclude each other"
            yield Complaint(("sigmoid",), problem, "keep the one that the model was trained with")
        if self.predicted_feature_name == self.probabilities_name:
            problem = f"both outputs are called {self.probabilities_name}"
            yield Complaint(("probabilities_name",), problem, "give them different names")
        if self.labels == ():
            yield Complaint(
                ("labels",), "the list of labels is empty", "list one label per score, in the scores' order"
            )


class MlmodelOptions(_Record):
    """A NeuralNetwork in one .mlmodel file; it opens everywhere. It has no compute precision of its own."""

    deployment_target: MlmodelTarget = Field("iOS13", description="Oldest system that the file must run on.")
    compute_units: ComputeUnits = Field("ALL", description="What Core ML may run the model on.")


class MlpackageOptions(_Record):
    """An ML Program in a .mlpackage folder, today's format."""

    deployment_target: MlpackageTarget = Field("iOS16", description="Oldest system that the file must run on.")
    compute_precision: Precision = Field("float16", description="Precision of the arithmetic inside the model.")
    compute_units: ComputeUnits = Field("ALL", description="What Core ML may run the model on.")


class MlmodelFormat(_Record):
    mlmodel: Annotated[
        MlmodelOptions, BeforeValidator(_nothing_as_empty, json_schema_input_type=MlmodelOptions | None)
    ] = Field(description="A .mlmodel file: NeuralNetwork, iOS13 or iOS14.")

    @property
    def format(self) -> Format:
        return "mlmodel"

    @property
    def target(self) -> Target:
        options = self.mlmodel
        return Target(
            format="mlmodel",
            deployment_target=options.deployment_target,
            compute_precision="float32",
            compute_units=options.compute_units,
        )


class MlpackageFormat(_Record):
    mlpackage: Annotated[
        MlpackageOptions, BeforeValidator(_nothing_as_empty, json_schema_input_type=MlpackageOptions | None)
    ] = Field(description="A .mlpackage folder: ML Program, iOS15 or later.")

    @property
    def format(self) -> Format:
        return "mlpackage"

    @property
    def target(self) -> Target:
        options = self.mlpackage
        return Target(
            format="mlpackage",
            deployment_target=options.deployment_target,
            compute_precision=options.compute_precision,
            compute_units=options.compute_units,
        )


FORMATS: dict[str, type[_Record]] = {"mlmodel": MlmodelFormat, "mlpackage": MlpackageFormat}


def _format_by_name(value: Any) -> Any:
    return {value: None} if isinstance(value, str) else value


def _format_kind(value: Any) -> str | None:
    return _kind(value, FORMATS)


_Format = Annotated[
    Annotated[MlmodelFormat, Tag("<mlmodel>")] | Annotated[MlpackageFormat, Tag("<mlpackage>")],
    Discriminator(_format_kind, custom_error_type="one_key", custom_error_message=", ".join(FORMATS)),
]
FormatName = Literal["mlmodel", "mlpackage"]
FormatMapping = MlmodelFormat | MlpackageFormat
FormatEntry = Annotated[_Format, BeforeValidator(_format_by_name, json_schema_input_type=FormatName | FormatMapping)]


class MetadataFields(_Record):
    """What Xcode shows about the model."""

    author: Text = Field("", description="Who made the model.")
    license: Text = Field("", description="Licence of the model and its weights.")
    description: Text = Field("", description="What the model does, in a sentence or two.")
    version: Text = Field("", description="Version of the model.")
    additional: dict[str, Text] = Field(default_factory=dict, description="More keys, as text.")

    @property
    def record(self) -> Metadata:
        return Metadata(
            author=self.author,
            license=self.license,
            description=self.description,
            version=self.version,
            additional=dict(self.additional),
        )


class Gates(_Record):
    """Limits that a converted model must hold against its source, or it is not released."""

    psnr_db: Float | None = Field(
        None,
        description="Lowest signal-to-noise ratio in dB, of every output. Default: 90 in float32, 35 in float16.",
    )
    top1: Float | None = Field(
        None, ge=0, le=1, description="Lowest share of samples with the same best label, near ties excused. Default: 1."
    )
    max_abs_error: Float | None = Field(None, ge=0, description="Largest absolute difference. Default: no limit.")


class Labelled(File):
    """A labelled set, on which the converted model must be as accurate as its source."""

    min_accuracy: Float | None = Field(None, ge=0, le=1, description="Lowest share of right answers.")
    max_accuracy_drop: Float | None = Field(
        None, ge=0, le=1, description="Largest loss of accuracy against the source model."
    )

    def rules(self) -> Iterator[Complaint]:
        yield from super().rules()
        if self.min_accuracy is None and self.max_accuracy_drop is None:
            yield Complaint((), "the labelled set has no gate", "add min_accuracy or max_accuracy_drop")


class ValidationOptions(_Record):
    """How the saved model is held against its source."""

    samples: tuple[FileRef, ...] = Field(
        (), description="Pictures, .npy or .npz files to compare on. Default: seeded inputs."
    )
    seeds: Int = Field(4, ge=1, le=1000, description="Number of seeded inputs, where no samples are given.")
    gates: Gates = Field(default_factory=lambda: Gates(), description="Limits that the converted model must hold.")
    labelled: Labelled | None = Field(None, description="Labelled set (.npz) with an accuracy gate.")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that the manifest sets, by name; `validate` knows the default of the others."""
        limits = self.gates.model_dump(exclude_none=True)
        if self.labelled is not None:
            limits |= self.labelled.model_dump(include={"min_accuracy", "max_accuracy_drop"}, exclude_none=True)
        return limits


class DirectoryPublish(_Record):
    """Copies what is published into a folder."""

    directory: Line = Field(description="Folder, relative to the manifest, inside the repository.")


# A union of one: further targets join here, told apart by their first key.
PublishTarget: TypeAlias = DirectoryPublish


def _one_as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str | Mapping) else value


FormatsField = Annotated[
    tuple[FormatEntry, ...],
    Field(min_length=1),
    BeforeValidator(_one_as_list, json_schema_input_type=FormatName | FormatMapping | list[FormatName | FormatMapping]),
]
RouteField = Annotated[
    Annotated[Literal["direct", "onnx", "auto"], Tag("<text>")] | Annotated[tuple[Route, ...], Tag("<list>")],
    _by_shape("direct, onnx, auto or a list of direct and onnx"),
]


class _Options(_Record):
    """What `defaults` may say as well as a model."""

    route: RouteField = Field(
        "auto",
        description="direct (Apple's torch frontend), onnx (our ONNX frontend), auto (direct, and if that fails onnx), "
        "or a list to build several.",
    )
    inputs: tuple[Input, ...] = Field((), description="Inputs in the source model's order.")
    outputs: tuple[Output, ...] = Field((), description="Outputs in the source model's order.")
    classifier: Classifier | None = Field(None, description="Makes the model a classifier.")
    formats: FormatsField = Field(
        (MlmodelFormat(mlmodel=MlmodelOptions()), MlpackageFormat(mlpackage=MlpackageOptions())),
        description="Files to build, each a name or {name: options}. Default: both.",
    )
    metadata: MetadataFields = Field(default_factory=MetadataFields, description="What Xcode shows about the model.")
    validation: ValidationOptions = Field(
        default_factory=ValidationOptions, alias="validate", description="How the saved model is checked."
    )
    extra: tuple[FileRef, ...] = Field((), description="Files that travel along, a tokenizer for example.")


class Model(_Options):
    """One model of the manifest, defaults already merged."""

    name: Text = Field(
        description="Name of the model and of its files, unique in the manifest.", pattern=MODEL_NAME, max_length=64
    )
    source: Source = Field(description="Where the model comes from: exactly one of the sources.")

    _place: str = PrivateAttr("")
    _folder: Path = PrivateAttr(Path())

    @property
    def place(self) -> str:
        """Where the model stands, for errors: `models.yml:14:5 resnet50`."""
        return self._place

    @property
    def folder(self) -> Path:
        """The manifest's folder, absolute; every path of the model is relative to it."""
        return self._folder

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes to build, or with `is_auto` to try in this order until one passes."""
        if isinstance(self.source, OnnxSource):
            return ("onnx",)
        if isinstance(self.route, tuple):
            return self.route
        return ("direct", "onnx") if self.route == "auto" else (self.route,)

    @property
    def is_auto(self) -> bool:
        """True where the second route is only the way out of the first one's failure."""
        return self.route == "auto" and len(self.routes) > 1

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(entry.target for entry in self.formats)


class Defaults(_Options):
    """What every model takes unless it says otherwise: mappings are merged key by key, lists are replaced."""


class Manifest(_Record):
    """A whole manifest; its models have the defaults already."""

    defaults: Defaults | None = Field(None, description="What every model takes unless it says otherwise.")
    models: tuple[Model, ...] = Field(min_length=1, description="The models to convert.")
    publish: tuple[PublishTarget, ...] = Field((), description="Where finished files go besides the output folder.")

    _path: Path = PrivateAttr(Path())
    _root: Path = PrivateAttr(Path())

    @property
    def path(self) -> Path:
        """The manifest's file, absolute."""
        return self._path

    @property
    def folder(self) -> Path:
        """The folder that every path is relative to, absolute."""
        return self._path.parent

    @property
    def root(self) -> Path:
        """The repository that no path may leave, absolute."""
        return self._root
