"""PyTorch and ONNX models in, checked Core ML models out.

`convert_onnx` (with `Range` for flexible sizes), `load_model` and `check_file` are the public API; they are imported on
first use, so that commands which only read stay quick.
"""

from typing import TYPE_CHECKING, Any

from converter.version import __version__

__all__ = ["Range", "__version__", "check_file", "convert_onnx", "load_model"]

if TYPE_CHECKING:
    from converter.convert import convert_onnx
    from converter.evaluate import check_file, load_model
    from converter.model import Range


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
    if name == "Range":
        from converter.model import Range

        return Range
    raise AttributeError(f"module 'converter' has no attribute {name!r}")
