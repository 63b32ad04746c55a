"""The lowerings, in the chapters of ONNX's own definitions (onnx/defs); a domain '' is ai.onnx."""

from converter.convert.onnx.ops import (
    controlflow,
    generator,
    logical,
    math,
    microsoft,
    nn,
    object_detection,
    quantization,
    reduction,
    rnn,
    tensor,
)
from converter.convert.onnx.ops.tables import ai_onnx, com_microsoft

__all__ = [
    "TABLES",
    "controlflow",
    "generator",
    "logical",
    "math",
    "microsoft",
    "nn",
    "object_detection",
    "quantization",
    "reduction",
    "rnn",
    "tensor",
]

TABLES = {"": ai_onnx, "com.microsoft": com_microsoft}
