"""PyTorch and ONNX models in, checked Core ML models out.

`convert_onnx` and `load_model` are the public API; both are imported on first use, so that commands which only read
stay quick.
"""

from typing import TYPE_CHECKING, Any

from converter.version import __version__

__all__ = ["__version__", "convert_onnx", "load_model"]

if TYPE_CHECKING:
    from converter.convert import convert_onnx
    from converter.evaluate import load_model


def __getattr__(name: str) -> Any:
    if name == "convert_onnx":
        from converter.convert import convert_onnx

        return convert_onnx
    if name == "load_model":
        from converter.evaluate import load_model

        return load_model
    raise AttributeError(f"module 'converter' has no attribute {name!r}")
