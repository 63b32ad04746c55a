"""https://onnx.ai/onnx/operators, chapter logical."""

from converter.convert.onnx.ops.logical import bits, comparison

__all__ = ["bits", "comparison"]
