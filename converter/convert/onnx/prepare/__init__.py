"""An ONNX model made ready to lower: read, checked, functions inlined, constants folded, shapes inferred."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
from google.protobuf.message import DecodeError
from onnx import helper, serialization
from onnx.external_data_helper import load_external_data_for_model

from converter.convert.onnx.builder import Unsupported
from converter.convert.onnx.graph import Dim, Graph, Node, Subgraph, TensorType
from converter.convert.onnx.prepare import fuse, quantized, sequences, unroll, wire
from converter.convert.onnx.prepare.opsets import checked_opsets
from converter.convert.onnx.prepare.protos import initializers, tensor_type, type_proto, without_elements
from converter.convert.onnx.prepare.scope import Scope, tensors
from converter.convert.onnx.prepare.symbolic import Bounds
from converter.convert.onnx.prepare.walk import Walk
from converter.errors import ConversionError, SourceError
from converter.model import ImageInput, Interface, Range, TensorInput

_PRUNED_BYTES = 1024  # initializers above this size are hidden from the checker and the inliner, which copy models


def prepare(model: onnx.ModelProto | Path, *, interface: Interface | None = None) -> Graph:
    """Read and check an ONNX model and make it ready to lower.

    The interface gives symbolic input dimensions their sizes; a dimension that it leaves flexible stays symbolic.
    Raises SourceError for a file that is not an ONNX model, ConversionError for a model that cannot be prepared.
    """
    proto, weights = _read(model) if isinstance(model, Path) else (model, {})
    opsets = checked_opsets(proto)
    constants = initializers(proto.graph, weights)
    skeleton = _check(_without_weights(proto, weights))
    _refuse_containers(skeleton.graph)
    # An input that holds no elements, which Core ML cannot take, says nothing that is not known.
    constants |= _empty_inputs(skeleton.graph)
    protos = _input_types(skeleton.graph, constants, interface)
    inputs = tuple(protos)
    walk = Walk(
        constants=constants,
        protos=protos,
        functions={(f.domain, f.name, f.overload): f for f in proto.functions},
        openers=unroll.OPENERS | sequences.OPENERS,
        taken={*constants, *inputs, *(name for node in skeleton.graph.node for name in node.output)},
        ir_version=skeleton.ir_version,
        kept=quantized.kept(skeleton.graph.node, (output.name for output in skeleton.graph.output)),
        bounds={} if interface is None else flexible_bounds(protos, interface),
    )
    scope = Scope(opsets)
    for node in skeleton.graph.node:
        walk.visit(node, scope)
    outputs = [_tensor(scope, output.name) for output in skeleton.graph.output]
    for name, output in zip(outputs, skeleton.graph.output, strict=True):
        if name not in walk.types and output.type.WhichOneof("value"):  # other domains have no inference: believed
            walk.types[name] = tensor_type(output.type)
    graph = Graph(
        name=proto.graph.name,
        inputs=inputs,
        outputs=tuple(outputs),
        output_names=tuple(output.name for output in skeleton.graph.output),
        nodes=tuple(walk.nodes),
        constants=walk.constants,
        types=walk.types,
        sizes=walk.sizes.vectors(),
    )
    return without_dead_nodes(fuse.fuse(without_dead_nodes(quantized.rewritten(without_dead_nodes(graph)))))


def _tensor(scope: Scope, name: str) -> str:
    """The value behind an output of the model."""
    try:
        (value,) = tensors([scope.find(name)])
    except Unsupported as error:
        raise ConversionError(
            f'output "{name}" is a sequence or an optional, and Core ML has only tensors',
            fix="let the model give its elements as outputs of their own",
        ) from error
    return value


def without_dead_nodes(graph: Graph) -> Graph:
    """The same graph without nodes and constants that no output needs."""
    nodes, needed = _live(graph.nodes, graph.outputs)
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return replace(graph, nodes=nodes, constants=constants)


def _live(nodes: Sequence[Node], outputs: Iterable[str]) -> tuple[tuple[Node, ...], set[str]]:
    """Of nodes, in subgraphs too, those that the outputs need, and all values that are needed."""
    needed, live = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            if node.subgraphs:
                node = replace(node, attributes={name: _pruned(value) for name, value in node.attributes.items()})
            live.append(node)
            needed.update(node.uses)
    return tuple(reversed(live)), needed


def _pruned(value: Any) -> Any:
    return replace(value, nodes=_live(value.nodes, value.outputs)[0]) if isinstance(value, Subgraph) else value


def _read(path: Path) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model, and those of its weights that it does not hold itself."""
    try:
        if serialization.registry.get_format_from_file_extension(path.suffix) not in (None, "protobuf"):
            return onnx.load(path), {}  # .textproto, .json
        model, weights = wire.read(path)
        weights |= wire.external(model, path.parent)
        load_external_data_for_model(model, str(path.parent))
        return model, weights
    except FileNotFoundError as error:
        raise SourceError(f"{error.filename or path} does not exist", where=(str(path),)) from error
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        raise SourceError(
            f"cannot be read as an ONNX model: {error}",
            where=(str(path),),
            fix="export the model again; a model with external data needs its data files beside it",
        ) from error


def _without_weights(model: onnx.ModelProto, weights: Collection[str]) -> onnx.ModelProto:
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
        if tensor.name not in weights and tensor.ByteSize() <= _PRUNED_BYTES:
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


def _empty_inputs(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    values = ((given.name, without_elements(given.type)) for given in graph.input)
    return {name: value for name, value in values if value is not None}


def _refuse_containers(graph: onnx.GraphProto) -> None:
    for given in graph.input:
        kind = str(given.type.WhichOneof("value")).removesuffix("_type")
        if kind in ("sequence", "optional", "map"):
            raise ConversionError(
                f'input "{given.name}" is {"an" if kind == "optional" else "a"} {kind}, '
                "and Core ML takes and gives tensors only",
                fix="let the model take what is inside as inputs of their own",
            )


def _input_types(
    graph: onnx.GraphProto, constants: Mapping[str, np.ndarray], interface: Interface | None
) -> dict[str, onnx.TypeProto]:
    protos = {value.name: value.type for value in graph.input if value.name not in constants}
    if interface is None:
        return protos
    bound = bound_inputs({name: tensor_type(proto) for name, proto in protos.items()}, interface)
    return {name: type_proto(type_) for name, type_ in bound.items()}


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


def flexible_bounds(protos: Mapping[str, onnx.TypeProto], interface: Interface) -> dict[str, Bounds]:
    """Of each flexible dimension by name; one that several inputs share keeps to what all of them allow."""
    found: dict[str, Bounds] = {}
    for name, given in match_inputs(tuple(protos), interface).items():
        for dim, (low, high) in zip(tensor_type(protos[name]).shape or (), _given_bounds(given), strict=False):
            if isinstance(dim, str):
                least, most = found.get(dim, (low, high))
                found[dim] = (max(low, least), min(high, most))
    return found


def _given_bounds(given: ImageInput | TensorInput) -> list[Bounds]:
    if isinstance(given, ImageInput):
        ranges: Sequence[int | Range] = (1, given.channels, *(given.ranges or given.size))
        shapes: list[tuple[int, ...]] = [(1, given.channels, *size) for size in (given.size, *given.enumerated)]
    else:
        ranges, shapes = given.shape, [given.default_shape, *given.enumerated]
    return [
        (dim.lower, dim.upper) if isinstance(dim, Range) else (min(sizes), max(sizes))
        for dim, *sizes in zip(ranges, *shapes, strict=True)
    ]


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
