"""Operator by operator what converts, with the cases that say so: the table in docs/onnx.md."""

from collections import Counter
from collections.abc import Iterator, Sequence

from converter.ops import Coverage, coverage
from tests.conformance.onnx.cases import Result, cases

_WAYS = {"lowered": "lowered", "resolved": "resolved at conversion", "inlined": "by the standard's function body"}


def table(results: Sequence[Result]) -> str:
    """Each operator, how it converts, and how many of the cases that use it pass (or leave nothing to run)."""
    used = {op: Counter(result.outcome for result in results if op in ops_of(result.name)) for op in every_op(results)}
    found = coverage()
    standard = [op for op in found if not op.domain]
    lines = [
        f"Of the {len(standard)} operators of ai.onnx {sum(bool(op.way) for op in standard)} convert.",
        "",
        "| operator | converts | cases that pass |",
        "| :--- | :--- | ---: |",
    ]
    lines += [f"| {op.name} | {_way(op)} | {_passed(used.get(op.name, Counter()))} |" for op in standard]
    for domain in dict.fromkeys(op.domain for op in found if op.domain):
        names = ", ".join(op.name for op in found if op.domain == domain)
        lines += ["", f"Of {domain}: {names}."]
    return "\n".join(lines)


def _way(op: Coverage) -> str:
    since = f", signatures from {', '.join(map(str, op.since))}" if len(op.since) > 1 else ""
    return _WAYS[op.way] + since if op.way else f"no: {op.reason}"


def _passed(outcomes: Counter[str]) -> str:
    return f"{outcomes['passed'] + outcomes['constant']} of {outcomes.total()}" if outcomes else ""


def every_op(results: Sequence[Result]) -> Iterator[str]:
    return iter(dict.fromkeys(op for result in results for op in ops_of(result.name)))


def ops_of(name: str) -> frozenset[str]:
    """The operators of ai.onnx in a case's graph; none of a case that spells a function body out."""
    if name.endswith("_expanded"):
        return frozenset()
    return frozenset(node.op_type for node in cases()[name].model.graph.node if node.domain in ("", "ai.onnx"))
