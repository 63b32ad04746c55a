"""Label maps against masks: mean intersection over union."""

from collections.abc import Sequence

import numpy as np

from converter.errors import ValidationError

LAST_CLASS = 9999
"""The highest class number; a higher one is a mistake, and would take much memory for each sample."""


def label_map(values: np.ndarray) -> np.ndarray:
    """The class of every pixel [H, W]: the highest of scores [1, classes, H, W], or whole numbers [1, H, W] themselves.

    Raises ValidationError for anything else.
    """
    squeezed = values[0] if values.ndim > 2 and values.shape[0] == 1 else values
    if squeezed.ndim == 3 and squeezed.shape[0] > 1:
        return np.asarray(np.argmax(squeezed, axis=0), np.int32)
    if squeezed.ndim == 3:
        squeezed = squeezed[0]
    if squeezed.ndim != 2:
        raise ValidationError(
            f"an output of shape {list(values.shape)} is no label map",
            fix="name the output with scores [1, classes, height, width] or class numbers [1, height, width]",
        )
    whole = np.rint(squeezed)
    if not np.array_equal(whole, squeezed):
        raise ValidationError(
            f"an output of shape {list(values.shape)} holds fractions, where class numbers are expected",
            fix="give scores for every class, [1, classes, height, width], or take the class inside the model",
        )
    return np.asarray(whole, np.int32)


def resized(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A label map at another height and width, by its nearest pixels."""
    rows, columns = (
        np.minimum((np.arange(there) + 0.5) * here / there, here - 1).astype(int)
        for here, there in zip(labels.shape, shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns])


class Overlaps:
    """Per sample and class: how many pixels both have, and how many either has."""

    def __init__(self, predictions: Sequence[np.ndarray], masks: Sequence[np.ndarray], ignore: int | None) -> None:
        counted = [_counts(p, m, ignore) for p, m in zip(predictions, masks, strict=True)]
        classes = max((len(both) for both, _ in counted), default=0)
        self._both = np.array([np.pad(both, (0, classes - len(both))) for both, _ in counted], np.float64)
        self._either = np.array([np.pad(either, (0, classes - len(either))) for _, either in counted], np.float64)

    def mean_iou(self, weights: np.ndarray) -> np.ndarray:
        """For each row of weights the mean over the classes that either side has there; NaN where there is none."""
        both, either = weights @ self._both, weights @ self._either
        seen = either > 0
        iou = np.divide(both, either, out=np.zeros_like(both), where=seen)
        counts = seen.sum(axis=1)
        return np.asarray(np.divide(iou.sum(axis=1), counts, out=np.full(len(iou), np.nan), where=counts > 0))


def _counts(prediction: np.ndarray, mask: np.ndarray, ignore: int | None) -> tuple[np.ndarray, np.ndarray]:
    counted = np.ones(mask.shape, bool) if ignore is None else mask != ignore
    given, expected = resized(prediction, mask.shape)[counted], mask[counted]
    given = np.where((given < 0) | (given > LAST_CLASS), -1, given)
    classes = int(max(given.max(initial=-1), expected.max(initial=-1))) + 1
    both = np.bincount(expected[given == expected], minlength=classes)
    given = given[given >= 0]  # "no class" is right nowhere
    return both, np.bincount(given, minlength=classes) + np.bincount(expected, minlength=classes) - both
