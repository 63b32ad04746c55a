"""The direct route: Apple's torch frontend. Also what both routes ask of torch: tracing and ONNX export."""

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from converter.convert import interface as app
from converter.convert.coreml import quiet, way_out, words
from converter.convert.naming import Names
from converter.convert.origins import Origin, is_recording, note
from converter.errors import ConversionError
from converter.model import Activation, ImageInput, Interface, Range, Source, Target, TensorInput

_OPSETS = (17, 18, 20)  # of the TorchScript exporter, in the order tried: 17 has LayerNormalization, 20 is its last


def convert(source: Source, target: Target) -> Any:
    """Trace or export the model together with its interface, and give it to coremltools; returns its MLModel.

    Raises ConversionError with the frontend's own words.
    """
    names = Names(target.float32_ops)
    try:
        with quiet(), _plainly(), torch.inference_mode(False), torch.no_grad():
            built = app.build(_captured(source), source.interface, target, wide=partial(_is_named, names))
    except Exception as error:  # Apple's frontend raises whatever its ops raise
        raise ConversionError(
            f"coremltools' torch frontend refused the model: {words(error)}",
            fix=way_out(error, "rewrite what it names with other operators, or take `route: onnx` where that passes"),
        ) from error
    if is_recording():
        for op in _every(built._mil_program.functions["main"]):
            for output in op.outputs:
                note(output, Origin(op.op_type, _module(op)))
    if names:
        for op in _every(built._mil_program.functions["main"]):  # those too that cannot compute in float16 anyway
            _is_named(names, op)
        names.refuse_strangers("operation of coremltools' torch frontend")
    return built


def _is_named(names: Names, op: Any) -> bool:
    """Whether float32_ops names a MIL operation."""
    if op.op_type in ("const", "cast"):
        return False
    return names.holds(op.op_type, (op.name, *(output.name for output in op.outputs)), _module(op))


def _module(op: Any) -> str:
    """The path of the torch module that a MIL operation comes from, as far as coremltools knows it."""
    from coremltools.converters.mil.mil.scope import ScopeSource

    scope = op.scopes.get(ScopeSource.TORCHSCRIPT_MODULE_NAME, [])
    return ".".join(scope[1:-1])  # between WithInterface's own attribute and the value's name


def _every(block: Any) -> Iterator[Any]:
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from _every(inner)


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Attention and transformer layers said in plain ops: their fused fast path is one op that no frontend takes."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _captured(source: Source) -> Any:
    """The torch program with what Core ML's image input cannot say before it, and the activation after it."""
    if source.exported is None:
        whole = WithInterface(_traceable(source.module), source.interface).eval()
        return torch.jit.trace(whole, source.example, check_trace=False)  # type: ignore[no-untyped-call]
    whole = WithInterface(source.exported.module(), source.interface)
    # Apple's frontend takes only the core ATen ops that this decomposes to
    return torch.export.export(whole, source.example).run_decompositions({})


def _traceable(module: torch.nn.Module) -> torch.nn.Module:
    """A ScriptModule frozen, as Apple's frontend fails on a branch over `training`; others as they are."""
    if not isinstance(module, torch.jit.ScriptModule):
        return module
    if module._c.hasattr("training"):  # a frozen one has it no more
        module = torch.jit.freeze(module, optimize_numerics=False)
    # torch 2.7 traces a frozen module only once it has been saved and loaded
    memory = io.BytesIO()
    torch.jit.save(module, memory)  # type: ignore[no-untyped-call]
    memory.seek(0)
    return torch.jit.load(memory)  # type: ignore[no-untyped-call, no-any-return]


class WithInterface(torch.nn.Module):
    """Image inputs divided by std (Core ML's own scale and bias come before), and the appended activation.

    Takes the inputs as Core ML hands them on: (pixel * scale - mean), [1, C, H, W].
    """

    def __init__(self, model: torch.nn.Module, interface: Interface) -> None:
        super().__init__()
        self.model = model
        self.activation: Activation | None = interface.classifier.activation if interface.classifier else None
        self.divided: list[int] = []
        for position, feature in enumerate(interface.inputs):
            if isinstance(feature, ImageInput) and any(std != 1 for std in feature.normalization.std):
                self.divided.append(position)
                std = torch.tensor(feature.normalization.std).reshape(1, -1, 1, 1)
                self.register_buffer(f"std_{position}", std)

    def forward(self, *inputs: torch.Tensor) -> Any:
        values = list(inputs)
        for position in self.divided:
            values[position] = values[position] / getattr(self, f"std_{position}")
        outputs = self.model(*values)
        if self.activation is None:
            return outputs
        scores, *others = outputs if isinstance(outputs, tuple | list) else (outputs,)
        scores = torch.softmax(scores, -1) if self.activation == "softmax" else torch.sigmoid(scores)
        return (scores, *others) if others else scores


def export_onnx(source: Source, path: Path) -> str:
    """Write the source model, without its interface, as ONNX; returns which exporter wrote it.

    torch's TorchScript exporter first, at the lowest opset that it can say the model in, then the torch.export one;
    an ExportedProgram goes straight to the latter.
    """
    problems = []
    said: dict[str, Any] = {
        "input_names": [feature.name for feature in source.interface.inputs],
        "output_names": [output.name for output in source.interface.outputs],
        "dynamic_axes": {feature.name: axes for feature in source.interface.inputs if (axes := _flexible(feature))},
    }
    with quiet(), _plainly(), torch.no_grad():
        if source.exported is None:
            for opset in _OPSETS:
                try:
                    torch.onnx.export(
                        source.module, source.example, str(path), opset_version=opset, dynamo=False, **said
                    )
                    return f"TorchScript exporter, opset {opset}"
                except Exception as error:  # noqa: BLE001  exporters raise whatever their ops raise; the next is tried
                    problems.append(f"opset {opset}: {words(error)}")
        try:
            model = source.module if source.exported is None else source.exported
            torch.onnx.export(model, source.example, str(path), dynamo=True, verbose=False, **said)
            return "torch.export exporter"
        except Exception as error:  # noqa: BLE001  as above
            problems.append(f"torch.export: {words(error)}")
    raise ConversionError(
        "torch cannot export the model to ONNX:\n" + "\n".join(problems),
        fix="rewrite what is named with other operators, take `route: direct` where that passes, or export the model "
        "yourself and give it as `source: {onnx: ...}`",
    )


def _flexible(feature: ImageInput | TensorInput) -> list[int]:
    """The axes whose length is not fixed."""
    if isinstance(feature, ImageInput):
        return [2, 3] if feature.enumerated or feature.ranges else []
    shapes = (feature.default_shape, *feature.enumerated)
    return [
        axis
        for axis, length in enumerate(feature.shape)
        if isinstance(length, Range) or len({shape[axis] for shape in shapes}) > 1
    ]
