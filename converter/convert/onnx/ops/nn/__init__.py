"""https://onnx.ai/onnx/operators, chapter nn."""

from converter.convert.onnx.ops.nn import (
    batch_normalization,
    convolution,
    deformation,
    normalization,
    passing,
    pooling,
    unpooling,
)

__all__ = ["batch_normalization", "convolution", "deformation", "normalization", "passing", "pooling", "unpooling"]
