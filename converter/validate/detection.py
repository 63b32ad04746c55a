"""Boxes against boxes: mean average precision as COCO counts it, over all areas and at most 100 boxes a picture.

https://cocodataset.org/#detection-eval. Boxes are [x1, y1, x2, y2] in pixels. Crowds are not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import ValidationError
from converter.model import LabelledTask, Tensors

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_BOXES = 100


def detections(values: Tensors, task: LabelledTask, size: tuple[int, int] | None) -> Tensors:
    """What a detector answers, as `boxes` [N, 4], `scores` [N] and `classes` [N] in falling order of the scores.

    `size` is the picture's (height, width), for boxes that are shares of it. Raises ValidationError where the outputs
    do not belong together.
    """
    boxes, scores = _rows(values[task.boxes], 2), _rows(values[task.scores], 1 if task.classes else 2)
    if task.classes:
        classes = _rows(values[task.classes], 1)
    else:  # scores for every class of every box
        classes, scores = scores.argmax(axis=-1), scores.max(axis=-1, initial=-np.inf)
    if boxes.shape[1:] != (4,) or not len(boxes) == len(scores) == len(classes):
        shapes = {name: list(values[name].shape) for name in (task.boxes, task.scores, task.classes) if name}
        raise ValidationError(
            f"these outputs are no boxes with scores and classes: {shapes}",
            fix="name outputs of shape [N, 4], [N] and [N] under `detection`; without classes the scores are "
            "[N, classes]",
        )
    boxes = _corners(boxes.astype(np.float64), task)
    if task.normalized:
        height, width = size or (1, 1)
        boxes = boxes * [width, height, width, height]
    kept = np.flatnonzero(scores > task.min_score)
    order = kept[np.argsort(-scores[kept].astype(np.float64), kind="stable")][: 10 * MOST_BOXES]
    return {
        "boxes": boxes[order].astype(np.float32),
        "scores": scores[order].astype(np.float32),
        "classes": np.rint(classes[order]).astype(np.int32),
    }


def _rows(array: np.ndarray, rank: int) -> np.ndarray:
    return array[0] if array.ndim == rank + 1 and array.shape[0] == 1 else array


def _corners(boxes: np.ndarray, task: LabelledTask) -> np.ndarray:
    if task.box_format == "xyxy":
        return boxes
    first, sides = boxes[:, :2], boxes[:, 2:]
    first = first - sides / 2 if task.box_format == "cxcywh" else first
    return np.concatenate([first, first + sides], axis=1)


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with each other one: [N, M]."""
    one, two = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    both = np.clip(sides, 0, None).prod(axis=-1)
    either = (one[..., 2:] - one[..., :2]).prod(axis=-1) + (two[..., 2:] - two[..., :2]).prod(axis=-1) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))


@dataclass(frozen=True)
class _Class:
    """One class over all samples: its boxes in falling order of score, and how many there are to find per sample."""

    sample: np.ndarray  # [D]
    found: np.ndarray  # [D, thresholds]: whether the box meets one that is there
    wanted: np.ndarray  # [samples]


class Matches:
    """Which of a model's boxes meet one that is there, at each of COCO's ten thresholds of IoU."""

    def __init__(self, predictions: Sequence[Tensors], truths: Sequence[Tensors]) -> None:
        named = {int(label) for truth in truths for label in np.unique(truth["classes"])}
        # COCO leaves out classes of which there is nothing to find
        self._classes = [_matched(predictions, truths, label) for label in sorted(named)]

    def mean_ap(self, weights: np.ndarray) -> np.ndarray:
        """For each row of weights and threshold the mean over the classes that are there; NaN where none is."""
        aps = np.full((len(weights), len(self._classes), len(THRESHOLDS)), np.nan)
        for column, one in enumerate(self._classes):
            wanted = weights @ one.wanted
            for row in np.flatnonzero(wanted):
                aps[row, column] = _average_precision(one, weights[row], wanted[row])
        there = np.isfinite(aps)
        counts = there.sum(axis=1)
        sums = np.where(there, aps, 0.0).sum(axis=1)
        return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def _matched(predictions: Sequence[Tensors], truths: Sequence[Tensors], label: int) -> _Class:
    samples, scores, found, wanted = [], [], [], []
    for index, (given, truth) in enumerate(zip(predictions, truths, strict=True)):
        chosen = np.flatnonzero(given["classes"] == label)[:MOST_BOXES]
        there = truth["boxes"][truth["classes"] == label]
        samples.append(np.full(len(chosen), index))
        scores.append(given["scores"][chosen].astype(np.float64))
        found.append(_met(iou(given["boxes"][chosen], there)))
        wanted.append(len(there))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Class(np.concatenate(samples)[order], np.concatenate(found)[order], np.array(wanted))


def _met(overlaps: np.ndarray) -> np.ndarray:
    """For boxes in falling order of score: whether each is the first to meet a box that is there; [N, thresholds]."""
    met = np.zeros((len(overlaps), len(THRESHOLDS)), bool)
    for column, threshold in enumerate(THRESHOLDS):
        free = np.ones(overlaps.shape[1], bool)
        for row, candidates in enumerate(overlaps):
            left = np.where(free, candidates, -1.0)
            if left.size and left.max() >= threshold:
                best = left.size - 1 - int(np.argmax(left[::-1]))  # of equals the last, as COCO's own code takes it
                free[best] = False
                met[row, column] = True
    return met


def _average_precision(one: _Class, weights: np.ndarray, wanted: float) -> np.ndarray:
    """For each threshold the mean precision at 101 recalls, each the best at that recall or a higher one."""
    found = one.found
    if not len(found):
        return np.zeros(len(THRESHOLDS))
    weight = weights[one.sample]
    right = np.cumsum(found * weight[:, None], axis=0)
    precision = right / (np.cumsum(weight)[:, None] + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    at = np.stack([np.searchsorted(recall, RECALLS) for recall in (right / wanted).T], axis=1)
    reached = at < len(found)
    values = np.take_along_axis(precision, np.minimum(at, len(found) - 1), axis=0)
    return np.asarray(np.where(reached, values, 0.0).mean(axis=0))


def boxes_of(arrays: Mapping[str, np.ndarray]) -> Tensors:
    """Boxes that are there, as a labelled set holds them."""
    return {
        "boxes": np.asarray(arrays["boxes"], np.float32).reshape(-1, 4),
        "classes": np.asarray(arrays["classes"], np.int32).ravel(),
    }
