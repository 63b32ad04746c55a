"""What one model, or all of them together, promise beyond the shape of their records."""

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from converter.manifest.files import Repository, UnusablePathError, names_defined, sha256_of
from converter.manifest.schema import (
    Classifier,
    Complaint,
    ExportedSource,
    FactorySource,
    File,
    Key,
    Model,
    OnnxSource,
    PublishTarget,
    TorchscriptSource,
    TorchvisionSource,
)
from converter.manifest.torchvision_names import category_count, torchvision_models
from converter.manifest.words import nearest, one_of

_Path = tuple[Key, ...]

# Of dist, of Windows, and of git; a model's folder cannot have such a name everywhere.
_TAKEN = {"build.json", "sha256sums", "report.md"}
_DEVICES = {"con", "prn", "aux", "nul", *(f"{device}{digit}" for device in ("com", "lpt") for digit in range(1, 10))}

# Endings that say which source a file is for; others say nothing.
_BELONGS = {".onnx": "onnx", ".pt2": "exported", ".safetensors": "checkpoint", ".mlmodel": "", ".mlpackage": ""}


class Check(NamedTuple):
    """A check and the keys of the model that it looks at; it runs where all of them have the right types."""

    needs: frozenset[str]
    run: Callable[[Model, Repository], Iterator[Complaint]]


def name(model: Model, _: Repository) -> Iterator[Complaint]:
    lower = model.name.lower()
    if lower in _TAKEN:
        yield Complaint(("name",), f"{model.name} is the name of a file in the output folder", "choose another name")
    if lower.partition(".")[0] in _DEVICES:
        yield Complaint(("name",), f"{model.name} is the name of a device on Windows", "choose another name")
    if ".." in model.name or model.name.endswith("."):
        fix = "a release page changes such names; use single dots, not at the end"
        yield Complaint(("name",), f'"{model.name}" has a dot at the end or two in a row', fix)


def source(model: Model, repository: Repository) -> Iterator[Complaint]:
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


def _torchvision(found: TorchvisionSource) -> Iterator[Complaint]:
    models = torchvision_models()
    if found.torchvision not in models:
        guess = nearest(found.torchvision, models)
        fix = f"did you mean {guess}?" if guess else "names are those of torchvision.models, resnet50 for example"
        yield Complaint(("source", "torchvision"), f'torchvision has no model "{found.torchvision}"', fix)
        return
    names = [*models[found.torchvision]["weights"], "DEFAULT"]
    if found.weights is not None and found.weights not in names:
        guess = nearest(found.weights.rpartition(".")[2], names)
        fix = f"did you mean {guess}? " if guess else ""
        fix += f"there are {one_of(names, 'and')}, or null for none"
        yield Complaint(("source", "weights"), f'{found.torchvision} has no weights "{found.weights}"', fix)


def _factory(found: FactorySource, repository: Repository) -> Iterator[Complaint]:
    path: _Path = ("source", "factory")
    place, function = found.target
    try:
        file = repository.file(place) if found.is_file else _module(place, repository)
        names = names_defined(file) if file else None
    except UnusablePathError as error:
        yield Complaint(path, error.problem, error.fix)
        return
    if names is not None and function not in names:
        guess = nearest(function, names)
        fix = f"did you mean {guess}?" if guess else "name a function that returns a torch module"
        yield Complaint(path, f"{place} has no function {function}", fix)


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


def _checkpoint(file: File | None, repository: Repository) -> Iterator[Complaint]:
    if file is None:
        return
    path: _Path = ("source", "checkpoint")
    yield from _ending(path, file, "checkpoint")
    yield from local_file(path, file, repository)
    # A local state dict is data, and the commit pins it; what comes from elsewhere is pinned here.
    if file.url is not None and file.sha256 is None:
        yield Complaint(path, "a checkpoint from an address needs its sha256", "add sha256: as sha256sum prints it")


def _model_file(path: _Path, file: File, kind: str, repository: Repository) -> Iterator[Complaint]:
    yield from _ending(path, file, kind)
    found = list(local_file(path, file, repository))
    yield from found
    if file.sha256 is None:
        digest = sha256_of(repository.file(file.path)) if file.path is not None and not found else None
        fix = f"if it is the right file, write {{path: {file.path}, sha256: {digest}}}"
        yield Complaint(path, "a file that is loaded as a model needs its sha256", fix if digest else _HASH_IT)


_HASH_IT = "write {path or url, sha256}, with the sha256 that sha256sum prints"


def _ending(path: _Path, file: File, kind: str) -> Iterator[Complaint]:
    other = _BELONGS.get(file.suffix, kind)
    if other == kind:
        return
    fix = f"write it under `{other}`" if other else "name the model that it was made from"
    yield Complaint(path, f"a {file.suffix} file is no {kind} file", fix)


def local_file(path: _Path, file: File, repository: Repository, *, folder_too: bool = False) -> Iterator[Complaint]:
    """What is wrong with a file's path, at its place."""
    if file.path is None:
        return
    try:
        repository.file(file.path, folder_too=folder_too)
    except UnusablePathError as error:
        yield Complaint((*path, "path"), error.problem, error.fix)


def files(model: Model, repository: Repository) -> Iterator[Complaint]:
    for index, sample in enumerate(model.validation.samples):
        yield from local_file(("validate", "samples", index), sample, repository)
    if model.validation.labelled:
        yield from local_file(("validate", "labelled"), model.validation.labelled, repository, folder_too=True)


def extra(model: Model, repository: Repository) -> Iterator[Complaint]:
    for index, file in enumerate(model.extra):
        yield from local_file(("extra", index), file, repository)


def labels(model: Model, repository: Repository) -> Iterator[Complaint]:
    classifier = model.classifier
    if classifier is None or classifier.labels == ():
        return
    path: _Path = ("classifier", "labels")
    if isinstance(classifier.labels, File):
        problems = list(local_file(path, classifier.labels, repository))
        yield from problems
        if problems:
            return
    if isinstance(classifier.labels, tuple):
        yield from _repeated(path, classifier.labels)
    if isinstance(model.source, TorchvisionSource):
        yield from _label_count(path, classifier, model.source, repository)
    elif classifier.labels == "torchvision":
        fix = "name a label file, or list the labels"
        yield Complaint(path, "only a torchvision source brings labels of its own", fix)


def _repeated(path: _Path, names: tuple[str, ...]) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, label in enumerate(names):
        if label in first:
            fix = "the app receives a dictionary keyed by label; give each class a name of its own"
            yield Complaint((*path, index), f'"{label}" is label {first[label]} already', fix)
        first.setdefault(label, index)


def _label_count(
    path: _Path, classifier: Classifier, found: TorchvisionSource, repository: Repository
) -> Iterator[Complaint]:
    # Without weights the network still has the head of its default weights.
    scores = category_count(found.torchvision, found.weights or "DEFAULT")
    if classifier.labels == "torchvision":
        if scores == 0:
            fix = "name a label file, or leave the classifier out"
            yield Complaint(path, f"the weights {found.weights} of {found.torchvision} name no categories", fix)
        return
    if isinstance(classifier.labels, File):
        local = classifier.labels.path
        count = _count(repository.file(local)) if local is not None else None
    else:
        count = len(classifier.labels)
    if scores and count is not None and count != scores:
        problem = f"there are {count} labels, and {found.torchvision} gives {scores} scores"
        yield Complaint(path, problem, "give one label per score, in the scores' order")


def _count(file: Path) -> int | None:
    """The number of labels in a file, or None where it takes more than counting to tell."""
    try:
        text = file.read_text(encoding="utf-8")
        return len(json.loads(text)) if file.suffix.lower() == ".json" else len(text.removesuffix("\n").split("\n"))
    except (ValueError, TypeError, RecursionError):
        return None  # loading says more about a file that is no label file


def classifier(model: Model, _: Repository) -> Iterator[Complaint]:
    if model.classifier and model.outputs and model.outputs[0].image:
        yield Complaint(("outputs", 0, "image"), "a classifier's first output are scores, no picture", "take image out")
    if model.validation.labelled and not model.classifier:
        fix = "add a classifier with labels, or take labelled out"
        yield Complaint(("validate", "labelled"), "only a classifier can be held to labelled pictures", fix)


def inputs(model: Model, _: Repository) -> Iterator[Complaint]:
    if isinstance(model.source, FactorySource | TorchscriptSource) and not model.inputs:
        fix = "describe each input: {name, image: {size, color, normalize}} or {name, tensor: {shape, dtype}}"
        yield Complaint((), "the key `inputs` is missing, and this source does not say what it takes", fix)
    enumerated = []
    for index, found in enumerate(model.inputs):
        image = found.image
        path: _Path = ("inputs", index, "image")
        if (image and image.enumerated) or (found.tensor and found.tensor.enumerated):
            enumerated.append(index)
        if image is None or isinstance(model.source, TorchvisionSource):
            continue
        if image.normalize is None:
            fix = "add normalize: imagenet, unit (0..1), none (0..255) or {mean, std}, as the model was trained"
            yield Complaint(path, "how pixels are normalised is not said, and only torchvision's weights know it", fix)
        knows_sizes = isinstance(model.source, ExportedSource | OnnxSource)
        if image.height_width is None and not knows_sizes:
            fix = "add size: a number of pixels, or [height, width]"
            yield Complaint(path, "the picture's size is not said, and only torchvision's weights know it", fix)
        elif image.height_width is None and image.range:
            yield Complaint(path, "a range needs the size that is its default", "add size: [height, width]")
    for target in model.targets:
        if len(enumerated) > 1 and target.format == "mlpackage" and int(target.deployment_target[3:]) < 18:
            problem = f"{len(enumerated)} inputs enumerate their sizes, {target.deployment_target} takes one such input"
            yield Complaint(("inputs", enumerated[1]), problem, "build an mlpackage for iOS18, or use a range")


def names(model: Model, _: Repository) -> Iterator[Complaint]:
    taken: dict[str, str] = {}
    features: list[tuple[_Path, str, str]] = [
        (("inputs", index, "name"), found.name, "input") for index, found in enumerate(model.inputs)
    ]
    if model.classifier:
        features.append((("classifier", "predicted_feature_name"), model.classifier.predicted_feature_name, "output"))
        features.append((("classifier", "probabilities_name"), model.classifier.probabilities_name, "output"))
    # A classifier's first output is known by the name of its probabilities, and may say so.
    features += [
        (("outputs", index, "name"), found.name, "output")
        for index, found in enumerate(model.outputs)
        if not (model.classifier and index == 0 and found.name == model.classifier.probabilities_name)
    ]
    for path, feature, kind in features:
        if feature in taken:
            problem = (
                f"{'two inputs are' if taken[feature] == kind == 'input' else 'two features are'} called {feature}"
            )
            yield Complaint(path, problem, "Core ML needs a name for each input and output; rename one")
        taken.setdefault(feature, kind)


def formats(model: Model, _: Repository) -> Iterator[Complaint]:
    seen: set[str] = set()
    for index, target in enumerate(model.targets):
        if target.format in seen:
            fix = "keep one; a second variant is a model of its own, with its own name"
            yield Complaint(("formats", index), f"{target.format} is asked for twice", fix)
        seen.add(target.format)


def float16(model: Model, _: Repository) -> Iterator[Complaint]:
    used = [("inputs", i, "tensor") for i, x in enumerate(model.inputs) if x.tensor and x.tensor.dtype == "float16"]
    places: list[_Path] = [*used, *(("outputs", i) for i, x in enumerate(model.outputs) if x.dtype == "float16")]
    for target in model.targets:
        if target.format == "mlmodel" or target.deployment_target == "iOS15":
            where = "a .mlmodel" if target.format == "mlmodel" else "iOS15"
            for path in places:
                fix = "use float32, or build only mlpackage for iOS16 or later"
                yield Complaint((*path, "dtype"), f"{where} knows no float16 inputs and outputs", fix)
            return


def route(model: Model, _: Repository) -> Iterator[Complaint]:
    if isinstance(model.route, tuple):
        if not model.route:
            yield Complaint(("route",), "the list of routes is empty", "write direct, onnx, auto or a list of them")
        for index, one in enumerate(model.route):
            if one in model.route[:index]:
                yield Complaint(("route", index), f"the route {one} is listed twice", "list it once")


def onnx_route(model: Model) -> Iterator[Complaint]:
    """Only for what the model says itself: a route in `defaults` is for the models that have a choice."""
    if isinstance(model.source, OnnxSource) and model.route not in ("auto", "onnx", ("onnx",)):
        yield Complaint(("route",), "an ONNX source has no other route than onnx", "write onnx, or take the key out")


CHECKS = (
    Check(frozenset({"name"}), name),
    Check(frozenset({"source"}), source),
    Check(frozenset({"validate"}), files),
    Check(frozenset({"extra"}), extra),
    Check(frozenset({"classifier", "source"}), labels),
    Check(frozenset({"classifier", "outputs", "validate"}), classifier),
    Check(frozenset({"inputs", "source", "formats"}), inputs),
    Check(frozenset({"inputs", "outputs", "classifier"}), names),
    Check(frozenset({"formats"}), formats),
    Check(frozenset({"inputs", "outputs", "formats"}), float16),
    Check(frozenset({"route"}), route),
)


def flat_names(model: Model) -> Iterator[tuple[str, _Path]]:
    """Every file name that the model may put on a release page, and the key that it comes from."""
    routes = model.routes if len(model.routes) > 1 and not model.is_auto else ()
    for stem in (f"{model.name}-{route}" for route in routes) if routes else (model.name,):
        for target in model.targets:
            yield f"{stem}.{target.format}{'.zip' if target.format == 'mlpackage' else ''}", ("name",)
    for ending in ("md", "references.npz", "labels.txt", "labels.json"):
        yield f"{model.name}.{ending}", ("name",)
    for index, file in enumerate(model.extra):
        yield f"{model.name}.{Path(file.origin).name}", ("extra", index)


def together(models: Mapping[int, Model]) -> Iterator[tuple[int, Complaint]]:
    """What the models cannot be at once; each complaint with the index of the later model."""
    names: dict[str, int] = {}
    files: dict[str, tuple[int, _Path]] = {}
    for index, model in models.items():
        first = names.setdefault(model.name.lower(), index)
        if first != index:
            other = models[first].name
            capitals = "" if other == model.name else f" as {other}, and many file systems ignore capitals"
            problem = f"a model is called {model.name} already{capitals}"
            yield index, Complaint(("name",), problem, "choose another name")
            continue
        for flat, path in flat_names(model):
            owner, key = files.setdefault(flat.lower(), (index, path))
            if (owner, key) != (index, path):
                whose = "of this model" if owner == index else f"of {models[owner].name}"
                problem = f"its file {flat} would have the name of one {whose}"
                yield index, Complaint(path, problem, "rename one; files are published side by side")


def publish(targets: Sequence[PublishTarget], repository: Repository) -> Iterator[Complaint]:
    taken: set[Path] = set()
    for index, target in enumerate(targets):
        path: _Path = (index, "directory")
        try:
            found = repository.place(target.directory)
            is_file = found.is_file()
        except UnusablePathError as error:
            yield Complaint(path, error.problem, error.fix)
            continue
        except OSError as error:
            yield Complaint(path, f"{target.directory} cannot be used: {error.strerror}", "name another folder")
            continue
        if is_file:
            yield Complaint(path, f"{target.directory} is a file", "name a folder")
        elif found in (repository.root, repository.folder):
            problem = (
                f"{target.directory} is the {'repository' if found == repository.root else 'manifest'}'s own folder"
            )
            yield Complaint(path, problem, "name a folder for the published files alone, public for example")
        elif found in taken:
            yield Complaint(path, f"{target.directory} is published to twice", "keep one of the two")
        taken.add(found)
