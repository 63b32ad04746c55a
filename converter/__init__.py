"""PyTorch and ONNX models in, checked Core ML models out.

`convert_onnx`, `load_model` and `check_file` are the public API; they are imported on first use, so that commands
which only read stay quick.
"""

from typing import TYPE_CHECKING, Any

from converter.version import __version__

__all__ = ["__version__", "check_file", "convert_onnx", "load_model"]

if TYPE_CHECKING:
    from converter.convert import convert_onnx
    from converter.evaluate import check_file, load_model


def __getattr__(name: str) -> Any:
    if name == "convert_onnx":
        from converter.convert import convert_onnx

        return convert_onnx
    if name == "load_model":
        from converter.evaluate import load_model

        return load_model
    if name == "check_file":
        from converter.evaluate import check_file

        return check_file
    raise AttributeError(f"module 'converter' has no attribute {name!r}")
