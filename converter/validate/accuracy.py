"""How right a model is on its labelled set; one way for the saved file and for its source.

numpy only: the job on macOS runs this too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from converter.errors import ValidationError
from converter.model import Accuracy, ImageInput, Interface, LabelledTask, Reference, Sample, Tensors
from converter.validate.detection import Matches, detections
from converter.validate.intervals import (
    SIGNIFICANT_P,
    Interval,
    mcnemar,
    paired_p,
    percentiles,
    resampled,
    wilson,
)
from converter.validate.metrics import top
from converter.validate.segmentation import Overlaps, label_map

Metric = Literal["top1", "top5", "mean_iou", "map", "map50"]


class Spoken(NamedTuple):
    """A metric in words, and the manifest's names of its limits."""

    words: str
    minimum: str
    drop: str


METRICS: Mapping[Metric, Spoken] = {
    "top1": Spoken("top-1 accuracy", "min_accuracy", "max_accuracy_drop"),
    "top5": Spoken("top-5 accuracy", "min_top5", "max_top5_drop"),
    "mean_iou": Spoken("mean IoU", "min_mean_iou", "max_mean_iou_drop"),
    "map": Spoken("mAP at 0.5:0.95", "min_map", "max_map_drop"),
    "map50": Spoken("mAP at 0.5", "min_map50", "max_map50_drop"),
}
OF_TASK: Mapping[str, tuple[Metric, ...]] = {
    "classification": ("top1", "top5"),
    "segmentation": ("mean_iou",),
    "detection": ("map", "map50"),
}

TOP = 5
"""How many first classes are looked at."""

_Figures = Callable[[np.ndarray], dict[Metric, np.ndarray]]
"""The figures of a labelled set for each row of weights [draws, samples], which say how often each sample counts."""


def prediction(
    task: LabelledTask, interface: Interface, values: Tensors, inputs: Tensors, label: str | None
) -> Tensors:
    """What one answer says in the terms of the labelled set: `classes` in order, a `mask`, or `boxes`.

    `label` is a saved classifier's own first class. Raises ValidationError where the outputs cannot say it.
    """
    first = interface.outputs[0].name
    if task.kind == "segmentation":
        return {"mask": label_map(values[task.output or first])}
    if task.kind == "detection":
        return detections(values, task, _size(interface, inputs))
    classes = top(values[first], TOP)
    labels = interface.classifier.labels if interface.classifier else ()
    if label in labels:
        named = labels.index(label)
        classes = [named, *(index for index in classes if index != named)][:TOP]
    return {"classes": np.array(classes, np.int32)}


def outputs_of(task: LabelledTask, interface: Interface) -> list[str]:
    """The outputs that the task names and that the model does not have."""
    known = [output.name for output in interface.outputs]
    return [name for name in (task.output, task.boxes, task.scores, task.classes) if name and name not in known]


def require_outputs(task: LabelledTask, interface: Interface) -> None:
    """Raise ValidationError where the labelled set names outputs that the model does not have."""
    if unknown := outputs_of(task, interface):
        raise ValidationError(
            f"the labelled set is to be held against {', '.join(unknown)}, which the model does not have",
            fix=f"its outputs are {', '.join(output.name for output in interface.outputs)}",
        )


def accuracies(
    reference: Reference, predictions: Sequence[Tensors], labels: Sequence[str], interface: Interface
) -> tuple[Accuracy, ...]:
    """The saved file and its source on the labelled set, by every metric that its labels allow.

    `predictions` are the saved file's, `labels` its first classes, which is all that an old record has.
    """
    samples = reference.labelled
    if not samples:
        return ()
    if reference.task.kind == "classification":
        return tuple(_shares(reference, predictions, labels, interface))
    figures = _figures(reference.task, samples, predictions), _figures(reference.task, samples, _predictions(reference))
    return tuple(_bootstrapped(len(samples), *figures))


def right_at_first(reference: Reference, labels: Sequence[str], interface: Interface) -> tuple[np.ndarray, np.ndarray]:
    """Of each labelled sample whether the saved file's first class is right, and whether the source's is."""
    expected = [sample.label for sample in reference.labelled]
    best = [_class_name(one["classes"][0], interface) for one in _predictions(reference)]
    return _equal(labels, expected), _equal(best, expected)


def _equal(given: Sequence[str], expected: Sequence[str | None]) -> np.ndarray:
    return np.array([a == b for a, b in zip(given, expected, strict=True)], bool)


def _predictions(reference: Reference) -> Sequence[Tensors]:
    """The source's; a classifier's follow from its scores."""
    if reference.task.kind != "classification":
        return reference.labelled_predictions
    scores = reference.labelled_scores
    return [] if scores is None else [{"classes": np.array(top(row, TOP), np.int32)} for row in scores]


def _shares(
    reference: Reference, predictions: Sequence[Tensors], labels: Sequence[str], interface: Interface
) -> Iterator[Accuracy]:
    if reference.labelled_scores is None:
        return
    right, source_right = right_at_first(reference, labels, interface)
    yield share("top1", right, source_right)
    if reference.labelled_scores.shape[1] > TOP and predictions:
        expected = [sample.label for sample in reference.labelled]
        within = [_within(given, expected, interface) for given in (predictions, _predictions(reference))]
        yield share("top5", *within)


def _within(given: Sequence[Tensors], expected: Sequence[str | None], interface: Interface) -> np.ndarray:
    named = [[_class_name(index, interface) for index in one["classes"]] for one in given]
    return np.array([label in classes for classes, label in zip(named, expected, strict=True)], bool)


def share(metric: Metric, right: np.ndarray, source_right: np.ndarray) -> Accuracy:
    """The saved file's share of right answers and the source's; both say of each sample whether its answer is right."""
    count, counts = len(right), (int(right.sum()), int(source_right.sum()))
    return _accuracy(
        metric,
        count,
        (counts[0] / count, counts[1] / count),
        (wilson(counts[0], count), wilson(counts[1], count)),
        mcnemar(source_right, right),
    )


def _figures(task: LabelledTask, samples: Sequence[Sample], predictions: Sequence[Tensors]) -> _Figures:
    if task.kind == "segmentation":
        masks = [sample.truth["mask"] for sample in samples]
        overlaps = Overlaps([p["mask"] for p in predictions], masks, task.ignore)
        return lambda weights: {"mean_iou": overlaps.mean_iou(weights)}
    matches = Matches(predictions, [sample.truth for sample in samples])

    def mean_ap(weights: np.ndarray) -> dict[Metric, np.ndarray]:
        by_threshold = matches.mean_ap(weights)
        return {"map": by_threshold.mean(axis=1), "map50": by_threshold[:, 0]}

    return mean_ap


def _bootstrapped(count: int, given: _Figures, source: _Figures) -> Iterator[Accuracy]:
    each_once, drawn = np.ones((1, count)), resampled(count)
    values, source_values, draws, source_draws = given(each_once), source(each_once), given(drawn), source(drawn)
    for metric in values:
        yield _accuracy(
            metric,
            count,
            (float(values[metric][0]), float(source_values[metric][0])),
            (percentiles(draws[metric]), percentiles(source_draws[metric])),
            paired_p(source_draws[metric], draws[metric]),
        )


def _accuracy(
    metric: Metric, count: int, values: tuple[float, float], intervals: tuple[Interval, Interval], p_value: float
) -> Accuracy:
    (value, source), (low, high) = values, intervals[0]
    words = (
        f"{METRICS[metric].words} is {100 * value:.1f} % (95 % CI {100 * low:.1f} to {100 * high:.1f}) on {count} "
        f"samples, the source's is {100 * source:.1f} %"
    )
    return Accuracy(
        metric=metric,
        samples=count,
        value=value,
        interval=intervals[0],
        reference=source,
        reference_interval=intervals[1],
        p_value=p_value,
        words=f"{words}; {'both are equal' if value == source else compared(p_value)}",
    )


def compared(p_value: float) -> str:
    """What the paired test says of the difference."""
    shown = f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
    return f"the difference is {'' if p_value < SIGNIFICANT_P else 'not '}significant, {shown}"


def _size(interface: Interface, inputs: Tensors) -> tuple[int, int] | None:
    """Height and width of the picture that a model was asked about."""
    for spec in interface.inputs:
        if isinstance(spec, ImageInput):
            height, width = inputs[spec.name].shape[:2]
            return height, width
    return None


def _class_name(index: int, interface: Interface) -> str:
    return interface.classifier.labels[index] if interface.classifier else str(index)
