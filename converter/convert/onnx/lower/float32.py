"""What computes in float32 in a float16 program because of what stands around it.

Float16 holds numbers up to 65504, whole ones exactly up to 2048, and loses digits below 6e-5. So that nothing is
infinite or rounded away between nodes which together say something harmless,

- a sum of squares stays in float32 up to its root, which is of the size of what was squared;
- an angle made of whole numbers, as positions in a text are, stays in float32 up to its sine;
- whole numbers that become floats, are whole numbers again or are compared, stay in float32 all the way;
- a product of integers stays in float32 up to its scale;
- and a number too small for float16's digits multiplies in float32.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from converter.convert.onnx.graph import Graph, Node, every

_SMALLEST = float(np.finfo(np.float16).smallest_normal)

_CUTS = ("Expand", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Unsqueeze")
_MOVES = ("Cast", "Concat", "Identity", "Transpose", *_CUTS)
_SUMS = ("Add", "Clip", "Div", "Max", "Mul", "ReduceMean", "ReduceSum", "Sub", *_MOVES)
_ANGLES = ("Add", "Div", "Einsum", "Gemm", "MatMul", "Mul", "Neg", "Sub", "Where", *_MOVES)
_ROUNDINGS = ("Ceil", "Floor", "Round")
_NUMBERS = ("Abs", "Add", "Clip", "Div", "Exp", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Pow", "Sub", "Where")
_WHOLE = (*_NUMBERS, *_ROUNDINGS, "Reciprocal", "Sqrt", *_MOVES)
_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_FIRST_ONLY = ("Clip", "ReduceMean", "ReduceSum", *_CUTS)  # their other inputs are places, shapes and bounds
_PRODUCTS = ("ConvInteger", "MatMulInteger")


def nodes_in_float32(graph: Graph) -> frozenset[str]:
    """The first outputs of the nodes that compute in float32 in a float16 program."""
    return _Search(graph).found()


class _Search:
    """A walk over a graph's nodes against their direction."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = [node for node in every(graph.nodes) if node.domain == ""]
        self.producers = {name: node for node in self.nodes for name in node.outputs}

    def found(self) -> frozenset[str]:
        roots = [node for node in self.nodes if node.op_type == "Sqrt" or self._is_power(node, 0.5, -0.5)]
        waves = [node for node in self.nodes if node.op_type in ("Sin", "Cos", "Tan")]
        wholes = [n for n in self.nodes if n.op_type in _COMPARISONS or self._casts(n, "float", "int")]
        counted = [node for node in self.nodes if self._casts(node, "int", "float")]
        scales = [node for node in self.nodes if self._scales_product(node)]
        small = [node for node in self.nodes if self._has_small_factor(node)]
        marked = {
            *self._between(roots, self._squares(), _SUMS),
            *self._between(waves, counted, _ANGLES),
            *self._between(wholes, counted, _WHOLE),
            *(node.outputs[0] for node in (*scales, *small)),
        }
        for node in scales:
            marked.update(name for name in node.inputs if self._is_product(name))
        return frozenset(marked - {""})

    def _between(self, ends: Iterable[Node], starts: Sequence[Node], through: Sequence[str]) -> set[str]:
        """The nodes on the way from `starts` to `ends` over ops of `through`, both included."""
        reached = {node.outputs[0] for node in starts}
        carried = {name for node in starts for name in node.outputs if name}
        for node in self.nodes:  # in topological order
            if node.op_type in through and carried.intersection(_carriers(node)):
                reached.add(node.outputs[0])
                carried.update(name for name in node.outputs if name)
        marked: set[str] = set()
        waiting = [node for node in ends if carried.intersection(_carriers(node))]
        while waiting:
            node = waiting.pop()
            if node.outputs[0] in marked:
                continue
            marked.add(node.outputs[0])
            before = (self.producers.get(name) for name in _carriers(node))
            waiting += [other for other in before if other is not None and other.outputs[0] in reached]
        return marked

    def _squares(self) -> list[Node]:
        return [
            node
            for node in self.nodes
            if (node.op_type == "Mul" and node.inputs[0] == node.inputs[1])
            or node.op_type == "ReduceSumSquare"
            or self._is_power(node, 2.0)
        ]

    def _is_power(self, node: Node, *exponents: float) -> bool:
        value = self.graph.constants.get(node.inputs[1]) if node.op_type == "Pow" else None
        return value is not None and value.size == 1 and float(value.reshape(-1)[0]) in exponents

    def _casts(self, node: Node, kind: str, other: str) -> bool:
        """Whether it makes numbers of one kind, `float` or `int`, those of another."""
        given = self.graph.types.get(node.inputs[0]) if node.op_type == "Cast" else None
        made = self.graph.types.get(node.outputs[0])
        return given is not None and made is not None and kind in given.dtype and other in made.dtype

    def _is_product(self, name: str) -> bool:
        cast = self.producers.get(name)
        if cast is None or cast.op_type != "Cast":
            return False
        product = self.producers.get(cast.inputs[0])
        return product is not None and product.op_type in _PRODUCTS

    def _scales_product(self, node: Node) -> bool:
        return node.op_type in ("Mul", "Div") and any(self._is_product(name) for name in node.inputs)

    def _has_small_factor(self, node: Node) -> bool:
        values = [self.graph.constants.get(name) for name in node.inputs] if node.op_type in ("Mul", "Div") else []
        return any(
            value is not None
            and value.dtype.kind == "f"
            and value.size == 1
            and 0 < abs(float(value.reshape(-1)[0])) < _SMALLEST
            for value in values
        )


def _carriers(node: Node) -> tuple[str, ...]:
    """The inputs whose elements the outputs are made of."""
    if node.op_type in _FIRST_ONLY:
        return node.inputs[:1]
    return node.inputs[1:] if node.op_type == "Where" else node.inputs
