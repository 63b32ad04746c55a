"""What a source promises: its names are known, its files are there, and what is loaded as a model is pinned."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from converter.manifest.files import Repository, UnusablePathError, names_defined, sha256_of
from converter.manifest.schema import (
    ExportedSource,
    FactorySource,
    Fault,
    File,
    Key,
    Model,
    OnnxSource,
    TorchscriptSource,
    TorchvisionSource,
)
from converter.manifest.torchvision_names import torchvision_models
from converter.manifest.words import nearest, one_of

_Path = tuple[Key, ...]

# Endings that say which source a file is for; others say nothing.
_BELONGS = {".onnx": "onnx", ".pt2": "exported", ".safetensors": "checkpoint", ".mlmodel": "", ".mlpackage": ""}
_HASH_IT = "write {path or url, sha256}, with the sha256 that sha256sum prints"


def source(model: Model, repository: Repository) -> Iterator[Fault]:
    match model.source:
        case TorchvisionSource() as found:
            yield from _torchvision(found)
            yield from _checkpoint(found.checkpoint, repository)
        case FactorySource() as found:
            yield from _factory(found, repository)
            yield from _checkpoint(found.checkpoint, repository)
        case TorchscriptSource(torchscript=file):
            yield from _model_file(("source", "torchscript"), file, "torchscript", repository)
        case ExportedSource(exported=file):
            yield from _model_file(("source", "exported"), file, "exported", repository)
        case OnnxSource(onnx=file):
            yield from _model_file(("source", "onnx"), file, "onnx", repository)


def _torchvision(found: TorchvisionSource) -> Iterator[Fault]:
    models = torchvision_models()
    if found.torchvision not in models:
        guess = nearest(found.torchvision, models)
        fix = f"did you mean {guess}?" if guess else "names are those of torchvision.models, resnet50 for example"
        yield Fault(("source", "torchvision"), f'torchvision has no model "{found.torchvision}"', fix)
        return
    names = [*models[found.torchvision]["weights"], "DEFAULT"]
    if found.weights is not None and found.weights not in names:
        guess = nearest(found.weights.rpartition(".")[2], names)
        fix = f"did you mean {guess}? " if guess else ""
        fix += f"there are {one_of(names, 'and')}, or null for none"
        yield Fault(("source", "weights"), f'{found.torchvision} has no weights "{found.weights}"', fix)


def _factory(found: FactorySource, repository: Repository) -> Iterator[Fault]:
    path: _Path = ("source", "factory")
    place, function = found.target
    try:
        file = repository.file(place) if found.is_file else _module(place, repository)
        names = names_defined(file) if file else None
    except UnusablePathError as error:
        yield Fault(path, error.problem, error.fix)
        return
    if names is not None and function not in names:
        guess = nearest(function, names)
        fix = f"did you mean {guess}?" if guess else "name a function that returns a torch module"
        yield Fault(path, f"{place} has no function {function}", fix)


def _module(place: str, repository: Repository) -> Path | None:
    """The module's file in the repository; None where it is an installed package's."""
    parts = place.split(".")
    if not all(part.isidentifier() for part in parts):
        fix = "write path/to/file.py:function or package.module:function"
        raise UnusablePathError(f'"{place}" is neither a Python file nor a module', fix)
    for folder in (repository.folder, repository.root):
        stem = folder.joinpath(*parts)
        for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if file.is_file():
                return file
    # Only looked up, not imported: the code of a package is run when the model is loaded.
    if importlib.util.find_spec(parts[0]) is None:
        fix = f"write {'/'.join(parts)}.py:function for a file, or install the package that holds it"
        raise UnusablePathError(f"there is no module {place}", fix)
    return None


def _checkpoint(file: File | None, repository: Repository) -> Iterator[Fault]:
    if file is None:
        return
    path: _Path = ("source", "checkpoint")
    yield from _ending(path, file, "checkpoint")
    yield from local_file(path, file, repository)
    # A local state dict is data, and the commit pins it; what comes from elsewhere is pinned here.
    if file.url is not None and file.sha256 is None:
        yield Fault(path, "a checkpoint from an address needs its sha256", "add sha256: as sha256sum prints it")


def _model_file(path: _Path, file: File, kind: str, repository: Repository) -> Iterator[Fault]:
    yield from _ending(path, file, kind)
    found = list(local_file(path, file, repository))
    yield from found
    if file.sha256 is None:
        digest = sha256_of(repository.file(file.path)) if file.path is not None and not found else None
        fix = f"if it is the right file, write {{path: {file.path}, sha256: {digest}}}"
        yield Fault(path, "a file that is loaded as a model needs its sha256", fix if digest else _HASH_IT)


def _ending(path: _Path, file: File, kind: str) -> Iterator[Fault]:
    other = _BELONGS.get(file.suffix, kind)
    if other == kind:
        return
    fix = f"write it under `{other}`" if other else "name the model that it was made from"
    yield Fault(path, f"a {file.suffix} file is no {kind} file", fix)


def local_file(path: _Path, file: File, repository: Repository, *, folder_too: bool = False) -> Iterator[Fault]:
    """What is wrong with a file's path, at its place."""
    if file.path is None:
        return
    try:
        repository.file(file.path, folder_too=folder_too)
    except UnusablePathError as error:
        yield Fault((*path, "path"), error.problem, error.fix)
