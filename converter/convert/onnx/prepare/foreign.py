"""Ops of com.microsoft as onnxruntime knows them: it infers the types that ONNX has no schema for.

https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from collections.abc import Mapping

import onnx
from onnx import helper

DOMAIN = "com.microsoft"
_IN_AI_ONNX = ("SimplifiedLayerNormalization",)  # onnxruntime writes it there, where the standard has no such op
_ORT_IR = 10  # what a one-node model needs; the newest onnxruntime may lag behind onnx's own


def domain_of(op_type: str, domain: str) -> str:
    """The domain whose table has the op."""
    return DOMAIN if domain == "" and op_type in _IN_AI_ONNX else domain


def output_types(
    node: onnx.NodeProto,
    types: Mapping[str, onnx.TypeProto],
    data: Mapping[str, onnx.TensorProto],
    opsets: Mapping[str, int],
) -> dict[str, onnx.TypeProto]:
    """The types of the outputs of a node of com.microsoft, as onnxruntime infers them; none where it has no kernel.

    `types` are those of its inputs, `data` the values of those that may be sizes.
    """
    import onnxruntime

    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    alone.domain = "" if node.op_type in _IN_AI_ONNX else DOMAIN
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    inputs = [onnx.ValueInfoProto(name=name, type=proto) for name, proto in types.items() if name not in data]
    graph = helper.make_graph([alone], "types", inputs, outputs, list(data.values()))
    imports = [helper.make_opsetid(domain, version) for domain, version in {**opsets, DOMAIN: 1}.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=_ORT_IR)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  onnxruntime has no common exception; the type stays unknown
        return {}
    return {value.name: _proto(value.type, value.shape) for value in session.get_outputs()}


def _proto(words: str, shape: list[int | str | None]) -> onnx.TypeProto:
    """`tensor(float)` and a shape as a TypeProto; onnxruntime says [] of a shape that it does not know, too."""
    name = words.removeprefix("tensor(").removesuffix(")").upper()
    return helper.make_tensor_type_proto(onnx.TensorProto.DataType.Value(name), shape or None)
