"""The manifest as typed, frozen records; their field descriptions are what editors show while one writes.

Every rule that needs no more than one record stands beside its fields, in `rules`; `checks` holds the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, Tag

from converter.manifest.features import Classifier, Image, ImageRange, Input, Normalize, Output, Tensor
from converter.manifest.formats import FormatsField, MlmodelFormat, MlmodelOptions, MlpackageFormat, MlpackageOptions
from converter.manifest.publish import DirectoryPublish, GithubOptions, GithubPublish, PublishTarget
from converter.manifest.record import MODEL_NAME, Bool, Fault, Float, Int, Key, Line, Record, Text, by_shape
from converter.manifest.s3 import S3Options, S3Publish
from converter.manifest.sources import (
    ExportedSource,
    FactorySource,
    File,
    FileRef,
    OnnxSource,
    Source,
    TorchscriptSource,
    TorchvisionSource,
)
from converter.model import ComputeUnits, Format, LabelledTask, Metadata, OutputLimits, Route, Target

__all__ = [
    "LIMITS",
    "Classifier",
    "Defaults",
    "DirectoryPublish",
    "ExportedSource",
    "FactorySource",
    "Fault",
    "File",
    "Gates",
    "GithubOptions",
    "GithubPublish",
    "Image",
    "ImageRange",
    "Input",
    "Key",
    "Labelled",
    "Manifest",
    "MetadataFields",
    "MlmodelFormat",
    "MlpackageFormat",
    "Model",
    "Normalize",
    "OnnxSource",
    "Output",
    "PublishTarget",
    "S3Options",
    "S3Publish",
    "Source",
    "Tensor",
    "TorchscriptSource",
    "TorchvisionSource",
    "ValidationOptions",
]


class MetadataFields(Record):
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


class OutputGates(Record):
    """Limits of one output alone."""

    psnr_db: Float | None = Field(None, description="Lowest signal-to-noise ratio in dB.")
    top1: Float | None = Field(
        None, ge=0, le=1, description="Lowest share of samples with the same best label, near ties excused."
    )
    max_abs_error: Float | None = Field(None, ge=0, description="Largest absolute difference.")

    @property
    def record(self) -> OutputLimits:
        return OutputLimits(psnr_db=self.psnr_db, top1=self.top1, max_abs_error=self.max_abs_error)


class Gates(Record):
    """Limits that a converted model must hold against its source, or it is not released."""

    psnr_db: Float | None = Field(
        None,
        description="Lowest signal-to-noise ratio in dB, of every output. Default: 90 in float32, 35 in float16.",
    )
    top1: Float | None = Field(
        None, ge=0, le=1, description="Lowest share of samples with the same best label, near ties excused. Default: 1."
    )
    max_abs_error: Float | None = Field(None, ge=0, description="Largest absolute difference. Default: no limit.")
    outputs: dict[str, OutputGates] = Field(
        default_factory=dict, description="Limits of one output alone, by its name; they replace those of all outputs."
    )
    skip: dict[str, Line] = Field(
        default_factory=dict,
        description="Outputs and gates that are not held, each with the reason, which every report shows.",
    )


class Segmentation(Record):
    """Makes the labelled set one of masks: `picture,mask` in a .csv, or `masks` in an .npz."""

    output: Line | None = Field(
        None,
        description="Output with scores [1, classes, height, width] or class numbers [1, height, width]. Default: the "
        "first one.",
    )
    ignore: Int | None = Field(255, description="Class number of pixels that do not count, or null for none.")


class Detection(Record):
    """Makes the labelled set one of boxes: `picture,label,x1,y1,x2,y2` in a .csv; boxes, labels, samples in an .npz."""

    boxes: Line = Field(description="Output with the boxes, [N, 4].")
    scores: Line = Field(description="Output with a score for each box, [N]; without `classes` [N, classes].")
    classes: Line | None = Field(None, description="Output with the class number of each box, [N].")
    box_format: Literal["xyxy", "xywh", "cxcywh"] = Field(
        "xyxy", description="What the four numbers of a box are: two corners, corner and sides, or centre and sides."
    )
    normalized: Bool = Field(False, description="true where boxes are shares of the picture's width and height.")
    min_score: Float = Field(0.0, description="Boxes with this score or a lower one only fill up the array.")


LIMITS = {
    "classification": ("min_accuracy", "max_accuracy_drop", "min_top5", "max_top5_drop"),
    "segmentation": ("min_mean_iou", "max_mean_iou_drop"),
    "detection": ("min_map", "max_map_drop", "min_map50", "max_map50_drop"),
}


def _least(metric: str) -> Any:
    return Field(None, ge=0, le=1, description=f"Lowest {metric}.")


def _loss(metric: str) -> Any:
    return Field(None, ge=0, le=1, description=f"Largest loss of {metric} against the source model.")


class Labelled(File):
    """A labelled set, on which the converted model must be as accurate as its source."""

    min_accuracy: Float | None = Field(None, ge=0, le=1, description="Lowest share of right answers.")
    max_accuracy_drop: Float | None = Field(
        None, ge=0, le=1, description="Largest loss of accuracy against the source model."
    )
    min_top5: Float | None = _least("share of right answers among the first five")
    max_top5_drop: Float | None = _loss("the share of right answers among the first five")
    min_mean_iou: Float | None = _least("mean intersection over union")
    max_mean_iou_drop: Float | None = _loss("mean intersection over union")
    min_map: Float | None = _least("mean average precision, the mean over IoU 0.5 to 0.95")
    max_map_drop: Float | None = _loss("mean average precision, the mean over IoU 0.5 to 0.95")
    min_map50: Float | None = _least("mean average precision at IoU 0.5")
    max_map50_drop: Float | None = _loss("mean average precision at IoU 0.5")
    significant_drops_only: Bool = Field(
        False, description="true lets a larger loss pass that a paired test (p < 0.05) cannot tell from chance."
    )
    segmentation: Segmentation | None = Field(None, description="The set has masks, and mean IoU is measured.")
    detection: Detection | None = Field(None, description="The set has boxes, and mAP is measured.")

    def rules(self) -> Iterator[Fault]:
        yield from super().rules()
        if self.segmentation and self.detection:
            fix = "keep one; a model that does both needs two entries in the manifest"
            yield Fault((), "the set is said to be of a segmentation and of a detection", fix)
            return
        kind = self.task.kind
        for name in (name for other, names in LIMITS.items() if other != kind for name in names):
            if getattr(self, name) is not None:
                fix = f"use {', '.join(LIMITS[kind])}, or say `segmentation` or `detection` under labelled"
                yield Fault((name,), f"a {kind} has no such metric", fix)
        if self.url is not None and self.suffix == ".csv":
            yield Fault(("url",), "a .csv names pictures beside it, and a url has none", "put the set into an .npz")

    @property
    def task(self) -> LabelledTask:
        if self.segmentation:
            asked = self.segmentation
            return LabelledTask(kind="segmentation", output=asked.output or "", ignore=asked.ignore)
        if self.detection:
            said = self.detection.model_dump() | {"classes": self.detection.classes or ""}
            return LabelledTask(kind="detection", **said)
        return LabelledTask()

    @property
    def limits(self) -> dict[str, float | bool]:
        """The limits that are set, by name."""
        names = {name for names in LIMITS.values() for name in names}
        limits: dict[str, float | bool] = self.model_dump(include=names, exclude_none=True)
        return limits | ({"significant_drops_only": True} if self.significant_drops_only else {})


class ValidationOptions(Record):
    """How the saved model is held against its source."""

    samples: tuple[FileRef, ...] = Field(
        (), description="Pictures, .npy or .npz files to compare on. Default: seeded inputs."
    )
    seeds: Int = Field(4, ge=1, le=1000, description="Number of seeded inputs, where no samples are given.")
    gates: Gates = Field(default_factory=lambda: Gates(), description="Limits that the converted model must hold.")
    labelled: Labelled | None = Field(
        None,
        description="Labelled set with an accuracy gate: an .npz with an array per input and `labels`, a .csv of "
        "pictures and labels, or a folder of pictures per class.",
    )
    baseline: Line | None = Field(
        None,
        description="JSON file of measured figures, which may not become worse; `--update-baseline` writes it.",
    )
    compute_units_required: tuple[ComputeUnits, ...] = Field(
        (),
        description="Compute units on which the model has to pass under Core ML, besides CPU_ONLY: for a Mac of your "
        "own. Default: none; on the others it is measured, and nothing is refused for them.",
    )
    show_pictures: Bool = Field(
        True, description="Whether report.html, which is published, shows small pictures of some samples."
    )

    @property
    def limits(self) -> dict[str, Any]:
        """The limits that the manifest sets, by name; `validate` knows the default of the others."""
        limits: dict[str, Any] = self.gates.model_dump(exclude_none=True, exclude={"outputs", "skip"})
        if self.gates.outputs:
            limits["outputs"] = {name: gates.record for name, gates in self.gates.outputs.items()}
        if self.gates.skip:
            limits["skip"] = dict(self.gates.skip)
        return limits | (self.labelled.limits if self.labelled else {})

    @property
    def task(self) -> LabelledTask:
        """What the labelled set asks of the model."""
        return self.labelled.task if self.labelled else LabelledTask()


_Built = Literal["direct", "onnx"]
RouteField = Annotated[
    Annotated[Literal["direct", "onnx", "auto"], Tag("<text>")] | Annotated[tuple[_Built, ...], Tag("<list>")],
    by_shape("direct, onnx, auto or a list of direct and onnx"),
]


class _Options(Record):
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

    @property
    def given(self) -> dict[Format, File]:
        """The files that were converted elsewhere, by format."""
        return {entry.format: entry.file for entry in self.formats if entry.file}

    def routes_to(self, format: Format) -> tuple[Route, ...]:
        """The routes to one format: of a given file there is none to choose."""
        return ("given",) if format in self.given else self.routes

    @property
    def files_count(self) -> int:
        """How many files there will be, if all goes well."""
        return sum(1 if self.is_auto else len(self.routes_to(target.format)) for target in self.targets)


class Defaults(_Options):
    """What every model takes unless it says otherwise: mappings are merged key by key, lists are replaced."""


class Manifest(Record):
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
