"""A loaded model in, a Core ML file out, by Apple's torch frontend or by our own ONNX frontend."""

import os
import tempfile
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from converter.convert import interface as app
from converter.convert.coreml import forget, quiet, versions, way_out, words
from converter.errors import ConversionError
from converter.model import (
    Conversion,
    Format,
    Interface,
    Metadata,
    MlmodelTarget,
    MlpackageTarget,
    Precision,
    Route,
    Source,
    Target,
)

if TYPE_CHECKING:
    import onnx

    from converter.convert.onnx.graph import Graph
    from converter.convert.onnx.lower.given import Shapes

TARGETS: dict[Format, tuple[str, ...]] = {"mlmodel": get_args(MlmodelTarget), "mlpackage": get_args(MlpackageTarget)}

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
    from converter.convert.onnx.prepare import prepare

    inside = app.inside(source.interface, target)
    with tempfile.TemporaryDirectory() as folder:
        path = source.onnx_file or Path(folder) / "model.onnx"
        if source.onnx_file is None:
            from converter.convert import torch

            torch.export_onnx(source, path)
        with quiet():
            graph = prepare(path, interface=inside)
    return _lowered(graph, source.interface, target)


def _lowered(graph: "Graph", interface: Interface, target: Target) -> Any:
    """Lower ONNX to a MIL program in its final precision, and write that with no more passes than it needs."""
    from converter.convert.onnx.lower import lower

    with quiet():
        inside = app.inside(interface, target)
        program, passes = lower(graph, interface=inside, target=target)
        try:
            return app.build(program, interface, target, passes=passes)
        except Exception as error:  # coremltools' back ends raise whatever they meet
            raise ConversionError(
                f"coremltools could not write the lowered program: {words(error)}",
                fix=way_out(error, "please report this as a bug"),
            ) from error


def _save(model: Any, source: Source, target: Target, path: Path) -> None:
    spec = model.get_spec()
    app.describe(spec, source.interface, target)
    app.label(spec, source, versions())
    app.write(spec, Path(model.weights_dir) if target.format == "mlpackage" else None, path)


def convert_onnx(
    model_or_path: "onnx.ModelProto | str | os.PathLike[str]",
    output: str | os.PathLike[str],
    *,
    format: Format = "mlpackage",
    deployment_target: str = "iOS16",
    compute_precision: Precision = "float16",
    shapes: "Shapes | None" = None,
    float32_ops: Collection[str] = (),
) -> Path:
    """Convert an ONNX model to a Core ML file at `output`, replacing one that is there; returns its path.

    `format` "mlpackage" (ML Program, `deployment_target` iOS15 to iOS26, `compute_precision` "float32" or "float16") or
    "mlmodel" (NeuralNetwork, iOS13 or iOS14, which computes in float32). Inputs and outputs keep ONNX's names; a name
    that Core ML does not take is made valid, and the metadata key `onnx.name.VALID` holds the original. Inputs and
    outputs are float32 or int32 multi-arrays.

    Shapes are the graph's own; `shapes` bounds what it leaves open. By an input's name it gives a shape, some sizes of
    which may be a `Range(1, 512)`, or a list of shapes to choose from, the default first; by the name of a symbolic
    dimension a size or a Range: `shapes={"batch": 1, "sequence": Range(1, 512)}`.

    `float32_ops` compute in float32 in a float16 model: op types, or names of nodes or of what holds them,
    `float32_ops={"Softmax", "/encoder/layer.0/attention"}`.

    Raises ConversionError, and UnsupportedOpsError with every node that has no lowering.
    """
    from converter.convert.onnx.lower import interface_of
    from converter.convert.onnx.prepare import prepare

    path = Path(output)
    wide = (float32_ops,) if isinstance(float32_ops, str) else tuple(float32_ops)
    target = replace(_target(format, deployment_target, compute_precision, path), float32_ops=wide)
    model = Path(model_or_path) if isinstance(model_or_path, str | os.PathLike) else model_or_path
    if not isinstance(model, Path) and not hasattr(model, "opset_import"):
        raise ConversionError(
            f"{type(model).__name__} is no ONNX model",
            where=("convert_onnx",),
            fix="give the path of a file, or an onnx.ModelProto (onnx.load, onnx.load_from_string)",
        )
    name = model.name if isinstance(model, Path) else "model"
    graph = prepare(model)
    interface, names = interface_of(graph, shapes)
    if shapes:
        graph = prepare(model, interface=interface)
    source = Source(
        name=path.stem,
        place=name,
        description=f"onnx {name}",
        interface=interface,
        metadata=Metadata(
            additional={f"onnx.name.{valid}": original for valid, original in names.items() if valid != original}
        ),
        files=(),
    )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".converting-") as folder:
        fresh = Path(folder) / path.name
        forget()
        _save(_lowered(graph, interface, target), source, target, fresh)
        if path.is_dir():
            path.rename(Path(folder) / "replaced")
        fresh.replace(path)
    return path


def _target(format: Format, deployment_target: str, compute_precision: Precision, path: Path) -> Target:
    """The arguments of convert_onnx as a Target, all complaints about them at once."""
    complaints = []
    if format not in TARGETS:
        complaints.append(f"format {format!r} is none of {', '.join(TARGETS)}")
    elif deployment_target not in TARGETS[format]:
        complaints.append(f"{format} takes the targets {', '.join(TARGETS[format])}, not {deployment_target!r}")
    if compute_precision not in ("float32", "float16"):
        complaints.append(f"compute_precision {compute_precision!r} is neither float32 nor float16")
    if format in TARGETS and path.suffix != f".{format}":
        complaints.append(f"the output {path.name} does not end in .{format}")
    if not path.parent.is_dir():
        complaints.append(f"there is no folder {path.parent}")
    if complaints:
        raise ConversionError("\n".join(complaints), where=("convert_onnx",))
    if format == "mlmodel":
        compute_precision = "float32"
    return Target(format=format, deployment_target=deployment_target, compute_precision=compute_precision)
