"""https://onnx.ai/onnx/operators, chapter generator."""

from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op
