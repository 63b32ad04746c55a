"""The labels of a classifier: as many as scores, and each of them once."""

from collections import Counter
from collections.abc import Sequence

from converter.evaluate.faults.fault import Faults

_SHOWN = 3


def check_labels(labels: Sequence[str | int], scores: int | None, faults: Faults) -> None:
    """`scores` is how many the labels are for, None where that is not known."""
    if not labels:
        faults.add("the classifier has no labels", fix="convert the model again with its labels")
        return
    if scores is not None and scores != len(labels):
        faults.add(
            f"there are {len(labels)} labels for {scores} scores", fix=f"convert the model again with {scores} labels"
        )
    twice = [label for label, count in Counter(map(str, labels)).items() if count > 1]
    if twice:
        shown = ", ".join(twice[:_SHOWN]) + (f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else "")
        faults.add(
            f"labels stand there more than once ({shown}): the answer is a dictionary by label, so classes are lost",
            fix="convert the model again with labels that differ",
        )
