"""Models of torchvision, and what their weights say of themselves."""

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from converter.errors import DownloadError, SourceError
from converter.load import checkpoint, download
from converter.load.files import record
from converter.manifest.schema import TorchvisionSource
from converter.model import SourceFile


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a set of weights was evaluated with; `mean` and `std` in R, G, B order and 0..1 units.

    `size` is None where the weights take pictures of any size (segmentation).
    """

    size: tuple[int, int] | None
    shorter_side: int | None
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A module of torchvision, not yet with any checkpoint of the user's."""

    module: torch.nn.Module
    preset: Preset | None
    categories: tuple[str, ...]
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...]


def build(source: TorchvisionSource) -> Loaded:
    """The module, with the published weights unless there are none to load or a checkpoint replaces them.

    The weights' file comes from torch.hub's folder (TORCH_HOME), or is fetched into it. With `weights: null` the
    metadata is that of the model's DEFAULT weights, the parameters are seeded, and nothing is downloaded. Raises
    SourceError for unknown names, DownloadError where the weights cannot be had.
    """
    import torchvision

    try:
        builder = torchvision.models.get_model_builder(source.torchvision)
        enum = torchvision.models.get_model_weights(source.torchvision)
    except ValueError as error:
        raise SourceError(
            f"torchvision {torchvision.__version__} has no model {source.torchvision!r}",
            fix="names are those of torchvision.models, `resnet50` for example",
        ) from error
    weights = _weights(enum, source)
    files: tuple[SourceFile, ...] = ()
    notes: tuple[str, ...] = ()
    if source.weights and not source.checkpoint:
        path = _file(weights)
        module = _with_weights(builder, weights, path)
        files = (record(path, weights.url),)
    else:
        module = _without_weights(builder)
        if hasattr(module, "transform_input"):  # Inception and GoogLeNet convert ImageNet's normalisation to their own
            setattr(module, "transform_input", bool(source.weights))  # noqa: B010  a flag, not a parameter
        if not source.checkpoint:
            notes = (f"weights: null, so the weights of {source.torchvision} are random (seeded)",)
    return Loaded(
        module=module,
        preset=_preset(weights.transforms()),
        categories=tuple(weights.meta.get("categories") or ()),
        files=files,
        notes=notes,
    )


def _weights(enum: Any, source: TorchvisionSource) -> Any:
    try:
        return enum[source.weights or "DEFAULT"]
    except KeyError as error:
        names = ", ".join(dict.fromkeys(["DEFAULT", *(w.name for w in enum)]))
        raise SourceError(
            f"{source.torchvision} has no weights {source.weights!r}", fix=f"choose one of {names}, or null"
        ) from error


def _without_weights(builder: Any) -> torch.nn.Module:
    # Segmentation and detection would otherwise fetch the weights of their backbone.
    has_backbone = "weights_backbone" in inspect.signature(builder).parameters
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: torch.nn.Module = builder(weights=None, **({"weights_backbone": None} if has_backbone else {}))
    return module


def _with_weights(builder: Any, weights: Any, path: Path) -> torch.nn.Module:
    try:
        with _weights_only():
            module: torch.nn.Module = builder(weights=weights, progress=False)
    # torch.load's trouble with a damaged file is of any kind; reading it ourselves says which
    except Exception as error:
        checkpoint.read(path, str(path))
        raise SourceError(
            f"{path.name} does not load into the model: {str(error).strip()[:300]}", fix=f"delete {path} and run again"
        ) from error
    return module


@contextmanager
def _weights_only() -> Iterator[None]:
    """torchvision 0.22 unpickles without weights_only; this is torch's own switch for such callers."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = {key: os.environ.pop(key) for key in (name, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") if key in os.environ}
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update(before)


def _file(weights: Any) -> Path:
    """The weights in torch.hub's folder, fetched if need be (torch's own download has neither timeout nor retries)."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path: Path = folder / urlsplit(weights.url).path.rsplit("/", 1)[-1]
    hashed = re.search(r"-([a-f0-9]{8,})\.", path.name)
    prefix = hashed[1] if hashed else ""
    if path.is_file():
        if not download.digest(path).startswith(prefix):
            raise SourceError(
                f"{path} is damaged: its sha256 does not begin with {prefix}", fix="delete it and run again"
            )
        return path
    try:
        partial, found = download.fetch(weights.url, folder=folder)
        try:
            if not found.startswith(prefix):
                raise DownloadError(f"{weights.url} has sha256 {found}, which does not begin with {prefix}")
            return download.place(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except DownloadError as error:
        ways = [error.fix, f"or put the file at {path}", "or name your own under `checkpoint`"]
        raise DownloadError(error.problem, fix="; ".join(way for way in ways if way)) from None


def _preset(transforms: Any) -> Preset | None:
    """From the attributes of torchvision.transforms._presets; None for what takes no single picture (video, flow)."""
    kind = type(transforms).__name__
    if kind == "ObjectDetection":
        return Preset(size=None, shorter_side=None, interpolation="bilinear", mean=(0.0,) * 3, std=(1.0,) * 3)
    if kind not in ("ImageClassification", "SemanticSegmentation"):
        return None
    crop = _first(getattr(transforms, "crop_size", None))
    return Preset(
        size=(crop, crop) if crop else None,
        shorter_side=_first(transforms.resize_size),
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def _first(sides: Any) -> int | None:
    return int(sides[0]) if sides else None
