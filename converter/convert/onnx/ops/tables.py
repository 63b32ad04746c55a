"""The tables that the chapters fill, one for each operator set."""

from converter.registry import Table

ai_onnx = Table("ai.onnx")
com_microsoft = Table("com.microsoft")
