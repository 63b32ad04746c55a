"""Chapter classify."""

import math
from typing import Any

import torch

from converter.evaluate.mil.table import ops


@ops.op
def classify(probabilities: torch.Tensor, classes: Any) -> Any:
    """The label of the largest probability, and a dictionary of all."""
    labels = [int(c) if isinstance(c, torch.Tensor) else c for c in classes]
    if len(labels) != math.prod(probabilities.shape):
        raise ValueError(f"there are {len(labels)} classes for {math.prod(probabilities.shape)} probabilities")
    scores = probabilities.reshape(-1)
    return labels[int(torch.argmax(scores))], dict(zip(labels, scores.tolist(), strict=True))
