"""An ONNX model made ready to lower: read, checked, functions inlined, constants folded, shapes inferred."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import helper

from converter.convert.onnx import fuse
from converter.convert.onnx.graph import Dim, Graph, Node, TensorType
from converter.convert.onnx.infer import AI_ONNX, Walk, array_of, dense_array, tensor_type
from converter.errors import ConversionError, SourceError
from converter.model import ImageInput, Interface, Range

OLDEST_OPSET = 6
_PRUNED_BYTES = 1024  # initializers above this size are hidden from the checker and the inliner, which copy models


def prepare(model: onnx.ModelProto | Path, *, interface: Interface | None = None) -> Graph:
    """Read and check an ONNX model and make it ready to lower.

    The interface gives symbolic input dimensions their sizes; a dimension that it leaves flexible stays symbolic.
    Raises SourceError for a file that is not an ONNX model, ConversionError for a model that cannot be prepared.
    """
    proto = _read(model) if isinstance(model, Path) else model
    opsets = _opsets(proto)
    constants = {tensor.name: array_of(tensor) for tensor in proto.graph.initializer}
    for sparse in proto.graph.sparse_initializer:
        constants[sparse.values.name] = dense_array(sparse)
    skeleton = _inline(_check(_without_weights(proto)))
    walk = Walk(opsets, skeleton.ir_version, constants, _input_types(skeleton.graph, constants, interface))
    for node in skeleton.graph.node:
        walk.visit(node)
    for (
        output
    ) in skeleton.graph.output:  # operators without type inference (function bodies, other domains) are believed
        if output.name not in walk.types and output.name not in walk.aliases and output.type.WhichOneof("value"):
            walk.types[output.name] = tensor_type(output.type)
    outputs = tuple(walk.aliases.get(output.name, output.name) for output in skeleton.graph.output)
    inputs = tuple(value.name for value in skeleton.graph.input if value.name not in constants)
    graph = Graph(
        name=proto.graph.name,
        inputs=inputs,
        outputs=outputs,
        output_names=tuple(output.name for output in skeleton.graph.output),
        nodes=tuple(walk.nodes),
        constants=walk.constants,
        types=walk.types,
    )
    return without_dead_nodes(fuse.fuse(without_dead_nodes(graph)))


def without_dead_nodes(graph: Graph) -> Graph:
    """The same graph without nodes and constants that no output needs."""
    needed = set(graph.outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return replace(graph, nodes=tuple(reversed(nodes)), constants=constants)


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except FileNotFoundError as error:
        raise SourceError(f"{error.filename or path} does not exist", where=(str(path),)) from error
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        raise SourceError(
            f"cannot be read as an ONNX model: {error}",
            where=(str(path),),
            fix="export the model again; a model with external data needs its data files beside it",
        ) from error


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    if not model.graph.node and not model.graph.output:
        raise SourceError("the ONNX model is empty", fix="export the model again")
    opsets = {"" if o.domain in AI_ONNX else o.domain: o.version for o in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = opsets.setdefault("", 1)
    if not OLDEST_OPSET <= version <= newest:
        raise ConversionError(
            f"the model is of ai.onnx opset {version}; {OLDEST_OPSET} to {newest} can be converted",
            fix=f"export it again at an opset in that range, 18 for example (onnx {onnx.__version__} is installed)",
        )
    return opsets


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large initializers turned into inputs, so that checking and inlining stay cheap."""
    skeleton = onnx.ModelProto(
        ir_version=max(model.ir_version, 4),  # since 4 an initializer need not be an input
        opset_import=model.opset_import,
        functions=model.functions,
    )
    graph, source = skeleton.graph, model.graph
    graph.name = source.name or "graph"
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    declared = {value.name for value in source.input}
    for tensor in source.initializer:
        if tensor.ByteSize() <= _PRUNED_BYTES:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for sparse in source.sparse_initializer:
        info = helper.make_tensor_value_info(sparse.values.name, sparse.values.data_type, sparse.dims)
        graph.input.append(info)
    return skeleton


def _check(model: onnx.ModelProto) -> onnx.ModelProto:
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    for output in checked.graph.output:  # the checker insists on output shapes, which nothing needs and some leave out
        if not output.type.tensor_type.HasField("shape") and output.type.WhichOneof("value") in (None, "tensor_type"):
            elem_type = output.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
            output.CopyFrom(helper.make_tensor_value_info(output.name, elem_type, [None]))
    try:
        onnx.checker.check_model(checked)
    except onnx.checker.ValidationError as error:
        unknown = "No Op registered" in str(error) or "No opset import" in str(error)
        # Operators that nobody knows are reported by `lower`, all at once, with their names.
        if not unknown:
            raise SourceError(f"not a valid ONNX model: {error}", fix="export the model again") from error
    return model


def _inline(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _input_types(
    graph: onnx.GraphProto, constants: Mapping[str, np.ndarray], interface: Interface | None
) -> dict[str, TensorType]:
    types = {value.name: tensor_type(value.type) for value in graph.input if value.name not in constants}
    return types if interface is None else bound_inputs(types, interface)


def bound_inputs(types: Mapping[str, TensorType], interface: Interface) -> dict[str, TensorType]:
    """The inputs' types with the shapes that the interface gives, or ConversionError where the two disagree."""
    matched = match_inputs(tuple(types), interface)
    return {name: _with_shape(name, types[name], _given_shape(given)) for name, given in matched.items()}


def match_inputs(names: Sequence[str], interface: Interface) -> dict[str, Any]:
    """The interface's input for each of the graph's: by name where all names occur, else by position."""
    if len(interface.inputs) != len(names):
        raise ConversionError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), "
            f"the manifest gives {len(interface.inputs)} ({', '.join(i.name for i in interface.inputs)})",
            fix="list the model's inputs in its order",
        )
    by_name = {given.name: given for given in interface.inputs}
    if set(by_name) == set(names):
        return {name: by_name[name] for name in names}
    return dict(zip(names, interface.inputs, strict=True))


def _given_shape(given: Any) -> tuple[int | None, ...]:
    """The input's shape, None where it is flexible."""
    if isinstance(given, ImageInput):
        sizes = [given.size, *given.enumerated]
        flexible = [given.ranges is not None or len({s[axis] for s in sizes}) > 1 for axis in (0, 1)]
        return (1, given.channels, *(None if f else side for f, side in zip(flexible, given.size, strict=True)))
    shapes = [given.default_shape, *given.enumerated]
    return tuple(
        None if isinstance(dim, Range) or len({shape[axis] for shape in shapes}) > 1 else dim
        for axis, dim in enumerate(given.shape)
    )


def _with_shape(name: str, declared: TensorType, given: tuple[int | None, ...]) -> TensorType:
    if declared.shape == () and given == (1,):  # Core ML has no scalar inputs; a vector of one stands for them
        return declared
    shape: Sequence[Dim] = declared.shape if declared.shape is not None else [None] * len(given)
    fits = len(shape) == len(given) and all(
        not isinstance(dim, int) or size == dim for dim, size in zip(shape, given, strict=True)
    )
    if not fits:
        words = " x ".join("flexible" if size is None else str(size) for size in given)
        raise ConversionError(
            f'input "{name}" of the model is {_words(shape)}, the manifest asks for {words}',
            fix="ask for the model's own shape, or export the model with that shape (flexible where it is flexible)",
        )
    bound = [
        size if size is not None else (dim or f"{name}_{axis}")
        for axis, (dim, size) in enumerate(zip(shape, given, strict=True))
    ]
    return TensorType(declared.dtype, tuple(bound))


def _words(shape: Iterable[Dim]) -> str:
    return " x ".join(str(dim) if dim is not None else "?" for dim in shape) or "a scalar"
