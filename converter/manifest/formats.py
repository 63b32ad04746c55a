"""The files to build, and their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from converter.manifest.record import Fault, Line, Record, kind_of
from converter.manifest.sources import File, FileRef
from converter.model import ComputeUnits, Format, MlmodelTarget, MlpackageTarget, Precision, Target


def _nothing_as_empty(value: Any) -> Any:
    return {} if value is None else value


_OF_A_GIVEN_FILE = {"file", "compute_units"}


class _Options(Record):
    file: FileRef | None = Field(
        None,
        description="A file that was converted elsewhere, relative to the manifest: it is not converted but held "
        "against the source as it is. A .mlmodel, a .mlpackage folder or its .mlpackage.zip.",
    )

    def _given(self, *endings: str) -> Iterator[Fault]:
        """What cannot be said beside or of a given file."""
        if self.file is None:
            return
        for name in sorted(self.model_fields_set - _OF_A_GIVEN_FILE):
            yield Fault((name,), f"a given file has its own {name}", f"take out {name}, or file to have it converted")
        if not self.file.origin.rstrip("/").endswith(endings):
            fix = f"name one that ends in {' or '.join(endings)}"
            yield Fault(("file",), f"{self.file.origin} is no {endings[0]} file", fix)
        elif self.file.url is not None and self.file.sha256 is None:
            yield Fault(("file",), "a file from an address needs its sha256", "add sha256: as sha256sum prints it")


class MlmodelOptions(_Options):
    """A NeuralNetwork in one .mlmodel file; it opens everywhere. It has no compute precision of its own."""

    deployment_target: MlmodelTarget = Field("iOS13", description="Oldest system that the file must run on.")
    compute_units: ComputeUnits = Field("ALL", description="What Core ML may run the model on.")

    def rules(self) -> Iterator[Fault]:
        yield from self._given(".mlmodel")


class MlpackageOptions(_Options):
    """An ML Program in a .mlpackage folder, today's format."""

    deployment_target: MlpackageTarget = Field("iOS16", description="Oldest system that the file must run on.")
    compute_precision: Precision = Field("float16", description="Precision of the arithmetic inside the model.")
    compute_units: ComputeUnits = Field("ALL", description="What Core ML may run the model on.")
    float32_ops: tuple[Line, ...] = Field(
        (),
        description="What computes in float32 in a float16 model: op types (Softmax), modules (encoder.layer.0), or "
        "names of single ops.",
    )

    def rules(self) -> Iterator[Fault]:
        if self.float32_ops and self.compute_precision == "float32":
            fix = "take float32_ops out, or write compute_precision: float16"
            yield Fault(("float32_ops",), "everything is in float32 already", fix)
        yield from self._given(".mlpackage", ".mlpackage.zip")


class MlmodelFormat(Record):
    mlmodel: Annotated[
        MlmodelOptions, BeforeValidator(_nothing_as_empty, json_schema_input_type=MlmodelOptions | None)
    ] = Field(description="A .mlmodel file: NeuralNetwork, iOS13 or iOS14.")

    @property
    def format(self) -> Format:
        return "mlmodel"

    @property
    def file(self) -> File | None:
        return self.mlmodel.file

    @property
    def target(self) -> Target:
        options = self.mlmodel
        return Target(
            format="mlmodel",
            deployment_target=options.deployment_target,
            compute_precision="float32",
            compute_units=options.compute_units,
        )


class MlpackageFormat(Record):
    mlpackage: Annotated[
        MlpackageOptions, BeforeValidator(_nothing_as_empty, json_schema_input_type=MlpackageOptions | None)
    ] = Field(description="A .mlpackage folder: ML Program, iOS15 or later.")

    @property
    def format(self) -> Format:
        return "mlpackage"

    @property
    def file(self) -> File | None:
        return self.mlpackage.file

    @property
    def target(self) -> Target:
        options = self.mlpackage
        return Target(
            format="mlpackage",
            deployment_target=options.deployment_target,
            compute_precision=options.compute_precision,
            compute_units=options.compute_units,
            float32_ops=options.float32_ops,
        )


FORMATS: dict[str, type[Record]] = {"mlmodel": MlmodelFormat, "mlpackage": MlpackageFormat}


def _format_by_name(value: Any) -> Any:
    return {value: None} if isinstance(value, str) else value


def _format_kind(value: Any) -> str | None:
    return kind_of(value, FORMATS)


_Format = Annotated[
    Annotated[MlmodelFormat, Tag("<mlmodel>")] | Annotated[MlpackageFormat, Tag("<mlpackage>")],
    Discriminator(_format_kind, custom_error_type="one_key", custom_error_message=", ".join(FORMATS)),
]
FormatName = Literal["mlmodel", "mlpackage"]
FormatMapping = MlmodelFormat | MlpackageFormat
FormatEntry = Annotated[_Format, BeforeValidator(_format_by_name, json_schema_input_type=FormatName | FormatMapping)]


def _one_as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str | Mapping) else value


FormatsField = Annotated[
    tuple[FormatEntry, ...],
    Field(min_length=1),
    BeforeValidator(_one_as_list, json_schema_input_type=FormatName | FormatMapping | list[FormatName | FormatMapping]),
]
