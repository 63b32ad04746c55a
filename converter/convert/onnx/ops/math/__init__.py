"""https://onnx.ai/onnx/operators, chapter math."""

from converter.convert.onnx.ops.math import (
    activation,
    broadcasting,
    cumulative,
    einsum,
    elementwise,
    loss,
    matrix,
    ordering,
    signal,
)

__all__ = [
    "activation",
    "broadcasting",
    "cumulative",
    "einsum",
    "elementwise",
    "loss",
    "matrix",
    "ordering",
    "signal",
]
