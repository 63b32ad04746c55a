"""The mistakes that people make with pictures, scores and labels, each in a form that can be tried."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from converter.model import Activation, ImageInput, Normalization

_IMAGENET = Normalization(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_EXACT = (
    "give ct.ImageType scale=1/255 and bias=-mean, and divide by std inside the model, before its first layer; "
    "that is what a format without `file` does"
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a model may see a picture: `spec` is its interface with the mistake, `see` changes uint8 pixels before it.

    `as_if` completes `the file answers as the source would ...`. Without a mistake the name is empty.
    """

    name: str
    as_if: str
    fix: str
    spec: ImageInput
    see: Callable[[np.ndarray], np.ndarray] = np.asarray


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What may stand between a model's scores and its answer, in order."""

    name: str
    as_if: str
    fix: str
    activations: tuple[Activation, ...]


@dataclass(frozen=True, kw_only=True)
class Order:
    """Labels in another order than the scores': `labels[index]` is what class `index` is called."""

    name: str
    words: str
    labels: tuple[str, ...]


def normalizations(right: Normalization) -> Iterator[tuple[str, str, Normalization]]:
    """Name, `as_if` and what the pixels then become."""
    count = len(right.mean)
    mean, std = right.mean, right.std
    zero, one = (0.0,) * count, (1.0,) * count
    average = sum(std) / count
    scaled = tuple(m * average / s for m, s in zip(mean, std, strict=True))

    def normal(scale: float, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalization:
        return Normalization(scale=scale, mean=mean, std=std)

    averaged = f"with one std for all channels, their average {average:.4g}"
    yield "averaged std", averaged, normal(right.scale, scaled, (average,) * count)
    yield "averaged std", averaged, normal(right.scale, mean, (average,) * count)
    yield "without normalisation", "if its pixels were not normalised, 0 to 255", normal(1.0, zero, one)
    yield "pixels 0 to 1 only", "if its pixels were scaled to 0..1 and not normalised", normal(1 / 255, zero, one)
    yield "pixels -1 to 1", "if its pixels were scaled to -1..1", normal(1 / 127.5, one, one)
    again = tuple(m + m * s for m, s in zip(mean, std, strict=True))
    squared = tuple(s * s for s in std)
    yield "normalised twice", "if its pixels were normalised twice", normal(right.scale, again, squared)
    both = tuple(m * right.scale + m * s for m, s in zip(mean, std, strict=True))
    yield "normalised twice", "if its pixels were scaled and normalised twice", normal(right.scale**2, both, squared)
    yield "scaled twice", "if its pixels were scaled to 0..1 twice", normal(right.scale**2, mean, std)
    yield "mean forgotten", "if the mean were not subtracted", normal(right.scale, zero, std)
    yield "std forgotten", "if nothing were divided by std", normal(right.scale, mean, one)
    products = tuple(m * s for m, s in zip(mean, std, strict=True))
    undivided = "if the mean were subtracted after the division by std"
    yield "mean not divided by std", undivided, normal(right.scale, products, std)
    yield (
        "mean not divided by std",
        f"{undivided}, an average",
        normal(right.scale, _times(mean, average), (average,) * count),
    )
    if count == 3:
        yield "ImageNet's normalisation", "with ImageNet's mean and std", _IMAGENET


def _times(values: Sequence[float], factor: float) -> tuple[float, ...]:
    return tuple(value * factor for value in values)


def wrong_normalizations(spec: ImageInput) -> Iterator[Seen]:
    for name, as_if, normalization in normalizations(spec.normalization):
        yield Seen(name=name, as_if=as_if, fix=_EXACT, spec=replace(spec, normalization=normalization))


def wrong_colors(spec: ImageInput) -> Iterator[Seen]:
    if spec.color == "GRAYSCALE":
        return
    fix = f"give ct.ImageType color_layout=ct.colorlayout.{spec.color}, which the source was trained with"
    normal = spec.normalization
    backwards = replace(normal, mean=normal.mean[::-1], std=normal.std[::-1])
    other = replace(spec, color="RGB" if spec.color == "BGR" else "BGR")
    as_if = "with red and blue exchanged"
    yield Seen(name="BGR", as_if=as_if, fix=fix, spec=other)
    yield Seen(name="BGR", as_if=f"{as_if}, mean and std too", fix=fix, spec=replace(other, normalization=backwards))
    in_grey = "take the picture in colour, as the source does"
    yield Seen(name="grayscale", as_if="if the picture were grey", fix=in_grey, spec=spec, see=_grey)
    mean_of_three = "if the picture were grey, of all channels alike"
    yield Seen(name="grayscale", as_if=mean_of_three, fix=in_grey, spec=spec, see=_mean_of_channels)


def wrong_places(spec: ImageInput) -> Iterator[Seen]:
    """Where a pixel may land."""
    fix = "look at what the conversion does between the picture and the first layer: permute, reshape, flip"
    yield Seen(name="upside down", as_if="if the picture stood on its head", fix=fix, spec=spec, see=lambda p: p[::-1])
    yield Seen(name="mirrored", as_if="if the picture were mirrored", fix=fix, spec=spec, see=lambda p: p[:, ::-1])
    if spec.size[0] == spec.size[1]:
        as_if = "if height and width were exchanged"
        yield Seen(name="transposed", as_if=as_if, fix=fix, spec=spec, see=_transposed)
    if spec.color != "GRAYSCALE":
        as_if = "if channels-last pixels were read as channels-first"
        yield Seen(name="channels last", as_if=as_if, fix=fix, spec=spec, see=_channels_first)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)


def _mean_of_channels(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels.mean(axis=2, keepdims=True).round().astype(np.uint8), 3, axis=2)


def _transposed(pixels: np.ndarray) -> np.ndarray:
    return pixels.swapaxes(0, 1) if pixels.shape[0] == pixels.shape[1] else pixels


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    return pixels.reshape(channels, height, width).transpose(1, 2, 0)


def wrong_endings(right: tuple[Activation, ...]) -> Iterator[Ending]:
    """`right` are the activations after the source's scores: none, or one."""
    twice = "take one of the two out: the network's own, or the one that the conversion appends"
    kind = right[-1] if right else "softmax"
    yield Ending(
        name=f"double {kind}" if right else f"a {kind} too many",
        as_if=f"with a second {kind} after the first" if right else f"with a {kind} at its end",
        fix=twice if right else f"convert it without the {kind}",
        activations=(*right, kind),
    )
    if right:
        fix = f"append the {kind}: torch.nn.Sequential(network, ...) before the conversion"
        yield Ending(name=f"{kind} missing", as_if=f"without its {kind}", fix=fix, activations=right[:-1])
        other: Activation = "sigmoid" if kind == "softmax" else "softmax"
        fix = f"convert it with {kind} in place of {other}"
        yield Ending(
            name=f"{other} for {kind}", as_if=f"with {other} for {kind}", fix=fix, activations=(*right[:-1], other)
        )


def wrong_orders(labels: tuple[str, ...]) -> Iterator[Order]:
    """Orders that a label list falls into without anybody's will."""
    count = len(labels)
    by_text = sorted(range(count), key=str)
    seen = {labels}
    for name, words, order in (
        ("sorted labels", "sorted by the alphabet", sorted(labels)),
        ("sorted labels", "sorted by the alphabet, capitals aside", sorted(labels, key=str.lower)),
        ("sorted labels", 'sorted by their numbers as text ("10" before "2")', [labels[index] for index in by_text]),
        ("shifted labels", "shifted by one, as where a background class is missing", [*labels[1:], labels[0]]),
        ("shifted labels", "shifted by one, as where a background class is too many", [labels[-1], *labels[:-1]]),
        ("reversed labels", "reversed", [*labels[::-1]]),
    ):
        if tuple(order) not in seen:  # two ways to the same order are one
            seen.add(tuple(order))
            yield Order(name=name, words=words, labels=tuple(order))
