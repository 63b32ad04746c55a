"""https://onnx.ai/onnx/operators, chapter nn."""

from converter.convert.onnx.ops.nn import (
    attention,
    batch_normalization,
    convolution,
    deformation,
    linear_attention,
    normalization,
    passing,
    pooling,
    rotary,
    unpooling,
)

__all__ = [
    "attention",
    "batch_normalization",
    "convolution",
    "deformation",
    "linear_attention",
    "normalization",
    "passing",
    "pooling",
    "rotary",
    "unpooling",
]
