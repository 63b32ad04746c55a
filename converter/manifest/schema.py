"""The manifest as typed, frozen records; their field descriptions are what editors show while one writes.

Every rule that needs no more than one record stands beside its fields, in `rules`; `checks` holds the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, Tag

from converter.manifest.features import Classifier, Image, ImageRange, Input, Normalize, Output, Tensor
from converter.manifest.formats import FormatsField, MlmodelFormat, MlmodelOptions, MlpackageFormat, MlpackageOptions
from converter.manifest.publish import DirectoryPublish, GithubOptions, GithubPublish, PublishTarget
from converter.manifest.record import MODEL_NAME, Bool, Fault, Float, Int, Key, Record, Text, by_shape
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
from converter.model import Metadata, Route, Target

__all__ = [
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


class Labelled(File):
    """A labelled set, on which the converted model must be as accurate as its source."""

    min_accuracy: Float | None = Field(None, ge=0, le=1, description="Lowest share of right answers.")
    max_accuracy_drop: Float | None = Field(
        None, ge=0, le=1, description="Largest loss of accuracy against the source model."
    )


class ValidationOptions(Record):
    """How the saved model is held against its source."""

    samples: tuple[FileRef, ...] = Field(
        (), description="Pictures, .npy or .npz files to compare on. Default: seeded inputs."
    )
    seeds: Int = Field(4, ge=1, le=1000, description="Number of seeded inputs, where no samples are given.")
    gates: Gates = Field(default_factory=lambda: Gates(), description="Limits that the converted model must hold.")
    labelled: Labelled | None = Field(
        None,
        description="Labelled set with an accuracy gate: an .npz with an array per input and `labels`, or a "
        "folder of pictures per class.",
    )
    show_pictures: Bool = Field(
        True, description="Whether report.html, which is published, shows small pictures of some samples."
    )

    @property
    def limits(self) -> dict[str, float]:
        """The limits that the manifest sets, by name; `validate` knows the default of the others."""
        limits = self.gates.model_dump(exclude_none=True)
        if self.labelled is not None:
            limits |= self.labelled.model_dump(include={"min_accuracy", "max_accuracy_drop"}, exclude_none=True)
        return limits


RouteField = Annotated[
    Annotated[Literal["direct", "onnx", "auto"], Tag("<text>")] | Annotated[tuple[Route, ...], Tag("<list>")],
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
