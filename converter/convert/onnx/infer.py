"""One walk over an ONNX graph in topological order: constants folded, identities resolved, types inferred.

Both at once, so that a shape that the graph computes is known where it is used. Constants are folded by onnxruntime, or
by ONNX's reference evaluator where onnxruntime lacks a kernel.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.shape_inference
from onnx import helper, numpy_helper

from converter.convert.onnx.graph import Node, TensorType
from converter.errors import SourceError

AI_ONNX = ("", "ai.onnx")
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_SHAPE_DATA_ELEMENTS = 1024  # constants up to this size are shown to shape inference; larger ones are never shapes
_ORT_IR = 10  # what a one-node model needs; the newest onnxruntime may lag behind onnx's own


def array_of(tensor: onnx.TensorProto) -> np.ndarray:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise SourceError(
            f'the data of initializer "{tensor.name}" is in another file, which was not read',
            fix="give the path of the model, or load it with onnx.load(path)",
        )
    return numpy_helper.to_array(tensor)


def dense_array(sparse: onnx.SparseTensorProto) -> np.ndarray:
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


def tensor_type(proto: onnx.TypeProto) -> TensorType:
    """The record of a tensor's TypeProto; a sequence, map or optional is named as its dtype."""
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return TensorType(str(kind).removesuffix("_type"), None)
    tensor = proto.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in tensor.shape.dim)
    return TensorType(dtype_name(tensor.elem_type), dims if tensor.HasField("shape") else None)


def dtype_name(elem_type: int) -> str:
    name: str = onnx.TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _type_proto(type_: TensorType) -> onnx.TypeProto:
    name = {"float32": "FLOAT", "float64": "DOUBLE"}.get(type_.dtype, type_.dtype.upper())
    return helper.make_tensor_type_proto(onnx.TensorProto.DataType.Value(name), type_.shape)


class Walk:
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
        domain = "" if proto.domain in AI_ONNX else proto.domain
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
    return TensorType(dtype_name(helper.np_dtype_to_tensor_dtype(value.dtype)), value.shape)


def _constant(node: onnx.NodeProto) -> np.ndarray:
    attribute = node.attribute[0]
    match attribute.name:
        case "value":
            return array_of(attribute.t)
        case "sparse_value":
            return dense_array(attribute.sparse_tensor)
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
        return array_of(value)
    if isinstance(value, str | int | float) or not isinstance(value, Iterable):
        return value
    return tuple(item.decode() if isinstance(item, bytes) else item for item in value)


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
