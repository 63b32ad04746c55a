"""ONNX files: read, checked with their external data, and run once by onnxruntime."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto

from converter.errors import SourceError, UnsupportedOpsError
from converter.load.files import record
from converter.model import SourceFile

_STANDARD = ("", "ai.onnx")
_FIX = "export the model again; the exporter's own check is onnx.checker.check_model"


@dataclass(frozen=True, kw_only=True)
class Value:
    """An input or output of the graph; a size that the graph leaves open is its name, or None."""

    name: str
    dtype: str  # numpy's name: `float32`
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a checked ONNX file says of itself."""

    path: Path
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    opset: int
    files: tuple[SourceFile, ...]  # external data


def load(path: Path, origin: str, *, remote: bool) -> Graph:
    """Reads and checks an ONNX file; `origin` is the file as the user knows it, `remote` that it was fetched alone.

    Raises SourceError where it is damaged, breaks the standard, or its external data is missing or lies outside its
    folder.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise SourceError(
            f"{origin} is not a readable ONNX file: {error}", fix="it is damaged or of another kind"
        ) from error
    if not model.opset_import and not model.graph.node:
        raise SourceError(f"{origin} is not an ONNX model: it holds no graph", fix="it is damaged or of another kind")
    files = tuple(_external_files(model, path, origin, remote=remote))
    try:
        onnx.checker.check_model(str(path))
    # the checker raises ValidationError, but also ValueError, RuntimeError and its own inference errors
    except Exception as error:
        first = str(error).strip().split("\n\n")[0][:400]
        _refuse_foreign(model, origin)
        raise SourceError(f"{origin} breaks the ONNX standard: {first}", fix=_FIX) from error
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_value(v, origin) for v in model.graph.input if v.name not in initializers)
    if not inputs or not model.graph.output:
        missing = "outputs" if inputs else "inputs"
        raise SourceError(f"{origin} has no {missing}", fix="a Core ML model takes an input and gives an output")
    return Graph(
        path=path,
        inputs=inputs,
        outputs=tuple(_value(v, origin) for v in model.graph.output),
        opset=next((o.version for o in model.opset_import if o.domain in _STANDARD), 0),
        files=files,
    )


class Session:
    """The graph in onnxruntime, on the CPU."""

    def __init__(self, graph: Graph, origin: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )  # it runs only once or twice
        self.graph = graph
        try:
            self._session = onnxruntime.InferenceSession(str(graph.path), options, providers=["CPUExecutionProvider"])
        # onnxruntime's exceptions have no public base class
        except Exception as error:
            _refuse_foreign(onnx.load(graph.path, load_external_data=False), origin)
            raise SourceError(f"onnxruntime cannot run {origin}: {str(error).strip()[:400]}", fix=_FIX) from error

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs for one set of inputs, both in the graph's order; an input is cast to the graph's own type."""
        feeds = {v.name: t.numpy().astype(v.dtype) for v, t in zip(self.graph.inputs, inputs, strict=True)}
        return tuple(torch.from_numpy(np.array(result)) for result in self._session.run(None, feeds))


def _refuse_foreign(model: onnx.ModelProto, origin: str) -> None:
    """Names every node that the standard does not know, for the libraries stop at the first."""
    opsets = {"ai.onnx" if o.domain in _STANDARD else o.domain: o.version for o in model.opset_import}
    functions = {(f.domain, f.name) for f in model.functions}
    foreign = []
    for node in _nodes(model.graph):
        domain = "ai.onnx" if node.domain in _STANDARD else node.domain
        if (node.domain, node.op_type) in functions:
            continue
        try:
            onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), "" if domain == "ai.onnx" else domain)
        except TypeError:
            continue  # of a damaged file: protobuf hands on a name that is no UTF-8 as bytes
        except onnx.defs.SchemaError:
            name = node.name or (f"output {node.output[0]}" if node.output else "unnamed")
            foreign.append(f'node "{name}" ({node.op_type}, {domain} opset {opsets.get(domain, "not imported")})')
    if foreign:
        raise UnsupportedOpsError(
            f"{origin} holds {len(foreign)} nodes that are not of the ONNX standard:\n  " + "\n  ".join(foreign),
            fix="export the model with standard ops alone",
        )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _value(value: onnx.ValueInfoProto, origin: str) -> Value:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise SourceError(
            f"{value.name} of {origin} is {(kind or 'untyped').removesuffix('_type')}, not a tensor",
            fix="Core ML takes and gives tensors; export the model without sequences, maps and optionals",
        )
    tensor = value.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
    if tensor.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        word = "strings" if tensor.elem_type == TensorProto.STRING else "values of no type"
        raise SourceError(f"{value.name} of {origin} holds {word}", fix="Core ML takes and gives numbers")
    return Value(name=value.name, dtype=str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)), shape=shape)


def _external_files(model: onnx.ModelProto, path: Path, origin: str, *, remote: bool) -> Iterator[SourceFile]:
    """Every file of external data, once; refuses one outside the model's folder before anything opens it."""
    seen: dict[str, None] = {}
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            seen.setdefault(location)
    if seen and remote:
        raise SourceError(
            f"{origin} keeps weights in other files ({', '.join(seen)}), which are not fetched with it",
            fix="save it as one file (onnx.save without save_as_external_data), or commit all files",
        )
    folder = path.parent.resolve()
    for location in seen:
        file = folder / location
        if not location or not file.resolve().is_relative_to(folder) or file.is_symlink():
            raise SourceError(
                f"{origin} keeps weights in {location!r}, outside its own folder",
                fix="put external data beside the model",
            )
        if not file.is_file():
            raise SourceError(
                f"{origin} keeps weights in {location}, which is missing", fix="commit it beside the model"
            )
        yield record(file, str(Path(origin).parent / location))


def _tensors(model: onnx.ModelProto) -> Iterator[Any]:
    """Every tensor of the model, of attributes, subgraphs and functions too."""
    nodes = [*_nodes(model.graph), *(node for function in model.functions for node in function.node)]
    graphs = [model.graph]
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            graphs += [attribute.g, *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
