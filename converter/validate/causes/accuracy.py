"""The manifest against a labelled set: what it says of the pictures or the labels may not be what the network learned.

The source itself is asked, with one thing said otherwise at a time. One is the cause if it makes far more pictures
right than it makes wrong, and more than any other does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from converter.errors import ConverterError
from converter.model import Cause, ColorLayout, ImageInput, Normalization, Resize, Sample
from converter.validate.causes.mistakes import wrong_orders
from converter.validate.causes.tried import Case
from converter.validate.pictures import fit_picture, read_picture

_CLEARLY = 3.3  # standard deviations of a sign test: one try in 2000 reaches it by chance
_APART = 1.5
_PICTURES = 240
# The shorter side as a multiple of the crop, as presets have it: 256/224, 232/224, 255/240, 342/299, and round ones.
_RESIZES = (1.0, 232 / 224, 255 / 240, 1.1, 256 / 224, 342 / 299, 1.25, 1.5, 2.0)
_NORMALIZATIONS = {
    "unit": (0.0, 1.0),
    "{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}": (0.5, 0.5),
}

_LIST = "list the labels in the order of the scores, as the network was trained with them"
_NOTHING = (
    "no other order of colours, normalisation, crop or order of labels makes the source itself clearly more accurate "
    "on the labelled set: the gate is above what the network can do, or the set is not what it was trained for"
)


@dataclass(frozen=True, kw_only=True)
class _Said:
    """The manifest with one thing said otherwise, and which of the labelled pictures are then right."""

    name: str
    words: str
    fix: str
    right: np.ndarray
    short: str = ""  # the value alone, where there are many of the kind


def of_manifest(case: Case) -> tuple[list[Cause], str]:
    """The cause, and a note where there is none."""
    reference = case.reference
    if reference.labelled_scores is None or not reference.labelled:
        return [], ""
    step = -(-len(reference.labelled) // _PICTURES)
    labelled = reference.labelled[::step]
    best = reference.labelled_scores[::step].argmax(axis=1)
    now = _right(case, best, labelled)
    told = _told(now, _said(case, labelled, best))
    wanted = case.gates.min_accuracy or 0.0
    if not told or _share(told[-1]) < wanted:
        # Any order of labels has so many ways to fit that it counts only where nothing simple explains all.
        told = sorted([*told, *_told(now, _permuted(case, labelled, best))], key=_share)
    if not told:
        return [], _NOTHING
    winner = told[-1]
    rivals = [said.name for said in told if said.name != winner.name and _wins(winner.right, said.right) < _APART]
    if rivals:
        names = ", ".join(dict.fromkeys([winner.name, *rivals]))
        return [], f"the cause of the low accuracy cannot be told: these lift it equally well: {names}"
    measured, explained = float(now.mean()), _share(winner)
    left = "" if explained >= wanted else "; what is missing then has another cause"
    cause = Cause(
        name=winner.name,
        words=f"the source itself is right on {explained:.1%} of the labelled set {winner.words}, and on "
        f"{measured:.1%} as the manifest has it{_others(winner, told)}{left}",
        fix=winner.fix,
        measured=measured,
        explained=explained,
        unit="",
    )
    return [cause], ""


def _others(winner: _Said, told: list[_Said]) -> str:
    """Other values of the same that are about as good: the set cannot tell them apart."""
    near = [said for said in told if said.short and said is not winner and _wins(winner.right, said.right) < _APART]
    return f" (about as good: {', '.join(said.short for said in near)})" if near else ""


def _told(now: np.ndarray, tried: Iterator[_Said]) -> list[_Said]:
    """Those that are clearly better than the manifest, the best last."""
    return sorted((said for said in tried if _wins(said.right, now) >= _CLEARLY), key=_share)


def _share(said: _Said) -> float:
    return float(said.right.mean())


def _wins(one: np.ndarray, other: np.ndarray) -> float:
    """By how many standard deviations `one` is right more often, on the samples where they differ."""
    better, worse = int((one & ~other).sum()), int((other & ~one).sum())
    return (better - worse) / float(np.sqrt(better + worse)) if better + worse else 0.0


def _right(case: Case, classes: np.ndarray, labelled: tuple[Sample, ...], names: tuple[str, ...] = ()) -> np.ndarray:
    classifier = case.interface.classifier
    names = names or (classifier.labels if classifier else ())
    return np.array(
        [(names[c] if names else str(c)) == sample.label for c, sample in zip(classes, labelled, strict=True)]
    )


def _said(case: Case, labelled: tuple[Sample, ...], best: np.ndarray) -> Iterator[_Said]:
    yield from _orders(case, labelled, best)
    only = case.interface.inputs[0]
    if len(case.interface.inputs) > 1 or not isinstance(only, ImageInput):
        return
    for name, words, fix, spec in _specs(only):
        right = _asked(case, spec, labelled)
        if right is not None:
            yield _Said(name=name, words=words, fix=fix, right=right)
    if case.labelled is not None and case.labelled.is_dir():
        yield from _crops(case, only, labelled, case.labelled)


def _asked(case: Case, spec: ImageInput, labelled: tuple[Sample, ...]) -> np.ndarray | None:
    from converter.validate.reference import reference

    if case.is_late:
        return None
    source = replace(case.source, interface=replace(case.interface, inputs=(spec,)))
    try:
        scores = reference(source, (), labelled).labelled_scores
    except ConverterError:
        return None
    return None if scores is None else _right(case, scores.argmax(axis=1), labelled)


def _specs(spec: ImageInput) -> Iterator[tuple[str, str, str, ImageInput]]:
    """Name, words, the manifest's line, and the input with its colours or its normalisation said otherwise."""
    channels = spec.channels
    if spec.color != "GRAYSCALE":
        other: ColorLayout = "RGB" if spec.color == "BGR" else "BGR"
        line = f"write `color: {other}` below `image:`"
        changed = replace(spec, color=other)
        yield other, f"with `color: {other}`", line, changed
        normal = spec.normalization
        backwards = replace(normal, mean=normal.mean[::-1], std=normal.std[::-1])
        yield (
            other,
            f"with `color: {other}`, mean and std in that order",
            f"{line}, and turn mean and std around",
            replace(changed, normalization=backwards),
        )
    for line, (mean, std) in _NORMALIZATIONS.items():
        shown = line if channels == 3 else line.replace("0.5, 0.5, 0.5", "0.5")
        normalization = Normalization(scale=1 / 255, mean=(mean,) * channels, std=(std,) * channels)
        yield from _normalized(spec, shown, normalization)
    yield from _normalized(spec, "none", Normalization(scale=1.0, mean=(0.0,) * channels, std=(1.0,) * channels))
    if channels == 3:
        imagenet = Normalization(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        yield from _normalized(spec, "imagenet", imagenet)


def _normalized(
    spec: ImageInput, line: str, normalization: Normalization
) -> Iterator[tuple[str, str, str, ImageInput]]:
    if normalization != spec.normalization:
        changed = replace(spec, normalization=normalization)
        yield "wrong normalisation", f"with `normalize: {line}`", f"write `normalize: {line}` below `image:`", changed


def _crops(case: Case, spec: ImageInput, labelled: tuple[Sample, ...], folder: Path) -> Iterator[_Said]:
    """The original pictures resized and cropped otherwise."""
    try:
        pictures = [read_picture(folder / sample.name) for sample in labelled]
    except ConverterError:
        return
    for short, words, fix, fit in _fits(spec):
        seen = tuple(
            replace(sample, inputs={spec.name: fit(picture)})
            for sample, picture in zip(labelled, pictures, strict=True)
        )
        right = _asked(case, spec, seen)
        if right is not None:
            yield _Said(name="wrong crop", words=words, fix=fix, right=right, short=short)


def _fits(spec: ImageInput) -> Iterator[tuple[str, str, str, Callable[[Image.Image], np.ndarray]]]:
    crop = min(spec.size)
    now = spec.resize.shorter_side if spec.resize else crop
    interpolation = spec.resize.interpolation if spec.resize else "bilinear"
    for shorter in dict.fromkeys(round(crop * ratio) for ratio in _RESIZES):
        if shorter != now:
            resized = replace(spec, resize=Resize(shorter_side=shorter, interpolation=interpolation))
            words = f"with the shorter side at {shorter} pixels before the crop to {spec.size[0]} x {spec.size[1]}"
            yield str(shorter), words, f"write `resize: {shorter}` below `image:`", partial(fit_picture, image=resized)
    no_key = (
        "no key of the manifest says so: give pictures that have the model's size already, and tell the app's makers"
    )
    for short, words, fit in (
        ("stretched", "with the whole picture stretched to the model's size", _stretched),
        ("between bars", "with the whole picture between bars", _between_bars),
        ("not resized", "cropped without resizing", _centre),
    ):
        yield short, words, no_key, partial(_fitted, fit, spec)


def _fitted(
    fit: Callable[[Image.Image, ImageInput], Image.Image], spec: ImageInput, picture: Image.Image
) -> np.ndarray:
    return fit_picture(fit(picture.convert("RGB"), spec), spec)


def _stretched(picture: Image.Image, spec: ImageInput) -> Image.Image:
    return picture.resize(_wide(spec), Image.Resampling.BILINEAR)


def _wide(spec: ImageInput) -> tuple[int, int]:
    return spec.size[1], spec.size[0]


def _between_bars(picture: Image.Image, spec: ImageInput) -> Image.Image:
    return ImageOps.pad(picture, _wide(spec), Image.Resampling.BILINEAR)


def _centre(picture: Image.Image, spec: ImageInput) -> Image.Image:
    height, width = spec.size
    left, upper = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, upper, left + width, upper + height))


def _orders(case: Case, labelled: tuple[Sample, ...], best: np.ndarray) -> Iterator[_Said]:
    classifier = case.interface.classifier
    if classifier is None:
        return
    for order in wrong_orders(classifier.labels):
        right = _right(case, best, labelled, order.labels)
        yield _Said(name=order.name, words=f"with the labels {order.words}", fix=_LIST, right=right)


def _permuted(case: Case, labelled: tuple[Sample, ...], best: np.ndarray) -> Iterator[_Said]:
    """Each class called what most of its pictures are; said by one half of the set, and tried on the other."""
    classifier = case.interface.classifier
    if classifier is None:
        return
    right = np.zeros(len(labelled), dtype=bool)
    names: dict[int, str] = {}
    halves = (np.arange(len(labelled)) % 2 == 0, np.arange(len(labelled)) % 2 == 1)
    for fitted, tried in (halves, halves[::-1]):
        names = _most(best[fitted], [s.label or "" for s, kept in zip(labelled, fitted, strict=True) if kept])
        for index in np.flatnonzero(tried):
            right[index] = names.get(int(best[index])) == labelled[index].label
    if len(set(names.values())) == len(names):
        moved = [f"{classifier.labels[c]!r} is {name!r}" for c, name in names.items() if classifier.labels[c] != name]
        words = f"with the labels in another order ({', '.join(moved[:3])}{' ...' if len(moved) > 3 else ''})"
        yield _Said(
            name="swapped labels" if len(moved) == 2 else "permuted labels", words=words, fix=_LIST, right=right
        )


def _most(classes: np.ndarray, labels: list[str]) -> dict[int, str]:
    found = {}
    for index in np.unique(classes):
        own = [label for c, label in zip(classes, labels, strict=True) if c == index]
        found[int(index)] = max(dict.fromkeys(own), key=own.count)
    return found
