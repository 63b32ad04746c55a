"""Where a model comes from: a file, and the five kinds of source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from converter.manifest.record import FACTORY, SHA256, Fault, Line, Record, Text, kind_of

Sha256 = Annotated[Text, Field(pattern=SHA256, description="SHA-256 of the file, 64 hex digits.")]


def path_as_file(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class File(Record):
    """A file: `path` relative to the manifest, or `url` (https or s3)."""

    path: Line | None = Field(None, description="Path relative to the manifest's folder, inside the repository.")
    url: Line | None = Field(None, description="https:// or s3:// address; credentials come from the environment.")
    sha256: Sha256 | None = Field(
        None,
        description="SHA-256 of the file. Required for torchscript, exported and onnx files, and for a checkpoint that "
        "is given by url; elsewhere optional, and recorded.",
    )

    def rules(self) -> Iterator[Fault]:
        if (self.path is None) == (self.url is None):
            what = "both path and url are given" if self.path else "neither path nor url is given"
            yield Fault((), what, "give exactly one of path and url")
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


def _url_rules(url: str) -> Iterator[Fault]:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("https", "s3"):
        if scheme.lower() == "http" and separator:
            yield Fault(("url",), "http is not accepted, anyone on the way could change the file", "use https://")
        else:
            yield Fault(("url",), "this is not an https:// or s3:// address", "write the whole address, or use path")
        return
    authority, _, path = rest.partition("/")
    if "@" in authority:
        yield Fault(("url",), "the address holds credentials", "take them out; credentials come from the environment")
    elif not authority or not path:
        yield Fault(("url",), "the address names no file", "write https://host/path/to/file")


# Anything that names a file may be a plain string, its path.
FileRef = Annotated[File, BeforeValidator(path_as_file, json_schema_input_type=Line | File)]


class TorchvisionSource(Record):
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


class FactorySource(Record):
    """A function of the user's repository that returns a torch module."""

    factory: Text = Field(
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


class TorchscriptSource(Record):
    """A TorchScript archive."""

    torchscript: FileRef = Field(description="TorchScript file (.pt); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"torchscript {self.torchscript.origin}"


class ExportedSource(Record):
    """A program saved by torch.export."""

    exported: FileRef = Field(description="torch.export file (.pt2); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"exported {self.exported.origin}"


class OnnxSource(Record):
    """An ONNX model; it always takes the route onnx."""

    onnx: FileRef = Field(description="ONNX file (.onnx); its sha256 is required.")

    @property
    def description(self) -> str:
        return f"onnx {self.onnx.origin}"


SOURCES: dict[str, type[Record]] = {
    "torchvision": TorchvisionSource,
    "factory": FactorySource,
    "torchscript": TorchscriptSource,
    "exported": ExportedSource,
    "onnx": OnnxSource,
}


def _source_kind(value: Any) -> str | None:
    return kind_of(value, SOURCES)


Source = Annotated[
    Annotated[TorchvisionSource, Tag("<torchvision>")]
    | Annotated[FactorySource, Tag("<factory>")]
    | Annotated[TorchscriptSource, Tag("<torchscript>")]
    | Annotated[ExportedSource, Tag("<exported>")]
    | Annotated[OnnxSource, Tag("<onnx>")],
    Discriminator(_source_kind, custom_error_type="one_key", custom_error_message=", ".join(SOURCES)),
]
