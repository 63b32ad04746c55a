"""Chapter tensor_operation."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import BY_NAME, Typed


@ops.op
def argsort(x: Tensor, axis: int = -1, ascending: bool = False) -> Typed:
    return Typed(torch.sort(x, dim=axis, descending=not ascending, stable=True).indices)


@ops.op
def band_part(x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    row, column = torch.arange(x.shape[-2]).unsqueeze(1), torch.arange(x.shape[-1])
    kept = torch.ones(x.shape[-2:], dtype=torch.bool)
    kept = kept if lower < 0 else kept & (row - column <= lower)
    kept = kept if upper < 0 else kept & (column - row <= upper)
    return torch.where(kept, x, torch.zeros_like(x))


@ops.op
def concat(values: Sequence[Tensor], axis: int, interleave: bool = False) -> Tensor:
    """A value without axes counts as one of a single element."""
    parts = [value.reshape(1) if value.dim() == 0 else value for value in values]
    if not interleave:
        return torch.cat(parts, axis)
    axis %= parts[0].dim()
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)


@ops.op
def cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    x = x.flip(axis) if reverse else x
    if exclusive:  # a sum less the element itself would lose what is small beside it, and infinities
        x = torch.cat([torch.zeros_like(x.narrow(axis, 0, 1)), x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    total = torch.cumsum(x, axis)
    return total.flip(axis) if reverse else total


@ops.op
def fill(shape: Sequence[int], value: Any = 0.0) -> Typed:
    return Typed(_filled(shape, value))


@ops.op
def fill_like_16(ref_tensor: Tensor, value: Any = 0.0) -> Typed:
    return Typed(_filled(ref_tensor.shape, value))


@ops.op
def flatten2d(x: Tensor, axis: int = 1) -> Tensor:
    axis += x.dim() if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@ops.op
def identity(x: Any) -> Any:
    return x


@ops.op
def non_maximum_suppression(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_boxes: int,
    per_class_suppression: bool = False,
) -> tuple[Tensor, Tensor, Typed, Typed]:
    """What is not filled is 0, of the indices -1."""
    chosen_boxes = boxes.new_zeros(len(boxes), max_boxes, 4)
    chosen_scores = scores.new_zeros(len(boxes), max_boxes, scores.shape[2])
    indices = torch.full((len(boxes), max_boxes), -1, dtype=torch.int32)
    counts = []
    for i, (box, score) in enumerate(zip(boxes, scores, strict=True)):
        kept = _suppressed(box, score, iou_threshold, score_threshold, per_class_suppression)[:max_boxes]
        counts.append(len(kept))
        chosen_boxes[i, : len(kept)] = box[kept]
        chosen_scores[i, : len(kept)] = score[kept]
        indices[i, : len(kept)] = kept.to(torch.int32)
    return chosen_boxes, chosen_scores, Typed(indices), Typed(torch.tensor(counts, dtype=torch.int32))


@ops.op
def non_maximum_suppression_17(
    boxes: Tensor, scores: Tensor, iou_threshold: float, max_boxes: int, per_class_suppression: bool = False
) -> tuple[Tensor, Tensor, Typed]:
    """The boxes stand in the last axis."""
    chosen_boxes, chosen_scores, indices, _ = non_maximum_suppression(
        boxes.mT, scores.mT, iou_threshold, -math.inf, max_boxes, per_class_suppression
    )
    return chosen_boxes.mT, chosen_scores.mT, indices


@ops.op
def non_zero(x: Tensor) -> Typed:
    return Typed(torch.nonzero(x))


@ops.op
def one_hot(indices: Tensor, one_hot_vector_size: int, axis: int = -1, on_value: Any = 1, off_value: Any = 0) -> Typed:
    """An index outside the vector gives a vector of off_value."""
    axis += indices.dim() + 1 if axis < 0 else 0
    places = torch.arange(one_hot_vector_size).reshape(-1, *[1] * (indices.dim() - axis))
    on, off = torch.as_tensor(on_value), torch.as_tensor(off_value)
    return Typed(torch.where(indices.unsqueeze(axis) == places, on, off))


@ops.op
def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", constant_val: Any = 0.0) -> Tensor:
    """`pad` holds begin and end for the last axes."""
    if mode == "constant":
        backwards = [amount for i in range(len(pad) - 2, -1, -2) for amount in pad[i : i + 2]]
        return F.pad(x, backwards, value=_number(constant_val))
    if mode not in ("reflect", "replicate"):
        raise ValueError(f"unknown mode {mode!r}")
    # one axis after the other: torch pads no more than three of them in these modes
    for axis, begin, end in zip(range(-(len(pad) // 2), 0), pad[::2], pad[1::2], strict=True):
        size = x.shape[axis]
        place = torch.arange(-begin, size + end)
        if mode == "replicate":
            place = place.clamp(0, size - 1)
        else:
            if begin >= size or end >= size:
                raise ValueError(f"cannot reflect {max(begin, end)} elements of an axis of size {size}")
            place = (size - 1) - ((size - 1) - place.abs()).abs()
        x = x.index_select(axis, place)
    return x


@ops.op
def range_1d(end: Tensor, start: Tensor, step: Tensor) -> Tensor:
    count = max(math.ceil((end.item() - start.item()) / step.item()), 0)
    return start + torch.arange(count, dtype=start.dtype) * step


@ops.op
def shape(x: Tensor) -> Typed:
    return Typed(torch.tensor(x.shape, dtype=torch.int32))


@ops.op
def split(
    *, x: Tensor, num_splits: int | None = None, split_sizes: Sequence[int] | None = None, axis: int
) -> tuple[Tensor, ...]:
    if split_sizes is not None:
        return torch.split(x, list(split_sizes), axis)
    if num_splits is None or x.shape[axis] % num_splits:
        raise ValueError(f"an axis of size {x.shape[axis]} cannot be split evenly by {num_splits}")
    return torch.split(x, x.shape[axis] // num_splits, axis)


@ops.op
def stack(values: Sequence[Tensor], axis: int) -> Tensor:
    return torch.stack(list(values), axis)


@ops.op
def tile(x: Tensor, reps: Sequence[int]) -> Tensor:
    return x.tile(list(reps))


@ops.op
def topk(x: Tensor, k: int = 1, axis: int = -1, ascending: bool = False) -> tuple[Tensor, Typed]:
    """Of equal values, the first come first."""
    ordered = torch.sort(x, dim=axis, descending=not ascending, stable=True)
    count = x.shape[axis] if k == -1 else k
    return ordered.values.narrow(axis, 0, count), Typed(ordered.indices.narrow(axis, 0, count))


@ops.op
def topk_16(
    x: Tensor, k: int = 1, axis: int = -1, ascending: bool = False, sort: bool = True, return_indices: bool = True
) -> Any:
    """Without `sort` any order is right; this one is sorted then too."""
    values, indices = topk(x, k, axis, ascending)
    return (values, indices) if return_indices else values


@ops.op
def topk_17(
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> Any:
    values, indices = topk(x, k, axis, ascending)
    return (values, BY_NAME[output_indices_dtype].fit(indices)) if return_indices else values


def _filled(shape: Sequence[int], value: Any) -> Tensor:
    return torch.as_tensor(value).reshape([1] * len(shape)).expand(shape).clone()


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _suppressed(boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, per_class: bool) -> Tensor:
    """The boxes of one picture that stay, best first; the best one always does.

    A box of negative size shares nothing, so it neither suppresses nor is suppressed (torchvision's nms too).
    """
    best, label = scores.max(1)
    order = torch.sort(best, descending=True, stable=True).indices
    order = order[best[order] > score_threshold]
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    area = boxes[:, 2] * boxes[:, 3]
    kept: list[int] = []
    for candidate in order.tolist():
        rivals = [i for i in kept if not per_class or label[i] == label[candidate]]
        sides = torch.minimum(high[rivals], high[candidate]) - torch.maximum(low[rivals], low[candidate])
        shared = sides.clamp(min=0).prod(1)
        overlap = shared / (area[rivals] + area[candidate] - shared)
        if not bool((overlap > iou_threshold).any()):
            kept.append(candidate)
    return torch.tensor(kept or [int(best.argmax())])
