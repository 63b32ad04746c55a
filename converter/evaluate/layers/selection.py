"""Masking and selection."""

import torch
from torch import Tensor

from converter.evaluate.layers.table import layers, scalar


@layers.op
def whereNonZero(x: Tensor) -> Tensor:
    """[count, rank]: the indices of what is not zero."""
    return x.nonzero().float()


@layers.op
def matrixBandPart(x: Tensor, numLower: int = 0, numUpper: int = 0) -> Tensor:
    """A negative number keeps that whole triangle."""
    kept = x if numLower < 0 else x.triu(-numLower)
    return kept if numUpper < 0 else kept.tril(numUpper)


@layers.op
def lowerTriangular(x: Tensor, k: int = 0) -> Tensor:
    return x.tril(k)


@layers.op
def upperTriangular(x: Tensor, k: int = 0) -> Tensor:
    return x.triu(k)


@layers.op
def NonMaximumSuppression(
    boxes: Tensor,
    scores: Tensor,
    iouThreshold: Tensor | float = 0.0,
    scoreThreshold: Tensor | float = 0.0,
    maxBoxes: Tensor | int = 0,
    perClassSuppression: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes [B, N, 4] (centre x, centre y, width, height), scores [B, N, C]; four outputs, padded to maxBoxes.

    If no score reaches the threshold, the best box alone is the answer.
    """
    batch, _, classes = scores.shape
    limit = int(scalar(maxBoxes))
    chosen_boxes, chosen_scores = torch.zeros(batch, limit, 4), torch.zeros(batch, limit, classes)
    chosen_indices, counts = torch.full((batch, limit), -1.0), torch.zeros(batch)
    for b in range(batch):
        best, labels = scores[b].max(-1)
        kept = _suppressed(
            boxes[b], best, labels if perClassSuppression else torch.zeros_like(labels),
            scalar(iouThreshold), scalar(scoreThreshold), limit,
        )  # fmt: skip
        chosen_boxes[b, : len(kept)] = boxes[b, kept]
        chosen_scores[b, : len(kept)] = scores[b, kept]
        chosen_indices[b, : len(kept)] = torch.tensor(kept, dtype=torch.float32)
        counts[b] = len(kept)
    return chosen_boxes, chosen_scores, chosen_indices, counts


def _suppressed(boxes: Tensor, best: Tensor, labels: Tensor, iou: float, score: float, limit: int) -> list[int]:
    order = [int(i) for i in best.argsort(descending=True, stable=True)]
    candidates = [i for i in order if float(best[i]) >= score]
    if not candidates:
        return order[:1]
    overlaps = _overlaps(boxes)
    kept: list[int] = []
    for i in candidates:
        if len(kept) == limit:
            break
        if not any(labels[i] == labels[j] and float(overlaps[i, j]) > iou for j in kept):
            kept.append(i)
    return kept


def _overlaps(boxes: Tensor) -> Tensor:
    """[N, N]: intersection over union."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    sides = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp(min=0)
    shared = sides.prod(-1)
    areas = boxes[:, 2:].prod(-1)
    return shared / (areas[:, None] + areas - shared)
