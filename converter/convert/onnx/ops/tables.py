"""The tables that the chapters fill, one for each operator set."""

from converter.registry import Table

ai_onnx = Table("ai.onnx")
fused = Table("fused")  # what rewrites of a graph put in the place of several nodes
