"""What the report shows of a comparison, small enough for a record: errors, values, first classes, pictures."""

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from converter.model import ImageInput, Interface, Plot, Ranking, Reference, Sample, ShownSample, Validation
from converter.validate import metrics
from converter.validate.samples import is_seeded

PLOTS = 6
"""Outputs of one file that are drawn."""

SAMPLES = 4
"""Samples of one file that are ranked, and of one model that are shown."""

_FIRST_DECADE, _PER_DECADE = -8, 4
_GRID = 100
_CELLS = 160
_CLASSES = 5
_LONGEST_SIDE = 128  # pixels; twice what the page shows, for dense displays
_PIXEL_ART = 64  # a picture up to this stays as it is

On = Literal["values", "before softmax", "before sigmoid", "probabilities"]


def plot(output: str, on: On, expected: Sequence[np.ndarray], given: Sequence[np.ndarray]) -> Plot:
    """One output's errors and values over all samples; pairs of arrays in the same shape."""
    low, high = _bounds([_finite(*pair) for pair in zip(expected, given, strict=True)])
    count = -_FIRST_DECADE * _PER_DECADE
    errors, cells = np.zeros(count, np.int64), np.zeros(_GRID * _GRID, np.int64)
    values = equal = finite = 0
    for pair in zip(expected, given, strict=True):  # one by one: all of them together may be large
        reference, candidate = _finite(*pair)
        errors += np.bincount(_decades(reference, candidate, np.max(np.abs(pair[0]), initial=0.0)), minlength=count)
        cells += np.bincount(_places(reference, candidate, low, high), minlength=len(cells))
        values, finite = values + pair[0].size, finite + reference.size
        equal += int(np.count_nonzero(reference == candidate))
    return Plot(
        output=output,
        on=on,
        values=values,
        equal=equal,
        non_finite=values - finite,
        errors=tuple(errors.tolist()),
        low=low,
        high=high,
        cells=_text(np.flatnonzero(cells)),
    )


def _finite(expected: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reference, candidate = metrics.pair(expected, given)
    finite = np.isfinite(reference) & np.isfinite(candidate)
    return reference[finite], candidate[finite]


def _bounds(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The reference's range, widened to the candidate's by at most its own width on each side."""
    sides = [
        [(float(values.min()), float(values.max())) for values in side if values.size]
        for side in zip(*pairs, strict=True)
    ]
    if not sides or not sides[0]:
        return 0.0, 0.0
    (low, high), (lowest, highest) = ((min(low for low, _ in s), max(high for _, high in s)) for s in sides)
    span = high - low or abs(high) or 1.0
    return max(min(low, lowest), low - span), min(max(high, highest), high + span)


def _decades(reference: np.ndarray, candidate: np.ndarray, peak: float) -> np.ndarray:
    """The bin of each value that differs."""
    errors = np.abs(candidate - reference)
    with np.errstate(divide="ignore"):
        place = (np.log10(errors[errors > 0]) - np.log10(peak) - _FIRST_DECADE) * _PER_DECADE
    return np.asarray(np.clip(np.floor(place), 0, -_FIRST_DECADE * _PER_DECADE - 1).astype(np.int64))


def _places(reference: np.ndarray, candidate: np.ndarray, low: float, high: float) -> np.ndarray:
    scale = (_GRID - 1) / (high - low or 1.0)
    x, y = (np.rint((np.clip(side, low, high) - low) * scale).astype(np.int64) for side in (reference, candidate))
    return np.asarray(x * _GRID + y)


def _text(places: np.ndarray) -> str:
    cells = [divmod(place, _GRID) for place in places.tolist()]
    by_distance = sorted(cells, key=lambda cell: -abs(cell[0] - cell[1]))
    if len(cells) > _CELLS:  # half of what is drawn lies furthest off, the other half stands for the rest
        half = _CELLS // 2
        rest = by_distance[half:]
        by_distance = by_distance[:half] + [rest[index * len(rest) // half] for index in range(half)]
    return " ".join(f"{x},{y}" for x, y in sorted(by_distance))


def ranking(
    sample: str,
    expected: np.ndarray,
    given: np.ndarray,
    labels: Sequence[str],
    agreement: metrics.Agreement,
) -> Ranking:
    """The first classes of both; scores are in the order of the labels."""
    reference, candidate = metrics.pair(expected.ravel(), given.ravel())
    classes = {*metrics.top(reference, _CLASSES), *metrics.top(candidate, _CLASSES)}
    order = sorted(classes, key=lambda index: (-reference[index], index))
    return Ranking(
        sample=sample,
        labels=tuple(labels[index] for index in order),
        reference=tuple(float(f"{reference[index]:.6g}") for index in order),
        candidate=tuple(float(f"{candidate[index]:.6g}") for index in order),
        agreement=agreement,
    )


def chosen(samples: Sequence[Sample], agreements: Sequence[metrics.Agreement]) -> list[int]:
    """Which samples to rank: those that disagree, then near ties, then real ones; in the samples' order."""
    kinds = ["different", "near tie", "same"]

    def interest(index: int) -> tuple[int, bool]:
        return kinds.index(agreements[index]), is_seeded(samples[index])

    return sorted(sorted(range(len(agreements)), key=interest)[:SAMPLES])


def shown_samples(
    reference: Reference, interface: Interface, validations: Iterable[Validation], *, pictures: bool = True
) -> tuple[ShownSample, ...]:
    """The samples that the validations rank, else the first ones where there are pictures to show."""
    names = {ranking.sample for validation in validations for ranking in validation.rankings}
    image = next((spec for spec in interface.inputs if pictures and isinstance(spec, ImageInput)), None)
    some = [s for s in reference.samples if s.name in names] or (list(reference.samples) if image else [])
    return tuple(_shown(sample, image) for sample in sorted(some, key=is_seeded)[:SAMPLES])


def _shown(sample: Sample, image: ImageInput | None) -> ShownSample:
    if image is None:
        return ShownSample(name=sample.name, picture="")
    pixels = sample.inputs[image.name]
    return ShownSample(name=sample.name, picture=_data_uri(pixels), size=(pixels.shape[0], pixels.shape[1]))


def _data_uri(pixels: np.ndarray) -> str:
    picture = Image.fromarray(pixels)
    kind = "png" if max(picture.size) <= _PIXEL_ART else "jpeg"
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, **({"quality": 72} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
