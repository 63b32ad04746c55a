"""Whole networks against onnxruntime; the command behind `script/conformance nets`. It goes on where it stopped."""

import argparse
import hashlib
import importlib.metadata
import json
import multiprocessing
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from tests import marks
from tests.conformance.nets.judge import FLOOR_DB, Result, judge, nets

KNOWN = Path(__file__).with_name("known.toml")
ROOT = Path(__file__).parents[3]
RESULTS = ROOT / ".conformance"
PAGE = ROOT / "docs/conformance.md"
RIGHT = ("passed", "not exported")
TIME_LIMIT_S = 1800
_LIBRARIES = ("coremltools", "numpy", "onnx", "onnxruntime", "onnxscript", "torch", "torchvision", "transformers")


def fingerprint() -> str:
    """Of all that decides a result: the conversion, the evaluator, the nets and the libraries."""
    digest = hashlib.sha256()
    for folder in ("converter/convert", "converter/evaluate", "tests/conformance/nets"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library}=={importlib.metadata.version(library)}".encode())
    return digest.hexdigest()[:16]


def judged(net: str, exporter: str) -> Result:
    """A net in a process of its own, which gives its memory back and may die; what it wrote is deleted here."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("fork").Process(target=_send, args=(net, exporter, folder, sender))
        process.start()
        sender.close()
        try:
            answered = receiver.poll(TIME_LIMIT_S)
            return Result(**receiver.recv()) if answered else _lost(net, exporter, f"no answer in {TIME_LIMIT_S} s")
        except EOFError:
            return _lost(net, exporter, "its process died")
        finally:
            process.kill()
            process.join()


def _send(net: str, exporter: str, folder: str, sender: Connection) -> None:
    tempfile.tempdir = folder  # of coremltools' packages, too
    sender.send(asdict(judge(nets()[net], exporter, Path(folder))))


def _lost(net: str, exporter: str, reason: str) -> Result:
    return Result(net=net, exporter=exporter, group=nets()[net].group, outcome="crashed", reason=reason)


def known() -> dict[str, str]:
    """`net exporter` and why it does not reach what is asked for."""
    return dict(tomllib.loads(KNOWN.read_text(encoding="utf-8")).get("nets", {}))


def verdict(results: Sequence[Result], listed: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a run: nets that fail and are not listed, and listed ones that pass."""
    for result in results:
        if result.outcome in RIGHT and result.name in listed:
            yield f"{result.name} is listed as failing and {result.outcome}: take it from the list"
        elif result.outcome not in RIGHT and result.name not in listed:
            yield f"{result.outcome} {result.name}: {result.reason}"


def summary(results: Sequence[Result], listed: Mapping[str, str]) -> str:
    """The figures in Markdown: one row for each group and exporter, the nets that miss, then each net."""
    lines = [
        f"PSNR of at least {FLOOR_DB['float32']:.0f} dB in float32 and {FLOOR_DB['float16']:.0f} dB in float16.",
        "",
        "| nets | exporter | all | passed | not exported by torch | lowest float32 | lowest float16 |",
        "| :--- | :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for group, exporter in dict.fromkeys((r.group, r.exporter) for r in results):
        own = [r for r in results if (r.group, r.exporter) == (group, exporter)]
        passed = [r for r in own if r.outcome == "passed"]
        lowest = [
            f"{min(values):.1f} dB"
            for values in ([r.float32_db for r in passed], [r.float16_db for r in passed])
            if values
        ]
        cells = (len(own), len(passed), sum(r.outcome == "not exported" for r in own), *(lowest or ("", "")))
        lines.append(f"| {group} | {exporter} | {' | '.join(map(str, cells))} |")
    missing = [r for r in results if r.outcome not in RIGHT]
    if missing:
        lines += ["", "| net | exporter | what lacks | why |", "| :--- | :--- | :--- | :--- |"]
        lines += [f"| {r.net} | {r.exporter} | {_cell(r)} | {listed.get(r.name, 'not explained')} |" for r in missing]
    lost = [r for r in results if r.outcome == "not exported"]
    if lost:
        lines += [
            "",
            "What torch's exporters do not write:",
            "",
            "| net | exporter | in their words |",
            "| :--- | :--- | :--- |",
        ]
        lines += [f"| {r.net} | {r.exporter} | {_cell(r)} |" for r in lost]
    return "\n".join(lines)


def _cell(result: Result) -> str:
    words = result.reason if result.outcome in ("low", "not exported") else f"{result.outcome}: {result.reason}"
    return words.replace("|", "/")[:160]


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/conformance nets", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="PATTERN", help="nets whose name holds one of these patterns")
    parser.add_argument(
        "--exporter", choices=("torchscript", "dynamo"), help="one of torch's exporters (default: both)"
    )
    parser.add_argument("--again", action="store_true", help="begin anew, though results of the same code are there")
    options = parser.parse_args()
    chosen = [
        (net.name, exporter)
        for exporter in ("torchscript", "dynamo")
        for net in nets().values()
        if exporter in net.exporters
        and options.exporter in (None, exporter)
        and any(re.search(pattern, net.name) for pattern in options.only or [""])
    ]
    if not chosen:
        sys.exit("no net has such a name")
    _warm_up()
    store = RESULTS / f"nets-{fingerprint()}.jsonl"
    store.parent.mkdir(exist_ok=True)
    if options.again:
        store.unlink(missing_ok=True)
    done = _stored(store)
    results = []
    for net, exporter in chosen:
        result = done.get(f"{net} {exporter}")
        if result is None:
            result = judged(net, exporter)
            with store.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(result)) + "\n")
            print(
                f"{result.outcome} {result.name} {result.float32_db} {result.float16_db} dB, {result.seconds} s",
                end=" ",
            )
            print(result.reason, flush=True)
        results.append(result)
    listed = known()
    complaints = list(verdict(results, listed))
    print(*complaints, summary(results, listed), sep="\n")
    for exporter in dict.fromkeys(exporter for _, exporter in chosen) if not options.only else ():
        own = [result for result in results if result.exporter == exporter]
        marks.write(PAGE, f"nets, {exporter}", summary(own, listed))
    return int(bool(complaints))


def _warm_up() -> None:
    """The libraries once for all processes."""
    import coremltools  # noqa: F401
    import onnxscript  # noqa: F401
    import transformers  # noqa: F401

    import converter.convert.onnx.lower
    import converter.evaluate.evaluated  # noqa: F401


def _stored(path: Path) -> dict[str, Result]:
    if not path.exists():
        return {}
    results = [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {result.name: result for result in results}


if __name__ == "__main__":
    sys.exit(main())
