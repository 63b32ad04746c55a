"""https://onnx.ai/onnx/operators, chapter tensor."""

from converter.convert.onnx.ops.tensor import (
    casting,
    indexing,
    joining,
    padding,
    resampling,
    sampling,
    scattering,
    selecting,
    shape,
)

__all__ = ["casting", "indexing", "joining", "padding", "resampling", "sampling", "scattering", "selecting", "shape"]
