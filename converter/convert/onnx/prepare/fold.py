"""Nodes over constants alone, computed: by onnxruntime, or by ONNX's reference evaluator where that lacks a kernel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from converter.convert.onnx.prepare.protos import array_of, attribute_value, dense_array, type_of, type_proto

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
# On x86 without VNNI onnxruntime adds two products of uint8 and int8 in 16 bits, saturated: ONNX's own evaluator is
# exact. https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "reduce-range"
_SATURATED = {
    "ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QAttention", "QGemm",
    "QLinearConv", "QLinearMatMul",
}  # fmt: skip
_ALIKE_BYTES = 1 << 16  # what holds more is not looked for among what was computed before
_ORT_IR = 10  # what a one-node model needs; the newest onnxruntime may lag behind onnx's own


def constant(attribute: onnx.AttributeProto) -> np.ndarray:
    """The value of a Constant, by its only attribute."""
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


class Folding:
    """Nodes over constants alone, computed; those that are alike once, as exporters spell the same masks out again."""

    def __init__(self) -> None:
        self._known: dict[Any, list[np.ndarray] | None] = {}

    def outputs(
        self, node: onnx.NodeProto, constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]
    ) -> list[np.ndarray] | None:
        """The outputs of a node, all of whose inputs are known; one that it leaves out is empty. None: nobody can say.

        They are read-only, for several nodes may share them.
        """
        feeds = [constants[name] if name else None for name in node.input]
        if any(v.dtype.hasobject or v.nbytes > _ALIKE_BYTES for v in feeds if v is not None):
            return _evaluated(node, constants, opsets)
        alike = onnx.NodeProto(op_type=node.op_type, domain=node.domain, attribute=node.attribute)
        given = tuple(None if v is None else (v.dtype.str, v.dtype.name, v.shape, v.tobytes()) for v in feeds)
        key = (
            alike.SerializeToString(deterministic=True), opsets.get(node.domain), given, tuple(map(bool, node.output)),
        )  # fmt: skip
        if key not in self._known:
            self._known[key] = _evaluated(node, constants, opsets)
        return self._known[key]


def _evaluated(
    node: onnx.NodeProto, constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]
) -> list[np.ndarray] | None:
    feeds = {name: constants[name] for name in dict.fromkeys(node.input) if name}
    inputs = [onnx.ValueInfoProto(name=name, type=type_proto(type_of(value))) for name, value in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "fold", inputs, outputs)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    values = _run(helper.make_model(graph, opset_imports=imports, ir_version=_ORT_IR), feeds)
    if values is None:
        return None
    for value in values:
        value.flags.writeable = False
    by_name = dict(zip((o.name for o in outputs), values, strict=True))
    return [by_name.get(name, np.empty(0)) for name in node.output]


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        if model.graph.node[0].op_type not in _SATURATED:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            return [np.asarray(value) for value in session.run(None, dict(feeds))]
    except Exception:  # noqa: BLE001  onnxruntime has no common exception; the reference decides
        pass
    from onnx.reference import ReferenceEvaluator  # all of its operators: a fifth of a second

    try:
        return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, dict(feeds))]
    except Exception:  # noqa: BLE001  an op without an evaluator is not folded, and is lowered or reported as a node
        return None
