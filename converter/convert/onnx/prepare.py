"""An ONNX model made ready to lower: read, checked, functions inlined, constants folded, shapes inferred.

One walk in topological order does the last two together, so that a shape that the graph computes is known where it is
used. Constants are folded by onnxruntime, or by ONNX's reference evaluator where onnxruntime lacks a kernel.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.inliner
import onnx.shape_inference
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from converter.convert.onnx import fuse
from converter.convert.onnx.graph import Dim, Graph, Node, TensorType
from converter.errors import ConversionError, SourceError
from converter.model import ImageInput, Interface, Range

OLDEST_OPSET = 6
_AI_ONNX = ("", "ai.onnx")
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_SHAPE_DATA_ELEMENTS = 1024  # constants up to this size are shown to shape inference; larger ones are never shapes
_PRUNED_BYTES = 1024  # initializers above this size are hidden from the checker and the inliner, which copy models


def prepare(model: onnx.ModelProto | Path, *, interface: Interface | None = None) -> Graph:
    """Read and check an ONNX model and make it ready to lower.

    The interface gives symbolic input dimensions their sizes; a dimension that it leaves flexible stays symbolic.
    Raises SourceError for a file that is not an ONNX model, ConversionError for a model that cannot be prepared.
    """
    proto = _read(model) if isinstance(model, Path) else model
    opsets = _opsets(proto)
    constants = {tensor.name: _array(tensor) for tensor in proto.graph.initializer}
    for sparse in proto.graph.sparse_initializer:
        constants[sparse.values.name] = _dense(sparse)
    skeleton = _inline(_check(_without_weights(proto)))
    walk = _Walk(opsets, skeleton.ir_version, constants, _input_types(skeleton.graph, constants, interface))
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
    opsets = {"" if o.domain in _AI_ONNX else o.domain: o.version for o in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = opsets.setdefault("", 1)
    if not OLDEST_OPSET <= version <= newest:
        raise ConversionError(
            f"the model is of ai.onnx opset {version}; {OLDEST_OPSET} to {newest} can be converted",
            fix=f"export it again at an opset in that range, 18 for example (onnx {onnx.__version__} is installed)",
        )
    return opsets


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise SourceError(
            f'the data of initializer "{tensor.name}" is in another file, which was not read',
            fix="give the path of the model, or load it with onnx.load(path)",
        )
    return numpy_helper.to_array(tensor)


def _dense(sparse: onnx.SparseTensorProto) -> np.ndarray:
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


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


def tensor_type(proto: onnx.TypeProto) -> TensorType:
    """The record of a tensor's TypeProto; a sequence, map or optional is named as its dtype."""
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return TensorType(str(kind).removesuffix("_type"), None)
    tensor = proto.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in tensor.shape.dim)
    return TensorType(_dtype_name(tensor.elem_type), dims if tensor.HasField("shape") else None)


def _dtype_name(elem_type: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _type_proto(type_: TensorType) -> onnx.TypeProto:
    name = {"float32": "FLOAT", "float64": "DOUBLE"}.get(type_.dtype, type_.dtype.upper())
    return helper.make_tensor_type_proto(onnx.TensorProto.DataType.Value(name), type_.shape)


class _Walk:
    """One pass over the nodes: constants folded, identities resolved, types inferred."""

    def __init__(
        self,
        opsets: Mapping[str, int],
        ir_version: int,
        constants: dict[str, np.ndarray],
        types: dict[str, TensorType],
    ) -> None:
        self.opsets = opsets
        self.imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        self.ir_version = ir_version
        self.constants = constants
        self.types = types
        self.types.update((name, _type_of(value)) for name, value in constants.items())
        self.protos = {name: _type_proto(type_) for name, type_ in types.items()}
        self.data: dict[str, onnx.TensorProto] = {}
        self.aliases: dict[str, str] = {}
        self.nodes: list[Node] = []

    def visit(self, proto: onnx.NodeProto) -> None:
        domain = "" if proto.domain in _AI_ONNX else proto.domain
        inputs = [self.aliases.get(name, name) for name in proto.input]
        if domain == "" and proto.op_type == "Identity":
            self.aliases[proto.output[0]] = inputs[0]
            return
        resolved = onnx.NodeProto()
        resolved.CopyFrom(proto)
        resolved.domain = domain
        del resolved.input[:]
        resolved.input.extend(inputs)
        values = self._fold(resolved)
        if values is not None:
            for name, value in zip(proto.output, values, strict=True):
                self._set_constant(name, value)
            return
        for name, type_ in self._infer(resolved).items():
            self.protos[name] = type_
            self.types[name] = tensor_type(type_)
        self.nodes.append(
            Node(
                op_type=proto.op_type,
                domain=domain,
                opset=self.opsets.get(domain, 0),
                name=proto.name,
                inputs=tuple(inputs),
                outputs=tuple(proto.output),
                attributes={a.name: attribute_value(a) for a in proto.attribute},
            )
        )

    def _set_constant(self, name: str, value: np.ndarray) -> None:
        self.constants[name] = value
        self.types[name] = _type_of(value)
        self.protos[name] = _type_proto(self.types[name])

    def _fold(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        """The node's outputs where they are known, else None."""
        if node.domain != "":
            return None
        if node.op_type == "Constant":
            return [_constant(node)]
        if node.op_type in ("Shape", "Size"):
            return self._shape(node)
        if node.op_type == "CastLike" and node.input[0] in self.constants and node.input[1] in self.protos:
            node = helper.make_node(  # only the type of its second input matters
                "Cast", node.input[:1], node.output, to=self.protos[node.input[1]].tensor_type.elem_type
            )
        foldable = all(name in self.constants for name in node.input if name) and node.op_type not in _RANDOM
        if not foldable or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            return None
        return self._evaluate(node)

    def _shape(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        type_ = self.types.get(node.input[0])
        if type_ is None or type_.shape is None or not all(isinstance(dim, int) for dim in type_.shape):
            return None
        dims = np.array(type_.shape, np.int64)
        if node.op_type == "Size":
            return [np.array(dims.prod(), np.int64)]
        bounds = {a.name: a.i for a in node.attribute}
        return [dims[slice(bounds.get("start"), bounds.get("end"))]]

    def _evaluate(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        names = [name for name in dict.fromkeys(node.input) if name]
        feeds = {name: self.constants[name] for name in names}
        inputs = [onnx.ValueInfoProto(name=name, type=self.protos[name]) for name in names]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "fold", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.imports, ir_version=min(self.ir_version, _ORT_IR))
        values = _run(model, feeds)
        if values is None:
            return None
        by_name = dict(zip((o.name for o in outputs), values, strict=True))
        return [by_name.get(name, np.empty(0)) for name in node.output]

    def _infer(self, node: onnx.NodeProto) -> Mapping[str, onnx.TypeProto]:
        version = self.opsets.get(node.domain, 0)
        if not onnx.defs.has(node.op_type, node.domain) or any(name and name not in self.protos for name in node.input):
            return {}
        types = {name: self.protos[name] for name in node.input if name}
        data = {name: tensor for name in node.input if (tensor := self._small(name)) is not None}
        try:
            schema = onnx.defs.get_schema(node.op_type, version, node.domain)
            return onnx.shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=self.imports, ir_version=self.ir_version
            )
        except onnx.shape_inference.InferenceError as error:
            raise SourceError(
                f"not a valid ONNX model: {str(error).strip()}",
                where=(f'node "{node.name}" ({node.op_type}, opset {version})',),
                fix="export the model again, or check its input shapes",
            ) from error
        except onnx.defs.SchemaError:
            return {}

    def _small(self, name: str) -> onnx.TensorProto | None:
        value = self.constants.get(name)
        if value is None or value.size > _SHAPE_DATA_ELEMENTS:
            return None
        if name not in self.data:
            self.data[name] = numpy_helper.from_array(value, name)
        return self.data[name]


def _type_of(value: np.ndarray) -> TensorType:
    return TensorType(_dtype_name(helper.np_dtype_to_tensor_dtype(value.dtype)), value.shape)


def _constant(node: onnx.NodeProto) -> np.ndarray:
    attribute = node.attribute[0]
    match attribute.name:
        case "value":
            return _array(attribute.t)
        case "sparse_value":
            return _dense(attribute.sparse_tensor)
        case "value_float" | "value_floats":
            return np.array(attribute_value(attribute), np.float32)
        case "value_int" | "value_ints":
            return np.array(attribute_value(attribute), np.int64)
    return np.array(attribute_value(attribute), object)


def attribute_value(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a Python value: int, float, str, a tuple of them, an array, or a protobuf graph."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    if isinstance(value, str | int | float) or not isinstance(value, Iterable):
        return value
    return tuple(item.decode() if isinstance(item, bytes) else item for item in value)


_ORT_IR = 10  # what a one-node model needs; the newest onnxruntime may lag behind onnx's own


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """The outputs of a small model: from onnxruntime, else from ONNX's reference, else None (it is lowered instead)."""
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, dict(feeds))]
    except Exception:  # noqa: BLE001  onnxruntime has no common exception; the reference decides
        pass
    try:
        return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, dict(feeds))]
    except Exception:  # noqa: BLE001  an op without an evaluator is not folded, and is lowered or reported as a node
        return None


def consumers(graph: Graph) -> Counter[str]:
    """How often each value is used, a graph output counting once."""
    return Counter(name for node in graph.nodes for name in node.inputs) + Counter(graph.outputs)
