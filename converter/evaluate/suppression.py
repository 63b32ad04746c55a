"""A NonMaximumSuppression model: of boxes that lie over one another only the surest is kept.

https://github.com/apple/coremltools/blob/main/mlmodel/format/NonMaximumSuppression.proto
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.limits import KERNEL_ERRORS, check_size
from converter.evaluate.not_finite import Look
from converter.evaluate.wiring import Wire


class Suppression:
    """Boxes [N, 4] as (centre x, centre y, width, height) and confidences [N, C] to those that are kept, surest first.

    A box counts with its best class. `perClass` compares boxes of the same best class only.
    """

    def __init__(self, spec: Any) -> None:
        self._message = spec.nonMaximumSuppression
        if self._message.WhichOneof("SuppressionMethod") != "pickTop":
            raise EvaluationError("the suppression names no method", fix="convert the model again")
        inputs = {feature.name for feature in spec.description.input}
        outputs = {feature.name: feature for feature in spec.description.output}
        for name in (self._message.confidenceInputFeatureName, self._message.coordinatesInputFeatureName):
            if name not in inputs:
                raise EvaluationError(f"the suppression reads {name!r}, which is no input")
        self._rows: tuple[int, int | None] = (0, None)
        for name in (self._message.confidenceOutputFeatureName, self._message.coordinatesOutputFeatureName):
            if name not in outputs:
                raise EvaluationError(f"the suppression writes {name!r}, which is no output")
            low, high = _rows(outputs[name].type.multiArrayType)
            self._rows = (max(low, self._rows[0]), high if self._rows[1] is None else self._rows[1])
        written = (self._message.confidenceOutputFeatureName, self._message.coordinatesOutputFeatureName)
        for name in outputs:
            if name not in written:
                raise EvaluationError(f"the output {name!r} is computed nowhere")

    def run(self, inputs: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
        """The two outputs; rows that the outputs' shapes ask for beyond those kept are zero."""
        message = self._message
        for name in (message.confidenceInputFeatureName, message.coordinatesInputFeatureName):
            if name not in inputs:
                raise EvaluationError(f"the input {name!r} is missing")
        confidence, boxes = inputs[message.confidenceInputFeatureName], inputs[message.coordinatesInputFeatureName]
        if confidence.dim() != 2 or boxes.shape != (len(confidence), 4):
            raise EvaluationError(
                f"confidences [N, C] and coordinates [N, 4] are needed, got {list(confidence.shape)} and "
                f"{list(boxes.shape)}"
            )
        iou = _threshold(inputs, message.iouThresholdInputFeatureName, message.iouThreshold)
        least = _threshold(inputs, message.confidenceThresholdInputFeatureName, message.confidenceThreshold)
        kept = pick_top(boxes.float(), confidence.float(), iou, least, per_class=message.pickTop.perClass)
        low, high = self._rows
        kept = kept[:high]
        missing = max(low - len(kept), 0)
        check_size([missing, max(confidence.shape[1], 4)])
        try:
            values = {
                name: torch.cat([value[kept], value.new_zeros(missing, value.shape[1])])
                for name, value in (
                    (message.confidenceOutputFeatureName, confidence),
                    (message.coordinatesOutputFeatureName, boxes),
                )
            }
        except KERNEL_ERRORS as error:  # not enough memory for so many rows
            raise EvaluationError(f"{missing} empty rows cannot be given: {error}") from error
        return {name: values[name] for name in wanted}

    def watch(self, inputs: Mapping[str, Any], look: Look) -> None:
        """Show the inputs and the two outputs to `look`."""
        for name, value in inputs.items():
            look(name, value, f"the input {name!r}")
        for name, value in self.run(inputs, self.value_names()).items():
            look(name, value, "nonMaximumSuppression")

    def activation_input(self, name: str) -> tuple[str, str] | None:
        """None: confidences are picked here, not computed."""
        return None

    def wiring(self) -> Iterable[Wire]:
        """None: there is nothing to look into."""
        return ()

    def value_names(self) -> set[str]:
        """The two outputs."""
        return {self._message.confidenceOutputFeatureName, self._message.coordinatesOutputFeatureName}

    def op_types(self) -> Iterable[str]:
        """One operation."""
        return ["nonMaximumSuppression"]


def pick_top(boxes: Tensor, confidence: Tensor, iou: float, least: float, *, per_class: bool) -> Tensor:
    """The indices of the kept boxes, int64 [M], surest first; equals in the order given."""
    best, labels = confidence.max(dim=1) if confidence.shape[1] else (confidence.new_zeros(len(boxes)), None)
    order = torch.sort(best, descending=True, stable=True).indices
    left = order[best[order] >= least]
    kept = []
    while len(left):
        top, left = left[0], left[1:]
        kept.append(int(top))
        near = _overlap(boxes[top], boxes[left]) > iou
        if per_class and labels is not None:
            near &= labels[left] == labels[top]
        left = left[~near]
    return torch.tensor(kept, dtype=torch.int64)


def _overlap(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of one box [4] with others [N, 4]; two boxes without area do not overlap."""
    low, high = torch.maximum(_low(box), _low(others)), torch.minimum(_high(box), _high(others))
    shared = (high - low).clamp(min=0).prod(-1)
    union = box[2:].prod(-1) + others[:, 2:].prod(-1) - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(union))


def _low(box: Tensor) -> Tensor:
    return box[..., :2] - box[..., 2:] / 2


def _high(box: Tensor) -> Tensor:
    return box[..., :2] + box[..., 2:] / 2


def _threshold(inputs: Mapping[str, Any], name: str, default: float) -> float:
    return float(inputs[name]) if name and name in inputs else default


def _rows(kind: Any) -> tuple[int, int | None]:
    """How many rows an output may have, from its shape: at least, and at most."""
    which = kind.WhichOneof("ShapeFlexibility")
    if which == "shapeRange" and kind.shapeRange.sizeRanges:
        rows = kind.shapeRange.sizeRanges[0]
        return rows.lowerBound, rows.upperBound if rows.upperBound >= 0 else None
    if len(kind.shape) == 2:
        return kind.shape[0], kind.shape[0]
    return 0, None
