"""A loaded model in, a Core ML file out, by Apple's torch frontend or by our own ONNX frontend."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.convert import interface as app
from converter.convert.coreml import forget, quiet, versions, words
from converter.convert.onnx.prepare import prepare
from converter.errors import ConversionError
from converter.model import Conversion, Format, Interface, Precision, Route, Source, Target

if TYPE_CHECKING:
    import onnx

__all__ = ["convert", "convert_onnx"]


def convert(source: Source, route: Route, target: Target, path: Path) -> Conversion:
    """Convert a model by one route to one target; `path` is the .mlmodel or .mlpackage to write.

    Raises ConversionError (UnsupportedOpsError lists every node without a lowering).
    """
    started = time.perf_counter()
    try:
        app.check(source.interface)
        forget()
        made_by = versions()
        model = _direct(source, target) if route == "direct" else _by_onnx(source, target)
        _save(model, source, target, path)
    except ConversionError as error:
        raise error.within(source.place, "convert", f"{target.format} by route {route}") from error.__cause__
    return Conversion(route=route, target=target, path=path, seconds=time.perf_counter() - started, versions=made_by)


def _direct(source: Source, target: Target) -> Any:
    if source.onnx_file is not None:
        raise ConversionError("an ONNX model cannot take the direct route", fix="say `route: onnx`")
    from converter.convert import torch

    return torch.convert(source, target)


def _by_onnx(source: Source, target: Target) -> Any:
    if source.onnx_file is not None:
        return _lowered(source.onnx_file, source.interface, target)
    from converter.convert import torch

    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.onnx"
        torch.export_onnx(source, exported)
        return _lowered(exported, source.interface, target)


def _lowered(model: "onnx.ModelProto | Path", interface: Interface, target: Target) -> Any:
    """Lower ONNX to a MIL program in its final precision, and write that with no more passes than it needs."""
    from converter.convert.onnx.lower import lower

    with quiet():
        program, passes = lower(prepare(model), interface=app.inside(interface, target), target=target)
        try:
            return app.build(program, interface, target, passes=passes)
        except Exception as error:  # coremltools' back ends raise whatever they meet
            raise ConversionError(
                f"coremltools could not write the lowered program: {words(error)}", fix="please report this as a bug"
            ) from error


def _save(model: Any, source: Source, target: Target, path: Path) -> None:
    spec = model.get_spec()
    app.describe(spec, source.interface, target)
    app.label(spec, source, versions())
    app.write(spec, Path(model.weights_dir) if target.format == "mlpackage" else None, path)
