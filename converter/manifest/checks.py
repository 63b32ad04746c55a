"""What one model, or all of them together, promise beyond the shape of their records."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from converter.manifest.checks_source import local_file, source
from converter.manifest.files import Repository, UnusablePathError
from converter.manifest.labelled_csv import CsvError, files_of, read_rows
from converter.manifest.schema import (
    LIMITS,
    Classifier,
    DirectoryPublish,
    ExportedSource,
    FactorySource,
    Fault,
    File,
    Key,
    Labelled,
    Model,
    OnnxSource,
    PublishTarget,
    TorchscriptSource,
    TorchvisionSource,
)
from converter.manifest.torchvision_names import category_count

_Path = tuple[Key, ...]

# Files of the output folder, and devices of Windows: a model's folder cannot have such a name everywhere.
_TAKEN = {"build.json", "sha256sums", "report.md", "report.html"}
_DEVICES = {"con", "prn", "aux", "nul", *(f"{device}{digit}" for device in ("com", "lpt") for digit in range(1, 10))}
# https://github.com/actions/toolkit: packages/artifact refuses them, after everything was converted
_NO_ARTIFACT = set('":<>|*?')


class Check(NamedTuple):
    """A check and the keys of the model that it looks at; it runs where all of them have the right types."""

    needs: frozenset[str]
    run: Callable[[Model, Repository], Iterator[Fault]]


def name(model: Model, _: Repository) -> Iterator[Fault]:
    lower = model.name.lower()
    if lower in _TAKEN:
        yield Fault(("name",), f"{model.name} is the name of a file in the output folder", "choose another name")
    if lower.partition(".")[0] in _DEVICES:
        yield Fault(("name",), f"{model.name} is the name of a device on Windows", "choose another name")
    if ".." in model.name or model.name.endswith("."):
        fix = "a release page changes such names; use single dots, not at the end"
        yield Fault(("name",), f'"{model.name}" has a dot at the end or two in a row', fix)


def files(model: Model, repository: Repository) -> Iterator[Fault]:
    for index, sample in enumerate(model.validation.samples):
        yield from local_file(("validate", "samples", index), sample, repository)
    if model.validation.labelled:
        yield from _labelled(model.validation.labelled, repository)


def _labelled(labelled: Labelled, repository: Repository) -> Iterator[Fault]:
    path: _Path = ("validate", "labelled")
    problems = list(local_file(path, labelled, repository, folder_too=True))
    yield from problems
    if problems or labelled.path is None:
        return
    file, kind = repository.file(labelled.path, folder_too=True), labelled.task.kind
    if file.is_dir() and kind != "classification":
        yield Fault(path, f"a folder of pictures per class says nothing of a {kind}", "name a .csv or an .npz")
    elif file.suffix.lower() == ".csv":
        try:
            named = list(files_of(read_rows(file, kind), kind))
        except CsvError as error:
            yield Fault(path, f"{labelled.path}: {error.problem}", error.fix)
            return
        missing = []
        beside = Repository(repository.root, file.parent)
        for line, name in named:
            try:
                beside.file(name)
            except UnusablePathError as error:
                missing.append(f"line {line}: {error.problem}")
        if missing:
            error_of = CsvError(missing, "paths in it are relative to the folder of the .csv")
            yield Fault(path, f"{labelled.path}: {error_of.problem}", error_of.fix)


def baseline(model: Model, repository: Repository) -> Iterator[Fault]:
    """The file need not be there: the first `--update-baseline` writes it."""
    if model.validation.baseline is None:
        return
    path: _Path = ("validate", "baseline")
    try:
        found = repository.place(model.validation.baseline)
    except UnusablePathError as error:
        yield Fault(path, error.problem, error.fix)
        return
    if found.suffix.lower() != ".json" or found.is_dir():
        yield Fault(path, f"{model.validation.baseline} is no .json file", "write baseline.json for example")


def extra(model: Model, repository: Repository) -> Iterator[Fault]:
    for index, file in enumerate(model.extra):
        yield from local_file(("extra", index), file, repository)
        if lost := sorted(set(Path(file.origin).name) & _NO_ARTIFACT):
            problem = f"the file's name has {' '.join(lost)}, which neither Windows nor a workflow's artifacts allow"
            yield Fault(("extra", index), problem, "rename the file")


def labels(model: Model, repository: Repository) -> Iterator[Fault]:
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
        yield Fault(path, "only a torchvision source brings labels of its own", fix)


def _repeated(path: _Path, names: tuple[str, ...]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for index, label in enumerate(names):
        if label in first:
            fix = "the app receives a dictionary keyed by label; give each class a name of its own"
            yield Fault((*path, index), f'"{label}" is label {first[label]} already', fix)
        first.setdefault(label, index)


def _label_count(
    path: _Path, classifier: Classifier, found: TorchvisionSource, repository: Repository
) -> Iterator[Fault]:
    # Without weights the network still has the head of its default weights.
    scores = category_count(found.torchvision, found.weights or "DEFAULT")
    if classifier.labels == "torchvision":
        if scores == 0:
            fix = "name a label file, or leave the classifier out"
            yield Fault(path, f"the weights {found.weights} of {found.torchvision} name no categories", fix)
        return
    if isinstance(classifier.labels, File):
        local = classifier.labels.path
        count = _count(repository.file(local)) if local is not None else None
    else:
        count = len(classifier.labels)
    if scores and count is not None and count != scores:
        problem = f"there are {count} labels, and {found.torchvision} gives {scores} scores"
        yield Fault(path, problem, "give one label per score, in the scores' order")


def _count(file: Path) -> int | None:
    """The number of labels in a file, or None where it takes more than counting to tell."""
    try:
        text = file.read_text(encoding="utf-8")
        return len(json.loads(text)) if file.suffix.lower() == ".json" else len(text.removesuffix("\n").split("\n"))
    except (ValueError, TypeError, RecursionError):
        return None  # loading says more about a file that is no label file


def classifier(model: Model, _: Repository) -> Iterator[Fault]:
    if model.classifier and model.outputs and model.outputs[0].image:
        yield Fault(("outputs", 0, "image"), "a classifier's first output are scores, no picture", "take image out")
    labelled = model.validation.labelled
    if labelled and not labelled.limits.keys() - {"significant_drops_only"}:
        fix = f"add {LIMITS[labelled.task.kind][0]} or {LIMITS[labelled.task.kind][1]}"
        yield Fault(("validate", "labelled"), "the labelled set has no gate", fix)
    if labelled and labelled.task.kind == "classification" and not model.classifier:
        fix = "add a classifier with labels, or say segmentation or detection under labelled, or take labelled out"
        yield Fault(("validate", "labelled"), "only a classifier can be held to labelled pictures", fix)


def inputs(model: Model, _: Repository) -> Iterator[Fault]:
    if isinstance(model.source, FactorySource | TorchscriptSource) and not model.inputs:
        fix = "describe each input: {name, image: {size, color, normalize}} or {name, tensor: {shape, dtype}}"
        yield Fault((), "the key `inputs` is missing, and this source does not say what it takes", fix)
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
            yield Fault(path, "how pixels are normalised is not said, and only torchvision's weights know it", fix)
        knows_sizes = isinstance(model.source, ExportedSource | OnnxSource)
        if image.height_width is None and not knows_sizes:
            fix = "add size: a number of pixels, or [height, width]"
            yield Fault(path, "the picture's size is not said, and only torchvision's weights know it", fix)
        elif image.height_width is None and image.range:
            yield Fault(path, "a range needs the size that is its default", "add size: [height, width]")
    for target in model.targets:
        if target.format in model.given:
            continue
        if len(enumerated) > 1 and target.format == "mlpackage" and int(target.deployment_target[3:]) < 18:
            problem = f"{len(enumerated)} inputs enumerate their sizes, {target.deployment_target} takes one such input"
            yield Fault(("inputs", enumerated[1]), problem, "build an mlpackage for iOS18, or use a range")


def names(model: Model, _: Repository) -> Iterator[Fault]:
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
            fix = "give each input and output a name of its own"
            yield Fault(path, f"an {taken[feature]} is called {feature} already", fix)
        taken.setdefault(feature, kind)


def formats(model: Model, _: Repository) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, target in enumerate(model.targets):
        if target.format in seen:
            fix = "keep one; a second variant is a model of its own, with its own name"
            yield Fault(("formats", index), f"{target.format} is asked for twice", fix)
        seen.add(target.format)


def given(model: Model, repository: Repository) -> Iterator[Fault]:
    for index, entry in enumerate(model.formats):
        if entry.file is None:
            continue
        path: _Path = ("formats", index, entry.format, "file")
        is_package = entry.file.suffix == ".mlpackage"
        yield from local_file(path, entry.file, repository, folder_too=is_package)
        if is_package and entry.file.sha256:
            yield Fault((*path, "sha256"), "a folder has no sha256", "zip the package, or take sha256 out")


def float16(model: Model, _: Repository) -> Iterator[Fault]:
    used = [("inputs", i, "tensor") for i, x in enumerate(model.inputs) if x.tensor and x.tensor.dtype == "float16"]
    places: list[_Path] = [*used, *(("outputs", i) for i, x in enumerate(model.outputs) if x.dtype == "float16")]
    for target in model.targets:
        if target.format == "mlmodel" or target.deployment_target == "iOS15":
            where = "a .mlmodel" if target.format == "mlmodel" else "iOS15"
            for path in places:
                fix = "use float32, or build only mlpackage for iOS16 or later"
                yield Fault((*path, "dtype"), f"{where} knows no float16 inputs and outputs", fix)
            return


def route(model: Model, _: Repository) -> Iterator[Fault]:
    if isinstance(model.route, tuple):
        if not model.route:
            yield Fault(("route",), "the list of routes is empty", "write direct, onnx, auto or a list of them")
        for index, one in enumerate(model.route):
            if one in model.route[:index]:
                yield Fault(("route", index), f"the route {one} is listed twice", "list it once")


def onnx_route(model: Model) -> Iterator[Fault]:
    """Only for what the model says itself: a route in `defaults` is for the models that have a choice."""
    if isinstance(model.source, OnnxSource) and model.route not in ("auto", "onnx", ("onnx",)):
        yield Fault(("route",), "an ONNX source has no other route than onnx", "write onnx, or take the key out")


CHECKS = (
    Check(frozenset({"name"}), name),
    Check(frozenset({"source"}), source),
    Check(frozenset({"validate"}), files),
    Check(frozenset({"validate"}), baseline),
    Check(frozenset({"extra"}), extra),
    Check(frozenset({"classifier", "source"}), labels),
    Check(frozenset({"classifier", "outputs", "validate"}), classifier),
    Check(frozenset({"inputs", "source", "formats"}), inputs),
    Check(frozenset({"inputs", "outputs", "classifier"}), names),
    Check(frozenset({"formats"}), formats),
    Check(frozenset({"formats"}), given),
    Check(frozenset({"inputs", "outputs", "formats"}), float16),
    Check(frozenset({"route"}), route),
)


def flat_names(model: Model) -> Iterator[tuple[str, _Path]]:
    """Every file name that the model may put on a release page, and the key that it comes from."""
    for target in model.targets:
        routes = model.routes_to(target.format)
        several = len(routes) > 1 and not model.is_auto
        for stem in (f"{model.name}-{route}" for route in routes) if several else (model.name,):
            yield f"{stem}.{target.format}{'.zip' if target.format == 'mlpackage' else ''}", ("name",)
    for ending in ("md", "references.npz", *(("labels.txt", "labels.json") if model.classifier else ())):
        yield f"{model.name}.{ending}", ("name",)
    for index, file in enumerate(model.extra):
        yield f"{model.name}.{Path(file.origin).name}", ("extra", index)


def together(models: Mapping[int, Model]) -> Iterator[tuple[int, Fault]]:
    """What the models cannot be at once; each complaint with the index of the later model."""
    names: dict[str, int] = {}
    files: dict[str, tuple[int, _Path]] = {}
    for index, model in models.items():
        first = names.setdefault(model.name.lower(), index)
        if first != index:
            other = models[first].name
            capitals = f"{model.name} differs from the model {other} in capitals only, which many file systems ignore"
            problem = f"another model is called {model.name}" if other == model.name else capitals
            yield index, Fault(("name",), problem, "choose another name")
            continue
        for flat, path in flat_names(model):
            owner, key = files.setdefault(flat.lower(), (index, path))
            if (owner, key) != (index, path):
                whose = "this model" if owner == index else models[owner].name
                problem = f"two files would be published as {flat}, the other one by {whose}"
                yield index, Fault(path, problem, "rename one of them")


def publish(targets: Mapping[int, PublishTarget], repository: Repository) -> Iterator[Fault]:
    taken: set[Path] = set()
    for index, target in targets.items():
        if not isinstance(target, DirectoryPublish):
            continue
        path: _Path = (index, "directory")
        try:
            found = repository.place(target.directory)
            is_file = found.is_file()
        except UnusablePathError as error:
            yield Fault(path, error.problem, error.fix)
            continue
        except OSError as error:
            yield Fault(path, f"{target.directory} cannot be used: {error.strerror}", "name another folder")
            continue
        if is_file:
            yield Fault(path, f"{target.directory} is a file", "name a folder")
        elif found in (repository.root, repository.folder):
            problem = f"{target.directory} holds the sources"
            yield Fault(path, problem, "name a folder for the published files alone, public for example")
        elif found in taken:
            yield Fault(path, f"{target.directory} is published to twice", "keep one of the two")
        taken.add(found)
