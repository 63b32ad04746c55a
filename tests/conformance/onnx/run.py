"""onnx's cases through the whole way on any machine; the command behind `script/conformance onnx`."""

import argparse
import gc
import logging
import multiprocessing
import re
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import onnx

from converter.model import Format
from tests import marks
from tests.conformance.onnx import coverage
from tests.conformance.onnx.cases import KINDS, Result, cases, is_sampled, judge

KNOWN = Path(__file__).with_name("known.toml")
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/conformance.md"
README = ROOT / "README.md"
OPERATORS = ROOT / "docs/onnx.md"
RIGHT = ("passed", "constant")


def judged(name: str, format: Format = "mlpackage") -> Result:
    """In a worker, which has the cases from its parent."""
    # coremltools' packages are deleted with the folder: the exit at which it would do so never comes in a worker.
    with tempfile.TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
        return judge(cases()[name], Path(folder), format)


def run(
    names: Sequence[str],
    *,
    jobs: int,
    format: Format = "mlpackage",
    tell: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Judge the cases, `jobs` at a time. One that takes its process with it has crashed."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    cases()
    import coremltools  # noqa: F401  before the fork, once for all

    gc.collect()
    gc.freeze()  # each conversion collects garbage: 0.2 s over the objects of coremltools and onnx
    results: dict[str, Result] = {}
    left = list(names)
    together = True
    while left:
        suspects = left if together else left[:1]
        with ProcessPoolExecutor(jobs if together else 1, multiprocessing.get_context("fork")) as pool:
            try:
                for result in pool.map(partial(judged, format=format), suspects, chunksize=10 if together else 1):
                    results[result.name] = result
                    tell(result)
            except BrokenProcessPool:
                if not together:
                    name = suspects[0]
                    results[name] = Result(name=name, kind=cases()[name].kind, outcome="crashed", reason="died")
                together = not together
        left = [name for name in names if name not in results]
    return [results[name] for name in names]


def known(path: Path = KNOWN, format: Format = "mlpackage") -> dict[re.Pattern[str], str]:
    """The listed cases, each entry a pattern for the whole name with its reason: in any format, and in this one."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))
    both = {**listed.get(format, {}), **listed.get("cases", {})}
    return {re.compile(pattern): reason for pattern, reason in both.items()}


def reason_for(name: str, listed: Mapping[re.Pattern[str], str]) -> str:
    return next((reason for pattern, reason in listed.items() if pattern.fullmatch(name)), "")


def verdict(results: Sequence[Result], listed: Mapping[re.Pattern[str], str]) -> Iterator[str]:
    """What is wrong with a run: cases that fail and are not listed, and listed ones that pass."""
    for result in results:
        reason = reason_for(result.name, listed)
        if result.outcome in RIGHT and reason:
            yield f"{result.name} is listed as failing and {result.outcome}: take it from the list"
        elif result.outcome not in RIGHT and not reason:
            yield f"{result.outcome} {result.name}: {result.reason}"


def summary(results: Sequence[Result], listed: Mapping[re.Pattern[str], str]) -> str:
    """The figures in Markdown: one row for each kind of cases, then the reasons."""
    lines = [
        "| cases | all | passed | of them answered at conversion | nothing left to run | refused | wrong or crashed |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in KINDS:
        own = [r for r in results if r.kind == kind]
        count = Counter(r.outcome for r in own)
        fixed = sum(r.fixed for r in own if r.outcome == "passed")
        wrong = count["different"] + count["crashed"]
        cells = (len(own), count["passed"], fixed, count["constant"], count["refused"], wrong)
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    reasons = Counter(reason_for(r.name, listed) or r.outcome for r in results if r.outcome not in RIGHT)
    if reasons:
        lines += ["", "| cases | why they do not pass |", "| ---: | :--- |"]
        lines += [f"| {count} | {reason} |" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def sentence(results: Sequence[Result]) -> str:
    """The figures in one line."""
    node, torch = ([r for r in results if (r.kind == "node") is is_node] for is_node in (True, False))
    passed = [f"{sum(r.outcome == 'passed' for r in own):,} of {len(own):,}" for own in (node, torch)]
    return (
        f"Of the cases that onnx {onnx.__version__} tests its own runtimes with, {passed[0]} for operators and "
        f"{passed[1]} exported from PyTorch pass the whole way: converted, saved, loaded and run."
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/conformance onnx", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="PATTERN", help="cases whose name holds one of these patterns")
    parser.add_argument("--one-in", type=int, default=1, help="a sample of one case in so many (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default: %(default)s)")
    parser.add_argument("--format", choices=get_args(Format), default="mlpackage", help="default: %(default)s")
    parser.add_argument("--list", type=Path, metavar="FILE", help="write what became of each case")
    options = parser.parse_args()
    names = [
        name
        for name in cases()
        if is_sampled(name, options.one_in) and any(re.search(p, name) for p in options.only or [""])
    ]
    if not names:
        sys.exit("no case has such a name")
    results = run(names, jobs=options.jobs, format=options.format)
    if options.list:
        words = (
            f"{r.outcome}\t{r.kind}\t{r.name}\t{','.join(r.baked)}\t{' '.join(r.reason.split())}\n" for r in results
        )
        options.list.write_text("".join(words), encoding="utf-8")
    listed = known(format=options.format)
    complaints = list(verdict(results, listed))
    print(*complaints, summary(results, listed), sep="\n")
    if options.one_in == 1 and not options.only:
        marks.write(PAGE, f"onnx, {options.format}", summary(results, listed))
    if options.one_in == 1 and not options.only and options.format == "mlpackage":
        marks.write(README, "onnx", sentence(results))
        marks.write(OPERATORS, "operators", coverage.table(results))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
