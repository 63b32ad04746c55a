"""https://onnx.ai/onnx/operators, chapter logical."""

from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op
