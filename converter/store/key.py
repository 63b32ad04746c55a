"""What a model is made of, and the key that says it: two models with the same key have the same bytes."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.manifest.labelled_csv import CsvError, Kind, files_of, read_rows
from converter.manifest.record import Record
from converter.manifest.schema import (
    ExportedSource,
    FactorySource,
    File,
    Labelled,
    Model,
    OnnxSource,
    TorchscriptSource,
    TorchvisionSource,
)
from converter.store.external import external_files
from converter.store.surroundings import Surroundings, canonical

_REFERENCE = ("path", "url", "sha256")  # how a file is named; its bytes are an ingredient of their own


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """Each ingredient's name and its sha256 or version; `obstacle` says why the model is always converted anew.

    Names begin with their kind: `file PATH`, `option KEY`, `tool NAME`, and `all ...` for the digest of many parts.
    """

    parts: Mapping[str, str]
    obstacle: str = ""

    @property
    def key(self) -> str:
        """The sha256 of the ingredients; empty where there is an obstacle."""
        return "" if self.obstacle else key_of(self.parts)


class _ObstacleError(Exception):
    """Why a model cannot be told from what it was."""


def key_of(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical(dict(parts)).encode()).hexdigest()


def ingredients(model: Model, around: Surroundings) -> Ingredients:
    """Everything that the model's files and its record follow from, as it is now."""
    parts = dict(_options(model))
    try:
        for file, said in _files(model):
            parts |= _bytes(file, said, model, around)
        if isinstance(model.source, FactorySource):
            parts |= _factory(model, model.source, around)
        return Ingredients(parts={**parts, **around.tools})
    except _ObstacleError as obstacle:
        return Ingredients(parts=parts, obstacle=str(obstacle))
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        return Ingredients(parts=parts, obstacle=f"{name} cannot be read: {error.strerror}")


def _options(model: Model) -> Iterator[tuple[str, str]]:
    for name in type(model).model_fields:
        value: Any = (model.routes, model.is_auto) if name == "route" else getattr(model, name)
        shown = "validate" if name == "validation" else name
        if name == "validation":  # a baseline decides over no byte, and what is reused is held to it as well
            value = value.model_copy(update={"baseline": None})
        yield f"option {shown}", hashlib.sha256(canonical(_said(value)).encode()).hexdigest()


def _said(value: Any) -> Any:
    """What the manifest says, defaults included; of a file only its name, without a query that may be signed anew."""
    if isinstance(value, File):
        others = {name: _said(getattr(value, name)) for name in type(value).model_fields if name not in _REFERENCE}
        return {"file": value.origin, **others}
    if isinstance(value, Record):
        return {name: _said(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple | list):
        return [_said(item) for item in value]
    return {str(key): _said(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _files(model: Model) -> Iterator[tuple[File, str]]:
    """Every file that the manifest names for the model, and what to call it."""
    match model.source:
        case TorchvisionSource(checkpoint=file) | FactorySource(checkpoint=file) if file:
            yield file, "the checkpoint comes"
        case TorchscriptSource(torchscript=file) | ExportedSource(exported=file) | OnnxSource(onnx=file):
            yield file, "the model comes"
    if model.classifier and isinstance(model.classifier.labels, File):
        yield model.classifier.labels, "labels come"
    for file in model.validation.samples:
        yield file, "a sample comes"
    if model.validation.labelled:
        yield model.validation.labelled, "the labelled set comes"
    for file in model.extra:
        yield file, "an extra file comes"
    for file in model.given.values():
        yield file, "the given file comes"


def _bytes(file: File, said: str, model: Model, around: Surroundings) -> dict[str, str]:
    name = f"file {file.origin}"
    if file.path is None:
        if file.sha256 is None:
            raise _ObstacleError(f"{said} from a URL without sha256")
        return {name: file.sha256.lower()}
    path = model.folder / file.path
    if path.is_dir():
        return {f"all {file.path}": around.together(_folder(path, around))}
    if isinstance(file, Labelled) and path.suffix.lower() == ".csv":
        folder = Path(file.path).parent.as_posix()
        return {f"all {folder}": around.together(_listed(path, file.task.kind, around))}
    found = {name: around.index.sha256(path)}
    if file.sha256 and found[name] != file.sha256.lower():
        raise _ObstacleError(f"{file.path} is not the file whose sha256 the manifest has")
    if isinstance(model.source, OnnxSource) and file is model.source.onnx:
        for location in around.index.fact("external", found[name], lambda: external_files(path)):
            found[f"file {(Path(file.path).parent / location).as_posix()}"] = around.index.sha256(
                path.parent / location
            )
    return found


def _listed(path: Path, kind: Kind, around: Surroundings) -> dict[str, str]:
    """A .csv and every file that it names."""
    try:
        names = [name for _, name in files_of(read_rows(path, kind), kind)]
    except CsvError as error:
        raise _ObstacleError(f"{path.name} cannot be read") from error
    return {name: around.index.sha256(path.parent / name) for name in (path.name, *names)}


def _folder(path: Path, around: Surroundings) -> dict[str, str]:
    files = (Path(folder) / name for folder, _, names in os.walk(path, followlinks=True) for name in names)
    return {file.relative_to(path).as_posix(): around.index.sha256(file) for file in files}


def _factory(model: Model, source: FactorySource, around: Surroundings) -> dict[str, str]:
    """The code that the factory can import, and where it starts from; the factory's own file also if git ignores it."""
    start = {"option folder": Path(os.path.relpath(model.folder, around.root)).as_posix()}
    if source.is_file:
        file = model.folder / source.target[0]
        start[f"file {Path(os.path.relpath(file, around.root)).as_posix()}"] = around.index.sha256(file)
    return {**start, **around.code}
