"""One walk over an ONNX graph in topological order, which leaves nodes that only the running model can compute.

Names are resolved, constants folded, types inferred, functions inlined, and what ONNX has and Core ML has not
(sequences, optionals, loops) is opened where it can be. All of it at once, so that a shape that the graph computes is
known where it is used, be it a loop's count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from converter.convert.onnx.builder import NotConstant, Unsupported
from converter.convert.onnx.graph import Node, Subgraph, TensorType
from converter.convert.onnx.prepare import fold, foreign, functions
from converter.convert.onnx.prepare.infer import Inference
from converter.convert.onnx.prepare.protos import (
    attribute_value,
    initializers,
    tensor_type,
    type_of,
    type_proto,
    without_elements,
)
from converter.convert.onnx.prepare.scope import AI_ONNX, Call, Scope, Value, attributes, names_in, tensors
from converter.convert.onnx.prepare.symbolic import Bounds, Known

_SYNTHETIC_OPSET = 18  # of nodes that stand in no file


Opener: TypeAlias = Callable[["Walk", Call], Sequence[Value]]


@dataclass
class Walk:
    """What was found so far: nodes that are left, constants and types by name.

    `openers` say for ops of ai.onnx what their outputs are; where one raises Unsupported, the node stays, refused.
    """

    constants: dict[str, np.ndarray]
    protos: dict[str, onnx.TypeProto]
    functions: Mapping[tuple[str, str, str], onnx.FunctionProto]
    openers: Mapping[str, Opener]
    taken: set[str]
    ir_version: int
    types: dict[str, TensorType] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    visited: int = 0
    bounds: Mapping[str, Bounds] = field(default_factory=dict)  # of flexible dimensions
    kept: frozenset[str] = frozenset()  # values that stay as small as their nodes hold them
    folding: fold.Folding = field(default_factory=fold.Folding)

    def __post_init__(self) -> None:
        self.sizes = Known(self.constants, self.types, self.bounds)
        for name, proto in self.protos.items():
            self.types[name] = tensor_type(proto)
        for name, value in self.constants.items():
            self._hold(name, value)
        self.inference = Inference(self.constants, self.protos, self.ir_version)

    def visit(self, proto: onnx.NodeProto, scope: Scope) -> None:
        """Take one node, after those it needs."""
        self.visited += 1
        domain = foreign.domain_of(proto.op_type, "" if proto.domain in AI_ONNX else proto.domain)
        call = Call(
            op_type=proto.op_type,
            domain=domain,
            name=f"{scope.prefix}{proto.name}" if proto.name else "",
            inputs=tuple(scope.find(name) for name in proto.input),
            outputs=tuple(proto.output),
            attributes=attributes(proto, scope),
            scope=scope,
        )
        function = self.functions.get((domain, proto.op_type, proto.overload))
        nodes = len(self.nodes)
        try:
            values: Sequence[Value]
            if function is not None:
                values = self.call(function, call)
            elif domain == "" and proto.op_type in self.openers:
                values = self.openers[proto.op_type](self, call)
            else:
                values = self._plain(call)
        except Unsupported as error:
            del self.nodes[nodes:]
            values = self._refused(call, error)
        for name, value in zip(proto.output, values, strict=False):
            if name:
                scope.values[name] = value

    def call(self, function: onnx.FunctionProto, call: Call) -> list[Value]:
        """The values of a function's outputs, its body inlined."""
        opsets = {"" if o.domain in AI_ONNX else o.domain: o.version for o in function.opset_import}
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        scope = Scope({**call.scope.opsets, **opsets}, call.prefix, None, {**defaults, **call.attributes})
        for index, name in enumerate(function.input):
            scope.values[name] = call.inputs[index] if index < len(call.inputs) else ""
        for node in function.node:
            self.visit(node, scope)
        return [scope.find(name) for name in function.output]

    def enclosed(self, graph: onnx.GraphProto, inputs: Sequence[Value], scope: Scope) -> list[Value]:
        """The values of a graph's outputs, its nodes taken into the graph around it; `scope` is its own."""
        for name, array in initializers(graph).items():
            scope.values[name] = self.constant(array, f"{scope.prefix}{name}")
        scope.values.update((given.name, value) for given, value in zip(graph.input, inputs, strict=False))
        for node in graph.node:
            self.visit(node, scope)
        return [scope.find(output.name) for output in graph.output]

    def subgraph(self, graph: onnx.GraphProto, inputs: Sequence[onnx.TypeProto], scope: Scope) -> Subgraph:
        """A graph that the running model enters; raises Unsupported where it gives what is no tensor."""
        names = []
        for given, proto in zip(graph.input, inputs, strict=True):
            name = self.fresh(f"{scope.prefix}{given.name}")
            self._type(name, proto)
            names.append(name)
        around, self.nodes = self.nodes, []
        try:
            outputs = self.enclosed(graph, names, scope)
            nodes, self.nodes = self.nodes, around
        finally:
            self.nodes = around
        return Subgraph(graph.name, tuple(names), tuple(tensors(outputs)), tuple(nodes))

    def emit(self, call: Call, attributes: Mapping[str, Any], types: Sequence[onnx.TypeProto | None]) -> list[str]:
        """Leave a node to the running model; the names of its outputs."""
        outputs = [self._define(call, name) for name in call.outputs]
        for name, proto in zip(outputs, types, strict=False):
            if name and proto is not None:
                self._type(name, proto)
        self.nodes.append(_node(call, tensors(call.inputs), outputs, attributes))
        return outputs

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """The outputs of an op of ai.onnx that stands in no file."""
        names = [self.fresh(op_type) for _ in range(outputs)]
        scope = Scope({"": _SYNTHETIC_OPSET})
        self.visit(helper.make_node(op_type, inputs, names, **attributes), scope)
        return tensors([scope.find(name) for name in names])

    def constant(self, value: np.ndarray, name: str = "constant") -> str:
        """A constant under a name of its own."""
        name = self.fresh(name)
        self._hold(name, value)
        return name

    def known(self, value: Value) -> np.ndarray | None:
        """A tensor's value where it is known at conversion."""
        return self.constants.get(value) if isinstance(value, str) else None

    def fresh(self, name: str) -> str:
        """A name that nothing has yet."""
        chosen, count = name, 1
        while chosen in self.taken:
            count += 1
            chosen = f"{name}_{count}"
        self.taken.add(chosen)
        return chosen

    def _define(self, call: Call, name: str) -> str:
        """The name in the whole model of an output that has `name` in its scope."""
        if not name or (not call.scope.prefix and call.scope.outer is None):
            return name
        return self.fresh(f"{call.scope.prefix}{name}")

    def _plain(self, call: Call) -> list[Value]:
        """An op of tensors: folded, inlined where only its function body can be lowered, or left."""
        call = self._simplified(call)
        inputs = tensors(call.inputs)
        outputs = [self._define(call, name) for name in call.outputs]
        if (call.domain, call.op_type) == ("", "Constant") and self.kept.isdisjoint(outputs):
            (attribute,) = call.attributes.values()
            self._hold(outputs[0], fold.constant(attribute))
            return list(outputs)
        node = onnx.NodeProto(op_type=call.op_type, domain=call.domain, name=call.name, input=inputs, output=outputs)
        node.attribute.extend(call.attributes.values())
        values = self._folded(call, node)
        if values is not None:
            for name, value in zip(outputs, values, strict=True):
                if name:
                    self._hold(name, value)
            return list(outputs)
        if (call.domain, call.op_type) == ("", "Size"):
            return list(self.op("ReduceProd", *self.op("Shape", inputs[0]), keepdims=0))
        types = self.inference.outputs(node, call.scope.opsets)
        function = functions.body(node, call.scope.opsets, self.protos)
        if function is not None:
            return self._filled_in(self.call(function, call), [types.get(name) for name in outputs])
        for name, proto in types.items():
            self._type(name, proto)
        attributes = {name: attribute_value(attribute) for name, attribute in call.attributes.items()}
        if call.domain == "":
            self._size(call.op_type, inputs, outputs, attributes)
        left = [name for name in outputs if name and not (name in self.constants or self._is_empty(name))]
        if not left:
            return list(outputs)
        if (call.domain, call.op_type) == ("", "Split") and any(name in self.constants for name in outputs):
            return self._split(inputs[0], outputs, call.attribute("axis", 0))
        self.nodes.append(_node(call, inputs, outputs, attributes))
        return list(outputs)

    def _split(self, name: str, outputs: Sequence[str], axis: int) -> list[Value]:
        """A Split without those of its outputs that are empty."""
        parts = [output for output in outputs if output not in self.constants]
        shapes = [self.types[part].shape for part in parts]
        lengths = np.array([shape[axis] for shape in shapes if shape is not None], np.int64)
        values = dict(
            zip(parts, self.op("Split", name, self.constant(lengths), outputs=len(parts), axis=axis), strict=True)
        )
        return [values.get(output, output) for output in outputs]

    def _simplified(self, call: Call) -> Call:
        """The same with less: CastLike of a known type is a Cast, and nothing is concatenated with nothing."""
        if (call.domain, call.op_type) == ("", "CastLike"):
            proto = self.protos.get(tensors(call.inputs)[1])
            if proto is not None and proto.tensor_type.elem_type:
                to = helper.make_attribute("to", proto.tensor_type.elem_type)
                return replace(call, op_type="Cast", inputs=call.inputs[:1], attributes={**call.attributes, "to": to})
        if (call.domain, call.op_type) == ("", "Concat"):
            full = tuple(name for name in call.inputs if (value := self.known(name)) is None or value.size)
            return replace(call, inputs=full or call.inputs)
        if (call.domain, call.op_type) in (("", "Reshape"), ("", "Expand"), ("", "Slice")):
            attributes = {name: attribute_value(attribute) for name, attribute in call.attributes.items()}
            said = self.sizes.shorter(call.op_type, tensors(call.inputs), attributes) or {}
            if said:
                places = [self.constant(said[i]) if i in said else name for i, name in enumerate(call.inputs)]
                kept = {name: value for name, value in call.attributes.items() if name != "allowzero"}
                return replace(call, inputs=tuple(places), attributes=kept)
        return call

    def _size(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]) -> None:
        """Say what is known of a node's sizes: the shape of its first output, and values that are sizes themselves."""
        for name in outputs:
            type_ = self.types.get(name)
            if type_ is None or (type_.shape is not None and None not in type_.shape):
                continue
            ruled = op_type if name == outputs[0] else ""
            shape = self.sizes.refined(ruled, inputs, name, type_.shape, attributes)
            if shape is not None:
                self._type(name, type_proto(replace(type_, shape=shape)))
        self.sizes.follow(op_type, inputs, outputs, attributes)
        for name in outputs:
            type_ = self.types.get(name)
            value = self.sizes.plain(name, type_.dtype) if type_ is not None else None
            if value is not None:
                self._hold(name, value)

    def _folded(self, call: Call, node: onnx.NodeProto) -> list[np.ndarray] | None:
        """The node's outputs where they are known, else None."""
        if call.domain not in ("", foreign.DOMAIN) or not self.kept.isdisjoint(node.output):
            return None
        if call.op_type in ("Shape", "Size"):
            return self._shape(call)
        foldable = all(name in self.constants for name in node.input if name) and call.op_type not in fold.RANDOM
        if not foldable or any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            return None
        return self.folding.outputs(node, self.constants, call.scope.opsets)

    def _shape(self, call: Call) -> list[np.ndarray] | None:
        type_ = self.types.get(tensors(call.inputs)[0])
        if type_ is None or type_.shape is None:
            return None
        dims = type_.shape[slice(call.attribute("start"), call.attribute("end"))]
        if not all(isinstance(dim, int) for dim in dims):
            return None
        sizes = np.array(dims, np.int64)
        return [np.array(sizes.prod(), np.int64) if call.op_type == "Size" else sizes]

    def _filled_in(self, values: Sequence[Value], types: Sequence[onnx.TypeProto | None]) -> list[Value]:
        """The outputs of a function, with the types that its schema tells where its body does not."""
        for value, proto in zip(values, types, strict=False):
            if isinstance(value, str) and value and proto is not None and value not in self.protos:
                self._type(value, proto)
        return list(values)

    def _is_empty(self, name: str) -> bool:
        """Whether a value is known to have no elements, and therefore to be known at conversion."""
        value = without_elements(self.protos[name]) if name in self.protos else None
        if value is not None:
            self._hold(name, value)
        return value is not None

    def _refused(self, call: Call, error: Unsupported) -> list[Value]:
        """The outputs of a node that cannot be opened, which stays with the reason."""
        outputs = [self._define(call, name) for name in call.outputs]
        node = _node(call, names_in(call.inputs), outputs, {})
        parameters = error.parameters if isinstance(error, NotConstant) else ()
        schema = functions.schema(call.op_type, call.domain, call.opset)
        needs = [
            value
            for given, value in zip(schema.inputs if schema else (), call.inputs, strict=False)
            if given.name in parameters and isinstance(value, str)
        ]
        self.nodes.append(replace(node, refusal=str(error), needs=tuple(needs)))
        return list(outputs)

    def _hold(self, name: str, value: np.ndarray) -> None:
        self.constants[name] = value
        self.types[name] = type_of(value)
        self.protos[name] = type_proto(self.types[name])

    def _type(self, name: str, proto: onnx.TypeProto) -> None:
        self.protos[name] = proto
        self.types[name] = tensor_type(proto)


def _node(call: Call, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]) -> Node:
    return Node(
        op_type=call.op_type,
        domain=call.domain,
        opset=call.opset,
        name=call.name,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes=attributes,
    )
