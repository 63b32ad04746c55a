"""Which deployment target the nodes of a graph need: each is lowered alone, in front of stand-ins for what it takes.

MIL's ops differ by target. Nodes that look alike are tried once, and no weights are copied, so that a report on a deep
network costs no conversion of it.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from converter.convert.onnx.builder import MAX_RANK, Unsupported, mb, mil_dtype, prod
from converter.convert.onnx.graph import Graph, Node, Subgraph, TensorType
from converter.convert.onnx.lower.lowering import Lowering
from converter.convert.onnx.lower.support import Support
from converter.convert.onnx.views import View
from converter.model import MlpackageTarget, Target

TARGETS: tuple[str, ...] = get_args(MlpackageTarget)  # oldest first
_COMPARED_ELEMENTS = 64  # larger constants are told apart by their type and limits


@dataclass(frozen=True)
class Need:
    """The oldest target that a node converts at; '' and what the newest says where it converts at none."""

    support: Support
    oldest: str


def needs(graph: Graph, targets: Iterable[str] = TARGETS) -> list[Need]:
    """What each node of the graph needs, in the graph's order."""
    targets = tuple(targets)
    seen: dict[Hashable, tuple[str, Support]] = {}
    found = []
    for node in graph.nodes:
        looks = _looks(graph, node)
        if looks not in seen:
            seen[looks] = _tried(graph, node, targets)
        oldest, support = seen[looks]
        found.append(Need(Support(node, support.reason, support.needs if support.node is node else ()), oldest))
    return found


def lowest(found: Iterable[Need]) -> str:
    """The oldest target at which all of it converts, '' where none is."""
    oldest = [need.oldest for need in found]
    return "" if "" in oldest else max(oldest, key=TARGETS.index, default=TARGETS[0])


def way_out(graph: Graph, refused: Iterable[Support], target: Target) -> str:
    """How refused nodes convert after all, where a newer target is enough; else ''."""
    refused = tuple(refused)
    newer = TARGETS[TARGETS.index(target.deployment_target) + 1 :] if target.deployment_target in TARGETS else TARGETS
    if not newer or any(support.needs for support in refused):
        return ""
    oldest = lowest(Need(support, _tried(graph, support.node, newer)[0]) for support in refused)
    if not oldest:
        return ""
    where = "" if target.format == "mlpackage" else "format mlpackage with "
    return f"ask for {where}deployment_target {oldest} or newer, which can do this"


def _tried(graph: Graph, node: Node, targets: Iterable[str]) -> tuple[str, Support]:
    support = Support(node, "")
    for target in targets:
        support = alone(graph, node, target)
        if not support.reason:
            return target, support
    return "", support


def alone(graph: Graph, node: Node, target: str) -> Support:
    """Whether a node converts at a target, whatever becomes of the others."""
    import coremltools as ct
    from coremltools.converters.mil.mil import Function

    lowering = Lowering(graph, "fp32")
    with Function({}, opset_version=getattr(ct.target, target)):
        for name in node.uses:
            if name and name not in graph.constants:
                try:
                    lowering.values[name] = _stand_in(graph.types.get(name))
                except Unsupported:
                    lowering.unknown.add(name)
        lowering.take([node])
    return next(iter(lowering.refused.values()), Support(node, ""))


def _stand_in(type_: TensorType | None) -> Any:
    """A value of a type, of flexible sizes where they are; Unsupported where nothing stands for it."""
    from coremltools.converters.mil.mil import get_new_symbol, types

    if type_ is None or type_.shape is None:
        raise Unsupported("its type is not known")
    dtype = {"fp32": types.fp32, "int32": types.int32, "bool": types.bool}[mil_dtype(type_.dtype, "fp32")]
    dims = [dim if isinstance(dim, int) else get_new_symbol() for dim in type_.shape]
    if len(dims) > MAX_RANK:
        if not all(isinstance(dim, int) for dim in dims):
            raise Unsupported("it is of more dimensions than Core ML has, and flexible")
        flat = mb.placeholder(shape=[prod(dims)], dtype=dtype, name="stand_in").outputs[0]
        return View(flat, tuple(dims), tuple(range(len(dims))))
    return mb.placeholder(shape=dims, dtype=dtype, allow_rank0_input=True, name="stand_in").outputs[0]


def _looks(graph: Graph, node: Node) -> Hashable:
    """What a node's lowering sees of it; nodes that look alike convert alike."""
    if node.refusal or node.subgraphs:
        return node.outputs
    inputs = tuple(_value(graph, name) for name in node.inputs)
    outputs = tuple(graph.types.get(name) if name else None for name in node.outputs)
    return node.domain, node.op_type, node.opset, inputs, outputs, _attributes(node.attributes)


def _value(graph: Graph, name: str) -> Hashable:
    array = graph.constants.get(name)
    if array is None:
        return bool(name), graph.types.get(name), graph.sizes.get(name)
    if array.size <= _COMPARED_ELEMENTS:
        return str(array.dtype), array.shape, array.tobytes()
    limits = (array.min().item(), array.max().item()) if array.dtype.kind in "iuf" else ()
    return str(array.dtype), array.shape, limits


def _attributes(attributes: Mapping[str, Any]) -> Hashable:
    return tuple(
        (name, (str(value.dtype), value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value)
        for name, value in sorted(attributes.items())
        if not isinstance(value, Subgraph)
    )
