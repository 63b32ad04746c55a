"""https://onnx.ai/onnx/operators, chapter rnn."""

from converter.convert.onnx.ops.rnn import layers

__all__ = ["layers"]
