"""https://onnx.ai/onnx/operators, chapter math."""

from converter.convert.onnx.ops.math import activation, broadcasting, elementwise, matrix, ordering

__all__ = ["activation", "broadcasting", "elementwise", "matrix", "ordering"]
