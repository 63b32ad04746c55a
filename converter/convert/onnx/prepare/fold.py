"""Nodes over constants alone, computed: by onnxruntime, or by ONNX's reference evaluator where that lacks a kernel."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
    """Nodes over constants alone, computed; those that are alike once, as exporters spell the same masks out again.

    A session of onnxruntime takes longer to make than most nodes to compute: nodes that differ in their inputs' values
    and shapes alone share one.
    """

    def __init__(self) -> None:
        self._known: dict[Any, list[np.ndarray] | None] = {}
        self._runs: dict[Any, _Run] = {}

    def outputs(
        self, node: onnx.NodeProto, constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]
    ) -> list[np.ndarray] | None:
        """The outputs of a node, all of whose inputs are known; one that it leaves out is empty. None: nobody can say.

        They are read-only, for several nodes may share them.
        """
        places = {name: f"i{place}" for place, name in enumerate(dict.fromkeys(node.input)) if name}
        feeds = {place: constants[name] for name, place in places.items()}
        alike = onnx.NodeProto(
            op_type=node.op_type,
            domain=node.domain,
            attribute=node.attribute,
            input=[places.get(name, "") for name in node.input],
            output=[name and f"o{place}" for place, name in enumerate(node.output)],
        )
        kind = (
            alike.SerializeToString(deterministic=True), opsets.get(node.domain),
            tuple(value.dtype for value in feeds.values()),
        )  # fmt: skip
        if kind not in self._runs:
            self._runs[kind] = _Run(alike, feeds, opsets)
        if any(value.dtype.hasobject or value.nbytes > _ALIKE_BYTES for value in feeds.values()):
            return self._runs[kind](feeds)
        key = kind, tuple((value.shape, value.tobytes()) for value in feeds.values())
        if key not in self._known:
            self._known[key] = self._runs[kind](feeds)
        return self._known[key]


class _Run:
    """A node with inputs of some types, ready to be computed."""

    def __init__(self, node: onnx.NodeProto, feeds: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> None:
        inputs = [
            onnx.ValueInfoProto(name=name, type=type_proto(replace(type_of(value), shape=None)))
            for name, value in feeds.items()
        ]
        self._node = node
        self._graph = helper.make_graph(
            [node], "fold", inputs, [onnx.ValueInfoProto(name=name) for name in node.output if name]
        )
        self._imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        self._session = None if node.op_type in _SATURATED else _session(self._model())

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
        values = self._computed(dict(feeds))
        if values is None:
            return None
        for value in values:
            value.flags.writeable = False
        by_name = dict(zip((name for name in self._node.output if name), values, strict=True))
        return [by_name.get(name, np.empty(0)) for name in self._node.output]

    def _computed(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
        if self._session is not None:
            with suppress(Exception):  # onnxruntime has no common exception; the reference decides
                return [np.asarray(value) for value in self._session.run(None, feeds)]
        from onnx.reference import ReferenceEvaluator  # all of its operators: a fifth of a second

        try:
            return [np.asarray(value) for value in ReferenceEvaluator(self._model()).run(None, feeds)]
        except Exception:  # noqa: BLE001  an op without an evaluator is not folded, and is lowered or reported as a node
            return None

    def _model(self) -> onnx.ModelProto:
        return helper.make_model(self._graph, opset_imports=self._imports, ir_version=_ORT_IR)


def _session(model: onnx.ModelProto) -> Any:
    """onnxruntime's session, or None for an op that it lacks."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # which would keep what the largest node took
    with suppress(Exception):  # it has no common exception
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return None
