"""Every value that the source model computes for one sample: torch operation by operation, ONNX by onnxruntime."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converter.debug.values import Value
from converter.errors import ValidationError
from converter.model import Source, Tensors
from converter.validate.reference import normalized

MAX_BYTES = 4 << 30  # of all values together; they are kept in memory
_KINDS = "fiub"


def source_values(source: Source, inputs: Tensors, *, max_bytes: int = MAX_BYTES) -> list[Value]:
    """The inputs as the source takes them, then what each operation gives, in the order of execution.

    Raises ValidationError where they are more than `max_bytes`.
    """
    given = normalized(source.interface, inputs)
    entered = [_value("input", spec.name, array) for spec, array in zip(source.interface.inputs, given, strict=True)]
    values = _of_onnx(source.onnx_file, given) if source.onnx_file else _of_torch(source, given)
    found, size = list(entered), 0
    for value in values:
        size += value.array.nbytes
        if size > max_bytes:
            raise ValidationError(
                f"the values inside the model take more than {max_bytes >> 20} MiB for one sample",
                fix="take a smaller input, or a part of the model",
            )
        found.append(value)
    return found


def _value(op_type: str, name: str, array: np.ndarray, path: str = "") -> Value:
    return Value(op_type, name, array.astype(np.float32) if array.dtype.kind == "f" else array, path)


def _of_torch(source: Source, given: Sequence[np.ndarray]) -> Iterator[Value]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    module = source.module if source.module is not None else source.exported.module()
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in given]
    tensors = [t.to(e.dtype) for t, e in zip(tensors, source.example, strict=True)] if source.example else tensors
    path: list[str] = []
    values: list[Value] = []

    class Everything(TorchDispatchMode):
        """Keeps a copy of each result: a later operation may write into it."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            op = str(func).split(".")[1].strip("_")
            where = path[-1] if path else ""
            for index, tensor in enumerate(result if isinstance(result, tuple | list) else (result,)):
                if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_complex():
                    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
                    name = f"{where}: {op}" if where else op
                    array = np.array(tensor.detach().numpy())
                    values.append(_value(op, f"{name}, output {index + 1}" if index else name, array, where))
            return result

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operation, which shows nothing of what is in it
    try:
        with _named(module, path), torch.no_grad(), Everything():  # type: ignore[no-untyped-call]
            module(*tensors)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    yield from values


@contextlib.contextmanager
def _named(module: Any, path: list[str]) -> Iterator[None]:
    """Keep in `path` the name of the module that runs; a ScriptModule runs its parts without telling."""
    import torch

    handles: list[Any] = []
    if isinstance(module, torch.nn.Module) and not isinstance(module, torch.jit.ScriptModule):
        for name, part in module.named_modules():
            if name and not isinstance(part, torch.jit.ScriptModule):
                handles.append(part.register_forward_pre_hook(lambda *_, name=name: path.append(name)))
                handles.append(part.register_forward_hook(lambda *_: _left(path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _left(path: list[str]) -> None:
    if path:
        path.pop()


def _of_onnx(file: Path, given: Sequence[np.ndarray]) -> Iterator[Value]:
    import onnx
    import onnxruntime

    model = onnx.load(str(file), load_external_data=False)
    shown = {output.name for output in model.graph.output}
    makers = {name: node for node in model.graph.node for name in node.output if name}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in makers if name not in shown)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file.parent.resolve()))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {i.name: a.astype(_numpy(i.type, a)) for i, a in zip(session.get_inputs(), given, strict=True)}
    answer = dict(zip((output.name for output in session.get_outputs()), session.run(None, feed), strict=True))
    for name, node in makers.items():  # in the order of the nodes; onnxruntime gives the model's own outputs first
        array = answer.get(name)
        if isinstance(array, np.ndarray) and array.dtype.kind in _KINDS:
            yield _value(node.op_type, name, array)


def _numpy(kind: str, array: np.ndarray) -> Any:
    """onnxruntime's `tensor(int64)` as numpy's type."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(name, name))
