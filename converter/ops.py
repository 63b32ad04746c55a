"""The command `ops`: what our ONNX frontend can lower, and what of a model it can."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.ops.absent import REASONS

if TYPE_CHECKING:
    from converter.convert.onnx.graph import Graph
    from converter.convert.onnx.lower.targets import Need


@dataclass(frozen=True)
class Coverage:
    """One operator and what becomes of it.

    `way` is `lowered` (`since` holds the versions at which its signature changes), `resolved` at conversion, `inlined`
    from the standard's function body, or '' where it does not convert, for a `reason`.
    """

    domain: str
    name: str
    way: str
    since: tuple[int, ...] = ()
    reason: str = ""


def coverage() -> list[Coverage]:
    """All operators of ai.onnx, then those of other operator sets that convert, by name."""
    import onnx.defs

    from converter.convert.onnx.prepare import sequences, unroll

    lowered = {
        (domain, name): tuple(op.since for op in versions)
        for domain, table in TABLES.items()
        for name, versions in groupby(table, key=lambda op: op.name)
    }
    resolved = {"Constant", "Size", *unroll.OPENERS, *sequences.OPENERS}
    found = []
    for schema in sorted((s for s in onnx.defs.get_all_schemas() if s.domain == ""), key=lambda s: s.name):
        name = schema.name
        if since := lowered.pop(("", name), ()):
            found.append(Coverage("", name, "lowered", since))
        elif name in resolved:
            found.append(Coverage("", name, "resolved"))
        elif schema.has_function or schema.has_context_dependent_function:  # type: ignore[attr-defined]
            found.append(Coverage("", name, "inlined"))
        else:
            found.append(Coverage("", name, "", reason=REASONS[name]))
    return found + [Coverage(domain, name, "lowered", since) for (domain, name), since in sorted(lowered.items())]


def listed() -> Iterator[str]:
    """Every operator by operator set and by what becomes of it."""
    words = {"lowered": "", "resolved": ", resolved at conversion", "inlined": ", inlined from function bodies"}
    words[""] = ", which do not convert"
    for (domain, way), group in groupby(
        sorted(coverage(), key=lambda c: (c.domain, list(words).index(c.way))), key=lambda c: (c.domain, c.way)
    ):
        ops = list(group)
        yield f"{domain or 'ai.onnx'}{words[way]}: {len(ops)} ops"
        for op in ops:
            since = f" (from versions {', '.join(map(str, op.since))})" if len(op.since) > 1 else ""
            yield f"  {op.name}{since}" + (f": {op.reason}" if op.reason else "")


def of_model(path: Path) -> tuple[list[str], bool]:
    """Op by op what of an ONNX file converts, and whether all of it does.

    Raises SourceError or ConversionError where the file cannot be read.
    """
    from converter.convert.coreml import quiet
    from converter.convert.onnx.graph import every
    from converter.convert.onnx.lower.targets import TARGETS, lowest, needs
    from converter.convert.onnx.prepare import prepare

    with quiet():
        graph = prepare(path)
        found = needs(graph)
    inner = sum(1 for _ in every(graph.nodes)) - len(graph.nodes)
    refused = [need.support for need in found if not need.oldest]
    lines = [
        f"{path}: {len(found)} nodes after folding"
        + (f" and {inner} in branches and loops" if inner else "")
        + f", {len(refused)} of them do not convert"
    ]
    by_op = sorted(found, key=_op)
    for op, group in groupby(by_op, key=_op):
        nodes = list(group)
        bad = sum(not need.oldest for need in nodes)
        newest = max((need.oldest for need in nodes if need.oldest), key=TARGETS.index, default=TARGETS[0])
        words = f"{bad} do not convert" if bad else "converts" + (f" from {newest} on" if newest != TARGETS[0] else "")
        lines.append(f"  {len(nodes):5} {op}: {words}")
    lines += [f"  {support.node}: {support.reason}" for support in refused]
    lines += _narrowed(graph)
    if not refused:
        lines.append(f"all of it converts from deployment_target {lowest(found)} on")
    return lines, not refused


def _op(need: "Need") -> str:
    node = need.support.node
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _narrowed(graph: "Graph") -> Iterator[str]:
    """What Core ML holds in fewer bits than the model says."""
    made = [name for node in graph.nodes for name in node.outputs]
    count = Counter(graph.types[name].dtype for name in (*graph.inputs, *made) if name in graph.types)
    for wide, narrow in (("float64", "float32"), ("int64", "int32"), ("uint32", "int32"), ("uint64", "int32")):
        if count[wide]:
            yield f"  {count[wide]} values of type {wide} are computed as {narrow}"
