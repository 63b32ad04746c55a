"""Sizes that only the running model knows, followed through the arithmetic that exporters do on shapes."""

from converter.convert.onnx.prepare.symbolic.follow import Known
from converter.convert.onnx.prepare.symbolic.size import Bounds

__all__ = ["Bounds", "Known"]
