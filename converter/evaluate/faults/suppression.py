"""A NonMaximumSuppression model against its description."""

from typing import Any

from converter.errors import EvaluationError
from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.labels import check_labels
from converter.evaluate.suppression import Suppression


def check(spec: Any, faults: Faults) -> None:
    """Add what is wrong with the features it reads and writes, and with its labels."""
    message = spec.nonMaximumSuppression
    try:
        Suppression(spec)
    except EvaluationError as error:
        faults.caught(error)
    inputs = {feature.name: feature for feature in spec.description.input}
    for name in (message.iouThresholdInputFeatureName, message.confidenceThresholdInputFeatureName):
        if name and name not in inputs:
            faults.add(f"the suppression reads the threshold {name!r}, which is no input")
    for what, value in (("iouThreshold", message.iouThreshold), ("confidenceThreshold", message.confidenceThreshold)):
        if not 0 <= value <= 1:
            faults.add(f"{what} is {value}; 0 to 1 is allowed")
    which = message.WhichOneof("ClassLabels")
    confidence = inputs.get(message.confidenceInputFeatureName)
    if which is None or confidence is None:
        return
    shape = list(confidence.type.multiArrayType.shape)
    labels = list(getattr(message, which).vector)
    check_labels(labels, shape[-1] if len(shape) == 2 else None, faults)
