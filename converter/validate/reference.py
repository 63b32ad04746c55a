"""What the source framework answers in float32: torch for modules and exported programs, onnxruntime for ONNX."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import SourceError, ValidationError
from converter.model import Activation, ImageInput, Interface, LabelledTask, Reference, Sample, Source, Tensors
from converter.validate.accuracy import prediction
from converter.validate.metrics import non_finite


@dataclass(frozen=True, kw_only=True)
class _Raw:
    """A source's outputs in order; `scores` stand before the activation that it ends in, over the last axis."""

    outputs: Sequence[np.ndarray]
    scores: np.ndarray | None = None
    activation: Activation | None = None


_Run = Callable[[Sequence[np.ndarray]], _Raw]


def reference(
    source: Source,
    samples: Sequence[Sample],
    labelled: Sequence[Sample] = (),
    task: LabelledTask = LabelledTask(),  # noqa: B008  frozen
) -> Reference:
    """Ask the source model in float32, on the CPU; `task` is what the labelled set asks of it.

    The outputs stand before the classifier's appended activation. Where the source itself ends in softmax or sigmoid
    and none is appended, its first output is replaced by that activation's input (`scores_activation`). Raises
    SourceError where the source refuses a sample and ValidationError where an output holds NaN or infinity.
    """
    started = time.monotonic()
    run, engine = _onnx(source.onnx_file) if source.onnx_file else _torch(source)
    ends_in: set[Activation | None] = set()

    def ask(sample: Sample) -> Tensors:
        outputs, activation = _ask(source, run, sample)
        ends_in.add(activation)
        return outputs

    outputs = tuple(ask(sample) for sample in samples)
    first = source.interface.outputs[0].name
    scores, predictions = None, []
    if task.kind != "classification":
        for sample in labelled:
            predictions.append(_predicted(task, source, sample, ask(sample)))
    elif labelled:
        scores = np.stack([ask(sample)[first].ravel() for sample in labelled])
    return Reference(
        samples=tuple(samples),
        outputs=outputs,
        labelled=tuple(labelled),
        labelled_scores=scores,
        engine=engine,
        seconds=time.monotonic() - started,
        scores_activation=ends_in.pop() if len(ends_in) == 1 else None,
        task=task,
        labelled_predictions=tuple(predictions),
    )


def _predicted(task: LabelledTask, source: Source, sample: Sample, outputs: Tensors) -> Tensors:
    try:
        return prediction(task, source.interface, outputs, sample.inputs, None)
    except ValidationError as error:
        raise error.within(source.place, "validate", f"sample {sample.name}") from None


def normalized(interface: Interface, inputs: Tensors) -> list[np.ndarray]:
    """What the source model takes, in its order: pixels as float32 [1, C, H, W], (pixel * scale - mean) / std."""
    arrays = []
    for spec in interface.inputs:
        array = inputs[spec.name]
        arrays.append(_normalize(spec, array) if isinstance(spec, ImageInput) else array)
    return arrays


def _normalize(spec: ImageInput, pixels: np.ndarray) -> np.ndarray:
    channels = pixels[None] if spec.color == "GRAYSCALE" else pixels.transpose(2, 0, 1)
    if spec.color == "BGR":
        channels = channels[::-1]
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (spec.normalization.mean, spec.normalization.std))
    return np.ascontiguousarray(
        ((channels.astype(np.float32) * np.float32(spec.normalization.scale) - mean) / std)[None]
    )


def _ask(source: Source, run: _Run, sample: Sample) -> tuple[Tensors, Activation | None]:
    interface = source.interface
    where = (source.place, "validate", f"sample {sample.name}")
    try:
        raw = run(normalized(interface, sample.inputs))
    except Exception as error:  # the source is the user's code and may raise anything
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in sample.inputs.items())
        raise SourceError(
            f"the source model fails on {shapes}: {type(error).__name__}: {error}",
            where=where,
            fix="make the manifest's inputs (size, shape, dtype, ranges) what the model takes",
        ) from error
    if len(raw.outputs) != len(interface.outputs):
        names = ", ".join(output.name for output in interface.outputs)
        raise ValidationError(
            f"the source model gives {len(raw.outputs)} outputs, the interface has {len(interface.outputs)}: {names}",
            where=where,
            fix="name every output of the source model under `outputs`",
        )
    outputs = {output.name: array for output, array in zip(interface.outputs, raw.outputs, strict=True)}
    activation = None
    if raw.scores is not None and not (interface.classifier and interface.classifier.activation):
        outputs[interface.outputs[0].name], activation = raw.scores, raw.activation
    for name, array in outputs.items():
        if count := non_finite(array):
            raise ValidationError(
                f"the source model's own output {name!r} holds {count} NaN or infinite of {array.size} values",
                where=where,
                fix="check the checkpoint and the normalisation; or give sample inputs that the model was made for",
            )
    return outputs, activation


def _torch(source: Source) -> tuple[_Run, str]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    softmax = {torch.ops.aten.softmax.int, torch.ops.aten._softmax.default}
    sigmoid = {torch.ops.aten.sigmoid.default}

    class Activations(TorchDispatchMode):
        """Remembers the last softmax (over the last axis) and sigmoid, for a model may end in one."""

        last: dict[Activation, tuple[torch.Tensor, torch.Tensor]]

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if func in softmax and args[1] in (-1, args[0].dim() - 1):
                self.last["softmax"] = (result, args[0])
            elif func in sigmoid:
                self.last["sigmoid"] = (result, args[0])
            return result

    module = source.module if source.module is not None else source.exported.module()

    def run(inputs: Sequence[np.ndarray]) -> _Raw:
        tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in inputs]
        # The source's own integer type, where the loader knows it: the interface narrows int64 to int32.
        tensors = [t.to(e.dtype) for t, e in zip(tensors, source.example, strict=True)] if source.example else tensors
        watch = Activations()  # type: ignore[no-untyped-call]
        watch.last = {}
        with torch.no_grad(), watch:
            outputs = _flat(module(*tensors))
        arrays = [_float32(output.detach().numpy()) for output in outputs]
        for activation, (result, scores) in watch.last.items():
            if outputs and result is outputs[0]:
                return _Raw(outputs=arrays, scores=_float32(scores.numpy()), activation=activation)
        return _Raw(outputs=arrays)

    return run, f"torch {torch.__version__}"


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, Mapping):
        outputs = tuple(outputs.values())
    if isinstance(outputs, tuple | list):
        return [tensor for output in outputs for tensor in _flat(output)]
    return [] if outputs is None else [outputs]


def _float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else np.array(array)


def _onnx(path: Path) -> tuple[_Run, str]:
    import onnx
    import onnxruntime

    model = onnx.load(str(path), load_external_data=False)
    names = [output.name for output in model.graph.output]
    ending = _ending(model)
    if ending is not None:
        # onnxruntime infers the type of an output that has none.
        model.graph.output.append(onnx.ValueInfoProto(name=ending[0]))
    options = onnxruntime.SessionOptions()
    # No fusions: some trade exactness (GELU, layer normalisation) for speed, and this is the reference.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent.resolve()))
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise SourceError(
            f"onnxruntime cannot run it: {error}",
            where=(path.name, "validate"),
            fix="check the model with onnx.checker and onnxruntime; without a reference nothing can be promised",
        ) from error
    inputs = session.get_inputs()

    def run(arrays: Sequence[np.ndarray]) -> _Raw:
        feed = {i.name: a.astype(_DTYPES.get(i.type, a.dtype)) for i, a in zip(inputs, arrays, strict=True)}
        results = [_float32(result) for result in session.run(None, feed)]
        outputs = results[: len(names)]
        if ending is not None:
            scores, activation, axis = results[-1], ending[1], ending[2]
            if activation == "sigmoid" or axis in (-1, scores.ndim - 1):
                return _Raw(outputs=outputs, scores=scores, activation=activation)
        return _Raw(outputs=outputs)

    engine = f"onnxruntime {onnxruntime.__version__}"
    if _multiplies_int8(model) and _saturates():
        engine += ", which saturates products of uint8 and int8 on this processor (it has no VNNI)"
    return run, engine


def _multiplies_int8(model: Any) -> bool:
    """Whether int8 weights are taken as they are, and not as the floats that they stand for."""
    int8 = {tensor.name for tensor in model.graph.initializer if tensor.data_type == tensor.INT8}
    return any(node.op_type != "DequantizeLinear" and not int8.isdisjoint(node.input) for node in model.graph.node)


def _saturates() -> bool:
    """Whether onnxruntime adds two products of uint8 and int8 in 16 bits here, as it does on x86 without VNNI.

    Such a reference is wrong where weights use all 8 bits; its quantizer's `reduce_range` avoids that.
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    import onnxruntime
    from onnx import TensorProto, helper

    a, b = np.full((1, 32), 255, np.uint8), np.full((32, 1), -128, np.int8)
    values = [helper.make_tensor_value_info(n, t, s) for n, t, s in (
        ("a", TensorProto.UINT8, a.shape), ("b", TensorProto.INT8, b.shape), ("y", TensorProto.INT32, (1, 1)),
    )]  # fmt: skip
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "g", values[:2], values[2:])
    probe = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=8)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    return bool(session.run(None, {"a": a, "b": b})[0].item() != 32 * 255 * -128)


_DTYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def _ending(model: Any) -> tuple[str, Activation, int] | None:
    """The input, kind and axis of the Softmax or Sigmoid that the first output is, if it is one."""
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(model.graph.output[0].name)
    while node is not None and node.op_type == "Identity":
        node = producers.get(node.input[0])
    if node is None or node.domain not in ("", "ai.onnx") or node.op_type not in ("Softmax", "Sigmoid"):
        return None
    produced = {output.name for output in model.graph.output} | {value.name for value in model.graph.input}
    if node.input[0] in produced:
        return None
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1 if opset >= 13 else 1)
    return node.input[0], "softmax" if node.op_type == "Softmax" else "sigmoid", axis
