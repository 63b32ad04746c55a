"""The command `ops`: what our ONNX frontend can lower, and what of a model it can."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from converter.convert.onnx.ops import TABLES


def listed() -> Iterator[str]:
    """Every op that has a lowering, with the versions at which its signature changes, by operator set."""
    for domain, table in TABLES.items():
        ops = {name: [op.since for op in versions] for name, versions in groupby(table, key=lambda op: op.name)}
        yield f"{domain or 'ai.onnx'}: {len(ops)} ops"
        for name, since in ops.items():
            yield f"  {name}" + (f" (from versions {', '.join(map(str, since))})" if len(since) > 1 else "")


def of_model(path: Path) -> tuple[list[str], bool]:
    """Op by op what of an ONNX file converts, and whether all of it does.

    Raises SourceError or ConversionError where the file cannot be read.
    """
    from converter.convert.onnx.support import report

    nodes = report(path)
    refused = [entry for entry in nodes if entry.reason]
    count = Counter(entry.node.op_type for entry in nodes)
    bad = Counter(entry.node.op_type for entry in refused)
    lines = [f"{path}: {len(nodes)} nodes after folding, {len(refused)} of them do not convert"]
    for name, number in sorted(count.items()):
        lines.append(f"  {number:5} {name}: " + (f"{bad[name]} do not convert" if bad[name] else "converts"))
    lines += [f"  {entry.node}: {entry.reason}" for entry in refused]
    return lines, not refused
