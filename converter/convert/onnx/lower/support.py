"""What of a graph can be lowered, what not and why; all of it at once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from converter.convert.onnx.builder import NotConstant, Unsupported
from converter.convert.onnx.graph import Graph, Node, every
from converter.convert.onnx.lower.binding import Input, bind, find, is_sizes, must_be_known
from converter.errors import UnsupportedOpsError
from converter.registry import BindError, Parameter


@dataclass(frozen=True)
class Support:
    """A node and why it cannot be lowered ('' if it can); `needs` are its inputs that must be known at conversion."""

    node: Node
    reason: str
    needs: tuple[str, ...] = ()


def examined(graph: Graph, node: Node) -> Support:
    """Whether the node can be lowered, as far as can be said without building it."""
    needs = []

    def adapt(value: Any, parameter: Parameter) -> Any:
        if isinstance(value, Input) and value.name not in graph.constants and _is_needed(value.name, parameter, graph):
            needs.append((value.name, parameter.name))
        return value

    try:
        bind(node, graph.types, adapt)
    except (BindError, Unsupported) as error:
        return refused(node, error)
    if needs:
        names, parameters = zip(*needs, strict=True)
        return Support(node, str(NotConstant(*parameters)), names)
    return Support(node, "")


def _is_needed(name: str, parameter: Parameter, graph: Graph) -> bool:
    return must_be_known(parameter) or (is_sizes(parameter) and name not in graph.sizes)


def refused(node: Node, error: BindError | Unsupported) -> Support:
    """The node, with what its lowering complained of."""
    reason = str(error)
    if isinstance(error, BindError) and error.parameter and repr(error.parameter) not in reason:
        reason = f"parameter {error.parameter!r} {reason}"
    needs = _inputs(node, error.parameters) if isinstance(error, NotConstant) else ()
    return Support(node, reason, (*node.needs, *needs))


def _inputs(node: Node, parameters: Sequence[str]) -> Iterable[str]:
    """The values that fill these parameters of the node's lowering."""
    slots = find(node).parameters
    for index, name in enumerate(node.inputs):
        slot = next((p for p in slots[: index + 1] if p.variadic), None) or slots[index]
        if name and slot.name in parameters:
            yield name


def unsupported(refused: Sequence[Support], graph: Graph) -> UnsupportedOpsError:
    nodes = "\n".join(f"  {entry.node}: {entry.reason}" for entry in refused)
    ops = ", ".join(f"{n} x {op}" for op, n in Counter(entry.node.op_type for entry in refused).most_common())
    error = UnsupportedOpsError(
        f"{len(refused)} nodes cannot be converted ({ops}):\n{nodes}",
        fix="rewrite these parts of the model with other operators, or cut them off and do them in the app",
    )
    error.inputs = upstream(graph, {name for entry in refused for name in entry.needs})
    return error


def upstream(graph: Graph, names: Iterable[str]) -> frozenset[str]:
    """The graph's inputs on which values depend."""
    needed = set(names)
    for node in reversed(tuple(every(graph.nodes))):
        if needed.intersection(node.outputs):
            needed.update(node.uses)
    return frozenset(needed.intersection(graph.inputs))
