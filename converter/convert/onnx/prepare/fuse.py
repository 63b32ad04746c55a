"""Rewrites of a prepared graph where one operator says what several say, better than a MIL pass could.

A layer normalisation in one piece keeps float16 from overflowing in the mean of squares, and a BatchNormalization goes
into its convolution's weights in float64, before anything is rounded. A rewrite replaces a node by others, the last of
which has its outputs; nodes that nobody needs any more are dropped afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from converter.convert.onnx.graph import Graph, Node

_LAYER_NORMALIZATION_OPSET = 17


def fuse(graph: Graph) -> Graph:
    """The graph with nodes made one with their neighbours, in one walk per rewrite."""
    for rewrite in (_fold_batch_normalization, _join_layer_normalization, _scale_layer_normalization, _scale_once):
        graph = _Rewriting(graph).run(rewrite)
    return graph


class _Rewriting:
    """A walk over the nodes that knows who makes and who uses each value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants, self.types = dict(graph.constants), dict(graph.types)
        self.producers: dict[str, Node] = {}
        self.uses: dict[str, int] = {}
        for name in (*(n for node in graph.nodes for n in node.uses), *graph.outputs):
            self.uses[name] = self.uses.get(name, 0) + 1

    def run(self, rewrite: Callable[["_Rewriting", Node], Sequence[Node]]) -> Graph:
        nodes: list[Node] = []
        for node in self.graph.nodes:
            for made in (rewrite(self, node) if node.domain == "" else ()) or (node,):
                self.producers.update(dict.fromkeys(made.outputs, made))
                nodes.append(made)
        return replace(self.graph, nodes=tuple(nodes), constants=self.constants, types=self.types)

    def producer(self, name: str, *op_types: str) -> Node | None:
        """The node that makes a value, if it is one of these ops."""
        node = self.producers.get(name)
        return node if node is not None and node.domain == "" and node.op_type in op_types else None

    def scalar(self, name: str) -> float | None:
        value = self.constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def other(self, node: Node, name: str) -> str | None:
        """Of a node's two inputs the one that is not `name`."""
        others = [given for given in node.inputs if given != name]
        return others[0] if len(others) == 1 else None

    def shape(self, name: str) -> tuple[object, ...] | None:
        type_ = self.graph.types.get(name)
        return type_.shape if type_ is not None else None


def _fold_batch_normalization(walk: _Rewriting, node: Node) -> Sequence[Node]:
    """Conv, then BatchNormalization: one Conv."""
    if node.op_type != "BatchNormalization" or len([o for o in node.outputs if o]) != 1:
        return ()
    given = node.attributes
    if given.get("training_mode", 0) or not given.get("spatial", 1) or (node.opset < 7 and not given.get("is_test", 0)):
        return ()
    conv = walk.producer(node.inputs[0], "Conv")
    if conv is None or walk.uses[conv.outputs[0]] != 1:
        return ()
    names = (*conv.inputs[1:], *node.inputs[1:])
    if any(name and name not in walk.constants for name in names):
        return ()
    weight = walk.constants[conv.inputs[1]]
    scale, shift, mean, variance = (walk.constants[name].astype(np.float64) for name in node.inputs[1:5])
    bias = walk.constants[conv.inputs[2]].astype(np.float64) if len(conv.inputs) > 2 and conv.inputs[2] else 0.0
    factor = scale / np.sqrt(variance + given.get("epsilon", 1e-5))
    folded_weight, folded_bias = f"{node.outputs[0]}.weight", f"{node.outputs[0]}.bias"
    walk.constants[folded_weight] = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
    walk.constants[folded_bias] = ((bias - mean) * factor + shift).astype(weight.dtype)
    return (replace(conv, inputs=(conv.inputs[0], folded_weight, folded_bias), outputs=node.outputs),)


def _join_layer_normalization(walk: _Rewriting, node: Node) -> Sequence[Node]:
    """d = x - mean(x); d / sqrt(mean(d * d) + epsilon), as exporters wrote it before opset 17."""
    if node.op_type != "Div":
        return ()
    centred, deviation = node.inputs
    sub = walk.producer(centred, "Sub")
    root = walk.producer(deviation, "Sqrt")
    add = root and walk.producer(root.inputs[0], "Add")
    if sub is None or add is None:
        return ()
    variance = next((v for name in add.inputs if (v := walk.producer(name, "ReduceMean"))), None)
    mean = walk.producer(sub.inputs[1], "ReduceMean")
    if variance is None or mean is None or mean.inputs[0] != sub.inputs[0]:
        return ()
    epsilon = walk.scalar(walk.other(add, variance.outputs[0]) or "")
    axis = _last_axes(walk, mean)
    if epsilon is None or axis is None or axis != _last_axes(walk, variance):
        return ()
    if not _is_square(walk, variance.inputs[0], centred):
        return ()
    shape = walk.shape(sub.inputs[0]) or ()
    ones = f"{node.outputs[0]}.scale"
    walk.constants[ones] = np.ones([int(str(dim)) for dim in shape[axis:]], np.float32)
    joined = replace(
        node,
        op_type="LayerNormalization",
        opset=_LAYER_NORMALIZATION_OPSET,
        inputs=(sub.inputs[0], ones),
        attributes={"axis": axis, "epsilon": epsilon},
    )
    return (joined,)


def _last_axes(walk: _Rewriting, mean: Node) -> int | None:
    """The first axis of a mean over all last axes, of fixed sizes; None for any other mean."""
    shape = walk.shape(mean.inputs[0])
    if shape is None or not mean.attributes.get("keepdims", 1):
        return None
    axes: Sequence[int] | None = mean.attributes.get("axes")
    if len(mean.inputs) > 1 and mean.inputs[1] in walk.constants:
        axes = walk.constants[mean.inputs[1]].tolist()
    if not axes:
        return None
    rank = len(shape)
    first = min(axis % rank for axis in axes)
    whole = sorted(axis % rank for axis in axes) == list(range(first, rank))
    return first if whole and all(isinstance(dim, int) for dim in shape[first:]) else None


def _is_square(walk: _Rewriting, name: str, of: str) -> bool:
    power = walk.producer(name, "Pow")
    if power is not None:
        return power.inputs[0] == of and walk.scalar(power.inputs[1]) == 2.0
    product = walk.producer(name, "Mul")
    return product is not None and tuple(product.inputs) == (of, of)


def _scale_layer_normalization(walk: _Rewriting, node: Node) -> Sequence[Node]:
    """A constant factor behind a joined layer normalisation becomes its scale, a summand its bias."""
    if node.op_type not in ("Mul", "Add") or node.opset >= _LAYER_NORMALIZATION_OPSET:
        return ()
    for name in node.inputs:
        norm = walk.producer(name, "LayerNormalization")
        other = walk.constants.get(walk.other(node, name) or "")
        if norm is None or other is None or walk.uses[norm.outputs[0]] != 1:
            continue
        scale = walk.constants[norm.inputs[1]]
        if other.shape != scale.shape or (node.op_type == "Mul" and (len(norm.inputs) > 2 or (scale != 1).any())):
            continue
        if node.op_type == "Add" and len(norm.inputs) > 2:
            continue
        place = walk.other(node, name) or ""
        inputs = (norm.inputs[0], place) if node.op_type == "Mul" else (*norm.inputs[:2], place)
        return (replace(norm, inputs=inputs, outputs=node.outputs),)
    return ()


def _scale_once(walk: _Rewriting, node: Node) -> Sequence[Node]:
    """(a * s) @ (b * t) as (a * st) @ b: exporters write the root of attention's scale on both sides.

    Only where st neither enlarges a nor vanishes in float16: 300 twice would leave its range, 1e-5 twice its digits.
    """
    if node.op_type != "MatMul":
        return ()
    left, right = (walk.producer(name, "Mul") for name in node.inputs)
    if left is None or right is None:
        return ()
    scales = [_scaled(walk, side) for side in (left, right)]
    if None in scales or any(walk.uses[side.outputs[0]] != 1 for side in (left, right)):
        return ()
    (a, s), (b, t) = (scale for scale in scales if scale is not None)
    if not float(np.finfo(np.float16).tiny) <= abs(float(s) * float(t)) <= 1:
        return ()
    scaled, factor = f"{node.outputs[0]}.scaled", f"{node.outputs[0]}.factor"
    walk.types[scaled] = walk.types[left.outputs[0]]
    walk.constants[factor] = np.asarray(s.astype(np.float64) * t).astype(s.dtype)
    return (
        replace(left, inputs=(a, factor), outputs=(scaled,)),
        replace(node, inputs=(scaled, b)),
    )


def _scaled(walk: _Rewriting, product: Node) -> tuple[str, np.ndarray] | None:
    """What a product multiplies, and by which one float; None where it multiplies by more."""
    for name in product.inputs:
        factor, other = walk.constants.get(name), walk.other(product, name)
        if factor is None or factor.size != 1 or factor.dtype.kind != "f" or other is None or other in walk.constants:
            continue
        if walk.shape(other) == walk.shape(product.outputs[0]):
            return other, factor.reshape(())
    return None
