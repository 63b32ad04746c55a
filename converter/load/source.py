"""The stage itself: a model of the manifest becomes a Source."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from converter.errors import ConverterError, SourceError
from converter.load import checkpoint, exported, factory, labels, onnx, outputs, torchscript, torchvision
from converter.load import interface as app
from converter.load.example import example_inputs, sizes_to_try
from converter.load.files import locate
from converter.load.interface import Feature
from converter.load.torchvision import Preset
from converter.manifest import schema
from converter.model import Classifier, ImageInput, Interface, Output, Source, SourceFile, TensorInput

Inputs = tuple[ImageInput | TensorInput, ...]


def load(model: schema.Model, *, root: Path, cache: Path) -> Source:
    """Loads one model of the manifest, and asks it once at every size that it promises.

    `root` is the manifest's folder, `cache` keeps downloads by hash. Torch modules come back in eval mode, float32, on
    the CPU, without gradients; their int32 inputs are int64 in `Source.example`, which holds what the module takes.
    Raises SourceError or DownloadError for whatever is wrong with files, checkpoints, labels or the model itself, and
    UnsupportedOpsError for an ONNX graph with nodes of no standard; each begins at the model's place.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's and the libraries' code; what matters is an error here
            return _load(model, root, cache)
    except ConverterError as error:
        raise error.within(model.place, "load") from error.__cause__
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        raise SourceError(
            f"{name} cannot be read: {error.strerror or type(error).__name__}",
            where=(model.place, "load"),
            fix="check its permissions and the disk",
        ) from error


@dataclass(kw_only=True)
class _Parts:
    """What each kind of source brings, before its interface is known."""

    module: Any = None
    exported: Any = None
    graph: onnx.Graph | None = None
    origin: str = ""
    files: list[SourceFile] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    preset: Preset | None = None
    categories: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def _load(model: schema.Model, root: Path, cache: Path) -> Source:
    parts = _read(model.source, root, cache)
    inputs = app.inputs(model, features=parts.features, preset=parts.preset, notes=parts.notes)
    # A first interface without outputs: they are known once the model has answered.
    interface = Interface(inputs=inputs, outputs=())
    if parts.preset and any(isinstance(spec, ImageInput) and spec.color == "BGR" for spec in inputs):
        parts.notes.append("torchvision's own weights were trained on RGB, and the manifest says BGR")
    example = _example(parts, interface)
    names, answers = _ask(parts, interface, root)
    integers = [not tensor.is_floating_point() for tensor in answers]
    found = app.outputs(model, names, integers)
    _check_images(found, answers)
    classifier = _classifier(model, parts, answers[0], root, cache)
    return Source(
        name=model.name,
        place=model.place,
        description=model.source.description,
        interface=Interface(inputs=inputs, outputs=found, classifier=classifier),
        metadata=model.metadata.record,
        files=tuple(dict.fromkeys(parts.files)),
        module=parts.module,
        exported=parts.exported,
        onnx_file=parts.graph.path if parts.graph else None,
        example=example,
        notes=tuple(parts.notes),
    )


def _read(source: schema.Source, root: Path, cache: Path) -> _Parts:
    if isinstance(source, schema.TorchvisionSource | schema.FactorySource):
        return _with_checkpoint(source, root, cache)
    if isinstance(source, schema.OnnxSource):
        path, file = locate(source.onnx, root=root, cache=cache)
        graph = onnx.load(path, file.origin, remote=source.onnx.url is not None)
        features = [Feature(name=v.name, dtype=v.dtype, shape=v.shape) for v in graph.inputs]
        return _Parts(graph=graph, origin=file.origin, files=[file, *graph.files], features=features)
    if isinstance(source, schema.ExportedSource):
        path, file = locate(source.exported, root=root, cache=cache)
        program = exported.load(path, file.origin)
        features = exported.features(program, file.origin)
        return _Parts(exported=program, origin=file.origin, files=[file], features=features)
    path, file = locate(source.torchscript, root=root, cache=cache)
    return _Parts(module=_settled(torchscript.load(path, file.origin)), origin=file.origin, files=[file])


def _with_checkpoint(source: schema.TorchvisionSource | schema.FactorySource, root: Path, cache: Path) -> _Parts:
    if isinstance(source, schema.TorchvisionSource):
        loaded = torchvision.build(source)
        parts = _Parts(
            module=loaded.module,
            files=[*loaded.files],
            preset=loaded.preset,
            categories=loaded.categories,
            notes=[*loaded.notes],
        )
    else:
        module, files = factory.build(source, root)
        parts = _Parts(module=module, files=[*files])
    if source.checkpoint:
        path, file = locate(source.checkpoint, root=root, cache=cache)
        parts.notes += checkpoint.load_into(parts.module, path, file.origin)
        parts.files.append(file)
    parts.module = _settled(parts.module)
    return parts


def _settled(module: torch.nn.Module) -> torch.nn.Module:
    """Eval mode, float32, on the CPU, without gradients."""
    try:
        settled = module.eval().float().cpu()
        for parameter in settled.parameters():  # a ScriptModule has no requires_grad_ of its own
            parameter.requires_grad_(False)
    except (NotImplementedError, RuntimeError) as error:
        raise SourceError(
            f"the module cannot be moved to the CPU as float32: {str(error).strip()[:200]}",
            fix="return a module whose parameters hold data (not on the meta device) and are not quantised",
        ) from error
    return settled


def _example(parts: _Parts, interface: Interface, sizes: tuple[Any, ...] = ()) -> tuple[torch.Tensor, ...]:
    """Inputs in the types that this very source takes."""
    tensors = example_inputs(interface, sizes=sizes)
    if not parts.features:
        return tensors
    types = (
        getattr(torch, feature.dtype, tensor.dtype) for feature, tensor in zip(parts.features, tensors, strict=True)
    )
    return tuple(tensor.to(dtype) for tensor, dtype in zip(tensors, types, strict=True))


def _ask(parts: _Parts, interface: Interface, root: Path) -> tuple[list[str], list[torch.Tensor]]:
    """The names of the outputs and their values at the default size; every other promised size is tried too.

    Replaces a module whose answer is no flat tuple by one that flattens it.
    """
    input_names = [spec.name for spec in interface.inputs]
    session = onnx.Session(parts.graph, parts.origin) if parts.graph else None
    program = parts.exported.module() if parts.exported is not None else None
    first: tuple[list[str], list[torch.Tensor]] | None = None
    for sizes in sizes_to_try(interface):
        inputs = _example(parts, interface, sizes)
        answer = outputs.run(_runner(parts, session, program), inputs, input_names, root)
        leaves = outputs.named(answer)
        names, values = [name for name, _ in leaves], [value for _, value in leaves]
        if parts.graph:
            names = [value.name for value in parts.graph.outputs]
        if not outputs.is_flat(answer):
            _flatten(parts, names)
        numbered = [name or f"{index + 1} of {len(names)}" for index, name in enumerate(names)]
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in zip(input_names, inputs, strict=True))
        outputs.refuse_nan(numbered, values, shapes)
        if first is None:
            again = outputs.run(_runner(parts, session, program), inputs, input_names, root)
            outputs.refuse_chance(numbered, values, [value for _, value in outputs.named(again)])
            first = names, values
        if len(values) != len(first[1]):
            raise SourceError(
                f"the model gives {len(first[1])} outputs at its default size and {len(values)} for {shapes}",
                fix="a Core ML model has the same outputs at every size",
            )
    assert first is not None
    return first


def _runner(parts: _Parts, session: onnx.Session | None, program: Any) -> Any:
    """What answers: the ONNX session, the exported program's module, or the module (which may become a flat one)."""
    return next(runner for runner in (session, program, parts.module) if runner is not None)


def _flatten(parts: _Parts, names: Sequence[str]) -> None:
    if parts.exported is not None:
        raise SourceError(
            "the exported program returns a mapping, a list or nested tuples",
            fix="export a module that returns a tensor or a plain tuple of tensors",
        )
    if not isinstance(parts.module, outputs.Flat):
        parts.module = outputs.Flat(parts.module).eval()
        said = ", ".join(name or "?" for name in names)
        parts.notes.append(f"the model's outputs ({said}) were put into one flat tuple")


def _check_images(found: Sequence[Output], answers: Sequence[torch.Tensor]) -> None:
    for output, tensor in zip(found, answers, strict=True):
        channels = 1 if output.color == "GRAYSCALE" else 3
        if output.color and (tensor.dim() != 4 or tensor.shape[0] != 1 or tensor.shape[1] != channels):
            raise SourceError(
                f"output {output.name} is {list(tensor.shape)}, not [1, {channels}, height, width] ({output.color})",
                fix="give it without `image`, or let the model return it in this shape, 0 to 255",
            )


def _classifier(model: schema.Model, parts: _Parts, scores: torch.Tensor, root: Path, cache: Path) -> Classifier | None:
    said = model.classifier
    if said is None:
        return None
    found, repairs, origin = _labels(said, parts, root, cache)
    if scores.dim() < 1 or scores.numel() != scores.shape[-1] or not scores.is_floating_point():
        kind = str(scores.dtype).removeprefix("torch.")
        raise SourceError(
            f"a classifier's first output is one score per label, [1, N]; this model gives {kind} {list(scores.shape)}",
            fix="return the scores first, one vector of them; or take `classifier` out",
        )
    labels.check_count(found, scores.shape[-1], origin)
    if said.softmax or said.sigmoid:
        looks_done = bool((scores >= 0).all() and (scores <= 1).all() and abs(float(scores.sum()) - 1) < 1e-3)
        if looks_done and said.softmax:
            parts.notes.append(
                "the scores already add up to 1; a second softmax would flatten them: is `softmax` right?"
            )
    elif bool((scores < 0).any() or (scores > 1).any()):
        parts.notes.append(
            "the scores are not between 0 and 1: without softmax or sigmoid the app shows no probabilities"
        )
    return Classifier(
        labels=found,
        activation="softmax" if said.softmax else "sigmoid" if said.sigmoid else None,
        predicted_feature_name=said.predicted_feature_name,
        probabilities_name=said.probabilities_name,
        repairs=repairs,
    )


def _labels(
    said: schema.Classifier, parts: _Parts, root: Path, cache: Path
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    if isinstance(said.labels, schema.File):
        path, file = locate(said.labels, root=root, cache=cache, limit_bytes=labels.LIMIT_BYTES)
        parts.files.append(file)
        return *labels.read(path, file.origin), file.origin
    if said.labels == "torchvision":
        if not parts.categories:
            raise SourceError(
                "`labels: torchvision` needs torchvision weights that know their categories",
                fix="give a label file or a list under `classifier: labels`",
            )
        labels.check(parts.categories, "torchvision's weights")
        return parts.categories, (), "the list of torchvision's weights"
    found = tuple(said.labels)
    labels.check(found, "the manifest")
    return found, (), "the list in the manifest"
