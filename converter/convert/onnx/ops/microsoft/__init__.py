"""Domain com.microsoft: what onnxruntime's optimizer and quantizer write beside the standard's own operators.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from converter.convert.onnx.ops.microsoft import attention, fused, normalization, packed, quantized

__all__ = ["attention", "fused", "normalization", "packed", "quantized"]
