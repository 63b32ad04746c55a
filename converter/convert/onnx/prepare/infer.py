"""The types that ONNX infers, node by node."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.shape_inference
from onnx import helper, numpy_helper

from converter.convert.onnx.prepare import foreign
from converter.convert.onnx.prepare.functions import schema, with_defaults
from converter.errors import SourceError

_SHAPE_DATA_ELEMENTS = 1024  # constants up to this size are shown to shape inference; larger ones are never shapes
# Before opset 22 ONNX's inference counts windows of ceil_mode that would begin in the padding; no runtime makes them.
_POOLS, _POOLS_READ_AT = ("AveragePool", "LpPool", "MaxPool"), 22


class Inference:
    """ONNX's shape inference for one node at a time, by the types and constants found so far."""

    def __init__(
        self, constants: Mapping[str, np.ndarray], protos: Mapping[str, onnx.TypeProto], ir_version: int
    ) -> None:
        self.constants = constants
        self.protos = protos
        self.ir_version = ir_version
        self._data: dict[str, onnx.TensorProto] = {}

    def outputs(self, node: onnx.NodeProto, opsets: Mapping[str, int]) -> dict[str, onnx.TypeProto]:
        """The types of a node's outputs, as far as ONNX can tell.

        Raises SourceError where the node contradicts the types of its inputs.
        """
        version = max(opsets.get(node.domain, 0), _POOLS_READ_AT if node.op_type in _POOLS else 0)
        found = schema(node.op_type, node.domain, version)
        known = found is not None or node.domain == foreign.DOMAIN
        if not known or any(name and name not in self.protos for name in node.input):
            return {}
        types = {name: self.protos[name] for name in node.input if name}
        node = with_defaults(node, opsets)
        data = {name: tensor for name in node.input if (tensor := self._small(name)) is not None}
        if found is None:
            return foreign.output_types(node, types, data, opsets)
        imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        try:
            inferred = onnx.shape_inference.infer_node_outputs(
                found, node, types, data, opset_imports=imports, ir_version=self.ir_version
            )
        except onnx.shape_inference.InferenceError as error:
            raise SourceError(
                f"not a valid ONNX model: {str(error).strip()}",
                where=(f'node "{node.name}" ({node.op_type}, opset {opsets.get(node.domain, 0)})',),
                fix="export the model again, or check its input shapes",
            ) from error
        return {name: proto for name, proto in inferred.items() if _is_told(proto)}

    def _small(self, name: str) -> onnx.TensorProto | None:
        value = self.constants.get(name)
        if value is None or value.size > _SHAPE_DATA_ELEMENTS:
            return None
        if name not in self._data:
            self._data[name] = numpy_helper.from_array(value, name)
        return self._data[name]


def _is_told(proto: onnx.TypeProto) -> bool:
    """Whether a type says anything; some schemas give a tensor of no element type."""
    kind = proto.WhichOneof("value")
    return kind is not None and (kind != "tensor_type" or proto.tensor_type.elem_type != 0)
