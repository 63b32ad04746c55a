"""Weights that stay quantized, and quantized products that are said in floats.

A DequantizeLinear of a constant is not folded where what uses it takes weights: its lowering writes it as small as it
is. What rearranges such a weight rearranges its levels. onnxruntime's dynamic quantizer multiplies integers and scales
the sums; the same is said with each factor scaled first, which float16 can hold.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from converter.convert.onnx.graph import Graph, Node, TensorType
from converter.convert.onnx.prepare.foreign import DOMAIN
from converter.convert.onnx.prepare.protos import type_of

# Which input of an op is a weight. A MatMul's may stand on either side.
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "FusedConv": (1,),
    "FusedGemm": (1,),
    "FusedMatMul": (1,),
    "Gather": (0,),
    "Gemm": (1,),
    "MatMul": (0, 1),
}
_DEQUANTIZE_OPSET = 21
_TABLE = 1024  # elements from which on a table of levels is worth the trouble


def kept(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> frozenset[str]:
    """The outputs of DequantizeLinear that are not to be folded, though they may be constant."""
    uses: dict[str, list[tuple[onnx.NodeProto, int]]] = {name: [] for name in outputs}
    taken = set(outputs)
    nodes = list(nodes)
    for node in nodes:
        for place, name in enumerate(node.input):
            uses.setdefault(name, []).append((node, place))

    def is_weight(name: str) -> bool:
        return name not in taken and bool(uses.get(name)) and all(fits(*use) for use in uses[name])

    def fits(node: onnx.NodeProto, place: int) -> bool:
        if node.op_type == "Transpose":
            return is_weight(node.output[0])
        return place in _WEIGHTS.get(node.op_type, ())

    return frozenset(n.output[0] for n in nodes if n.op_type == "DequantizeLinear" and is_weight(n.output[0]))


def rewritten(graph: Graph) -> Graph:
    """The graph with weights in the order in which they are multiplied, and integer products said in floats."""
    if not any(node.op_type in ("DequantizeLinear", "Cast") for node in graph.nodes):
        return graph
    walk = _Rewriting(graph)
    for node in graph.nodes:
        walk.take(node)
    return replace(graph, nodes=tuple(walk.nodes), constants=walk.constants, types=walk.types)


@dataclass
class _Rewriting:
    """The nodes taken so far, who makes each value, and how often it is used."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    makers: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = dict(self.graph.constants)
        self.types = dict(self.graph.types)
        self.uses: dict[str, int] = {}
        self.tables: dict[str, Node] = {}
        self.rearranged: dict[tuple[str, tuple[int, ...]], str] = {}
        for name in (*(name for node in self.graph.nodes for name in node.uses), *self.graph.outputs):
            self.uses[name] = self.uses.get(name, 0) + 1

    def take(self, node: Node) -> None:
        other = self.integer_product(node) or self.looked_up(node)
        if other is not None:
            return self.take(other)
        if (node.domain, node.op_type) == ("", "Transpose") and (weight := self.weight(node.inputs[0])) is not None:
            rank = self.constants[weight.inputs[0]].ndim
            perm = node.attributes.get("perm") or tuple(reversed(range(rank)))
            self.rearranged[weight.outputs[0], perm] = node.outputs[0]
            return self.add(self.permuted(weight, perm, node.outputs[0]))
        if (node.domain, node.op_type) == ("", "Gather") and self.is_table(node.inputs[0]):
            return self.look_up_levels(node)
        self.add(self.with_columns(node))
        return None

    def is_table(self, name: str) -> bool:
        value = self.constants.get(name)
        return value is not None and value.dtype in (np.int8, np.uint8) and value.size >= _TABLE

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        self.makers.update(dict.fromkeys(node.outputs, node))

    def maker(self, name: str, *op_types: str) -> Node | None:
        node = self.makers.get(name)
        return node if node is not None and node.domain == "" and node.op_type in op_types else None

    def weight(self, name: str) -> Node | None:
        """The DequantizeLinear of constants that makes a value."""
        node = self.maker(name, "DequantizeLinear")
        return node if node is not None and all(n in self.constants for n in node.inputs if n) else None

    def with_columns(self, node: Node) -> Node:
        """A product by a weight [in, out] as one by [out, in], which is what Core ML's `linear` takes."""
        if node.domain or node.op_type not in ("MatMul", "Gemm") or node.attributes.get("transB"):
            return node
        weight = self.weight(node.inputs[1])
        left = self.types.get(node.inputs[0])
        if weight is None or self.constants[weight.inputs[0]].ndim != 2 or left is None:
            return node
        if left.shape is None or len(left.shape) < 2:
            return node
        columns = self.transposed(weight)
        inputs = (node.inputs[0], columns, *node.inputs[2:])
        attributes = {**node.attributes, "transB": 1}
        if node.op_type == "Gemm":
            return replace(node, inputs=inputs, attributes=attributes)
        return replace(node, op_type="FusedMatMul", domain=DOMAIN, opset=1, inputs=inputs, attributes=attributes)

    def transposed(self, weight: Node) -> str:
        """The weight's transpose, by name; the one there is where it was transposed before."""
        for (name, perm), other in self.rearranged.items():
            if perm == (1, 0) and weight.outputs[0] == other:
                return name
        key = (weight.outputs[0], (1, 0))
        if key not in self.rearranged:
            self.rearranged[key] = f"{weight.outputs[0]}.transposed"
            self.add(self.permuted(weight, (1, 0), self.rearranged[key]))
        return self.rearranged[key]

    def permuted(self, weight: Node, perm: tuple[int, ...], output: str) -> Node:
        """The same levels with their axes in another order."""
        names = [f"{output}.{place}" if name else "" for place, name in enumerate(weight.inputs)]
        rank = self.constants[weight.inputs[0]].ndim
        for name, given in zip(names, weight.inputs, strict=True):
            if name:
                value = self.constants[given]
                moved = np.ascontiguousarray(value.transpose(perm)) if value.ndim == rank else value
                self.constants[name] = moved
                self.types[name] = type_of(moved)
        dtype = self.types[weight.outputs[0]].dtype
        self.types[output] = TensorType(dtype, self.constants[names[0]].shape)
        attributes = dict(weight.attributes)
        if self.opset_has_axis(weight):
            attributes["axis"] = perm.index(attributes.get("axis", 1) % rank)
        return replace(weight, inputs=tuple(names), outputs=(output,), attributes=attributes)

    def opset_has_axis(self, weight: Node) -> bool:
        """Before opset 13, and of a lone scale, there is no axis."""
        return self.constants[weight.inputs[1]].size > 1

    def looked_up(self, node: Node) -> Node | None:
        """Rows of a table of levels, dequantized: rows of the dequantized table, which stays as small."""
        gather = self.tables.get(node.inputs[0]) if node.op_type == "DequantizeLinear" else None
        if gather is None or self.uses[gather.outputs[0]] != 1:
            return None
        if any(name and (name not in self.constants or self.constants[name].size > 1) for name in node.inputs[1:]):
            return None
        self.add(self.table(node, gather, (gather.inputs[0], *node.inputs[1:])))
        return replace(gather, inputs=(self.nodes[-1].outputs[0], gather.inputs[1]), outputs=node.outputs)

    def table(self, node: Node, gather: Node, inputs: tuple[str, ...]) -> Node:
        """The dequantized table of a Gather, for this node."""
        name = f"{node.outputs[0]}.table"
        self.types[name] = TensorType("float32", self.constants[gather.inputs[0]].shape)
        return Node("DequantizeLinear", "", _DEQUANTIZE_OPSET, f"{node.name}.table", inputs, (name,), {})

    def look_up_levels(self, gather: Node) -> None:
        """Rows of a table of levels that stay levels: of a weight, because Core ML would hold each in 32 bits."""
        self.tables[gather.outputs[0]] = gather
        rows, step = f"{gather.outputs[0]}.rows", f"{gather.outputs[0]}.step"
        self.constants[step] = np.ones((), np.float32)
        self.types[step] = type_of(self.constants[step])
        self.add(self.table(gather, gather, (gather.inputs[0], step)))
        self.add(replace(gather, inputs=(self.nodes[-1].outputs[0], gather.inputs[1]), outputs=(rows,)))
        type_ = self.types[gather.inputs[0]]
        self.types[rows] = replace(self.types[gather.outputs[0]], dtype="float32")
        to = onnx.TensorProto.DataType.Value(type_.dtype.upper())
        self.add(replace(gather, op_type="Cast", inputs=(rows,), attributes={"to": to}))

    def integer_product(self, node: Node) -> Node | None:
        """Cast(ConvInteger or MatMulInteger) * (scale of a * scale of b): the product of what the two stand for."""
        if (node.domain, node.op_type) != ("", "Mul"):
            return None
        for sums, scale in (node.inputs, tuple(reversed(node.inputs))):
            cast = self.maker(sums, "Cast")
            product = self.maker(cast.inputs[0], "ConvInteger", "MatMulInteger") if cast is not None else None
            scales = self.maker(scale, "Mul")
            if cast is None or product is None or scales is None:
                continue
            if self.uses[sums] != 1 or self.uses[cast.inputs[0]] != 1:
                continue
            factors = self.scales(scales, product)
            if factors is not None:
                return self.in_floats(node, product, *factors)
        return None

    def scales(self, product_of_scales: Node, product: Node) -> tuple[str, str] | None:
        """Which scale is the run-time input's, which the constant weight's."""
        known = [name for name in product_of_scales.inputs if name in self.constants]
        if len(known) != 1 or product.inputs[1] not in self.constants:
            return None
        other = next(name for name in product_of_scales.inputs if name not in self.constants)
        type_ = self.types.get(other)
        one = type_ is not None and type_.shape is not None and all(dim == 1 for dim in type_.shape)
        return (other, known[0]) if one else None

    def in_floats(self, node: Node, product: Node, scale: str, weight_scale: str) -> Node:
        stem = node.outputs[0]
        zero, weight_zero = (*product.inputs[2:], "", "")[:2]
        columns = product.op_type == "MatMulInteger"
        axis = self.constants[product.inputs[1]].ndim - 1 if columns else 0
        steps = f"{stem}.scale"
        self.constants[steps] = self.constants[weight_scale].reshape(-1)
        self.types[steps] = type_of(self.constants[steps])
        if self.constants[steps].size == 1:
            self.constants[steps] = self.constants[steps].reshape(())
        inputs = ((product.inputs[0], scale, zero), (product.inputs[1], steps, weight_zero))
        factors = (f"{stem}.input", f"{stem}.weight")
        for name, given, attributes in zip(factors, inputs, ({}, {"axis": axis}), strict=True):
            self.types[name] = TensorType(self.types[stem].dtype, self.types[given[0]].shape)
            self.add(
                Node(
                    op_type="DequantizeLinear",
                    domain="",
                    opset=_DEQUANTIZE_OPSET,
                    name=f"{node.name}.{name.rpartition('.')[2]}",
                    inputs=given if given[2] else given[:2],
                    outputs=(name,),
                    attributes=attributes,
                )
            )
        op_type = product.op_type.removesuffix("Integer")
        return replace(product, op_type=op_type, opset=node.opset, inputs=factors, outputs=node.outputs)
