"""The lowerings, in the chapters of ONNX's own definitions (onnx/defs); a domain '' is ai.onnx."""

from converter.convert.onnx.ops import controlflow, generator, logical, math, nn, quantization, reduction, tensor
from converter.convert.onnx.ops.tables import ai_onnx

__all__ = ["TABLES", "controlflow", "generator", "logical", "math", "nn", "quantization", "reduction", "tensor"]

TABLES = {"": ai_onnx}
