"""https://onnx.ai/onnx/operators, chapter nn."""

from converter.convert.onnx.ops.nn import convolution, normalization, passing, pooling

__all__ = ["convolution", "normalization", "passing", "pooling"]
