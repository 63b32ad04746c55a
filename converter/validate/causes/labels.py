"""In which order a classifier has its labels, by its probabilities and the source's."""

from collections.abc import Sequence

import numpy as np

from converter.model import Precision
from converter.validate import metrics
from converter.validate.causes.mistakes import Order, wrong_orders

# Probabilities that differ by less are the same one: half precision is good to 2**-11, and a sum loses a little more.
_SAME: dict[Precision, float] = {"float32": 1e-5, "float16": 5e-3}
_SHOWN: dict[Precision, float] = {"float32": 1e-3, "float16": 5e-2}  # of a label that a sample speaks for


def measured_db(
    expected: Sequence[np.ndarray], given: Sequence[np.ndarray], order: Sequence[int] | None = None
) -> float:
    """The worst sample's PSNR, where the label at `j` stands for class `order[j]`."""
    pairs = zip(expected, given, strict=True)
    return float(min(metrics.psnr_db(e if order is None else e[list(order)], g) for e, g in pairs))


def same_first(
    expected: Sequence[np.ndarray], given: Sequence[np.ndarray], order: Sequence[int] | None = None
) -> float:
    """The share of samples whose first class is the source's."""
    named = [metrics.top(values, 1)[0] for values in given]
    named = named if order is None else [order[index] for index in named]
    return float(np.mean([metrics.top(e, 1)[0] == index for e, index in zip(expected, named, strict=True)]))


def known_orders(labels: tuple[str, ...]) -> list[tuple[Order, list[int]]]:
    """Each order with the class that the label at `j` of `labels` stands for in it."""
    found = []
    for order in wrong_orders(labels):
        place = {label: index for index, label in enumerate(order.labels)}
        found.append((order, [place[label] for label in labels]))
    return found


def permutation(expected: Sequence[np.ndarray], given: Sequence[np.ndarray], precision: Precision) -> list[int] | None:
    """The one order in which all samples agree, or None where there is none, or where it could be chance.

    Only labels whose probability differs anywhere are moved. Each has to find one class whose probability is the same
    in every sample, no two of them the same one, and two samples have to say so independently.
    """
    source, file = np.stack(expected).astype(np.float64), np.stack(given).astype(np.float64)
    if not np.isfinite(file).all():
        return None
    same = _SAME[precision]
    moved = np.flatnonzero((np.abs(source - file) > same).any(axis=0))
    shown = (file[:, moved] > _SHOWN[precision]).any(axis=1)
    if len(moved) < 2 or shown.sum() < 2 or _alike(source[shown]):
        return None
    order = np.arange(source.shape[1])
    taken: set[int] = set()
    # The clearest labels choose first; what no sample shows is nearly 0 on both sides, and takes what is left.
    for label in sorted(moved, key=lambda j: -file[:, j].max()):
        distances = np.abs(source[:, moved] - file[:, [label]]).max(axis=0)
        free = [(distance, index) for distance, index in zip(distances, moved, strict=True) if index not in taken]
        distance, best = min(free)
        if distance > 4 * same:
            return None
        order[label] = best
        taken.add(best)
    return [int(index) for index in order]


def _alike(samples: np.ndarray) -> bool:
    """Whether all samples have the same first class: then one of them says all, and nothing confirms it."""
    return len({int(index) for index in samples.argmax(axis=1)}) < 2
