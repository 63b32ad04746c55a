"""How fast ONNX files become Core ML packages, in what memory, and how large: against the other ways there are.

    .venv/bin/python benchmarks/convert.py [--folder /tmp/convert] [--rounds 3] [--only NAME] [--peers PYTHON] [--write]

Each model is made with seeded weights and exported once (about 6 GB of disk, kept in --folder). Each conversion, from
the ONNX file to the saved float16 ML Program for iOS16, runs in a process of its own after its imports; the times are
the fastest of the rounds. `coremltools` starts from a torch trace that is made already, since it reads no ONNX.
--peers names a Python that has onnx2torch, onnxsim and onnx2coreml beside coremltools; those that it lacks are left
out. --write puts the tables into docs/onnx.md.
"""

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
from measuring import say, size_bytes, status_bytes, table, took
from nets import Net, bert_base, module_and_input, of_torchvision, transformer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "onnx.md"
OPSET = 17
IMAGE = (1, 3, 224, 224)
NETS = {
    **{name: Net(of_torchvision(name), IMAGE) for name in ("mobilenet_v2", "resnet50", "vit_b_16")},
    **{name: Net(of_torchvision(name), IMAGE) for name in ("convnext_tiny", "swin_t")},
    "transformer, 16 blocks": Net(transformer(256, 16), (1, 128, 256)),
    "transformer, 64 blocks": Net(transformer(256, 64), (1, 128, 256)),
    "transformer, 256 blocks": Net(transformer(256, 256), (1, 128, 256)),
    "bert_base": Net(bert_base, (1, 128), tokens=30000),
    "transformer of 1.5 GB": Net(transformer(704), (1, 128, 704)),
}
OURS, TRACE = "ours", "coremltools"
PEERS = ("onnx2torch", "onnxsim", "onnx2coreml")
SPEED_TARGET, GROWTH_TARGET, MEMORY_TARGET, LARGE_BYTES = 4.0, 4.4, 1.5, 500e6
TIME_HEAD = f"| model | {OURS} | {TRACE} | {' | '.join(PEERS)} | the quickest of them / {OURS} |"
RESULT_HEAD = (
    f"| model | ONNX | peak, {OURS} | peak / weights | ops, {OURS} | ops, {TRACE} | file, {OURS} | file, {TRACE} |"
)


@dataclass(frozen=True)
class Result:
    """One way's conversion of one model; `seconds` is the fastest round's, `peak_bytes` over what the imports took."""

    seconds: float
    peak_bytes: int
    ops: int
    file_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "convert-benchmark")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="the models whose name contains this")
    parser.add_argument("--peers", default="", metavar="PYTHON", help="a Python that has the other converters")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/onnx.md")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.job:
        print(json.dumps(JOBS[said.job[0]](said.folder, *said.job[1:])))
        return
    said.folder.mkdir(parents=True, exist_ok=True)
    pythons = {OURS: sys.executable, TRACE: sys.executable} | dict.fromkeys(PEERS if said.peers else (), said.peers)
    found: dict[str, dict[str, Result | str]] = {}
    for name in (name for name in NETS if said.only in name):
        if not onnx_file(said.folder, name).exists():
            measuring.job(__file__, said.folder, "make", name)
        found[name] = {way: measured(said.folder, name, way, pythons[way], said.rounds) for way in pythons}
        say(time_row(name, found[name]))
    text = "\n\n".join(page(said.folder, found, said.peers))
    if said.write:
        measuring.write(PAGE, text)
    print(text)


def onnx_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.onnx"


def measured(folder: Path, name: str, way: str, python: str, rounds: int) -> Result | str:
    """The fastest of the rounds, or in words why there is none."""
    results = []
    for _ in range(rounds):
        try:
            results.append(Result(**measuring.job(__file__, folder, "convert", name, way, python=python)))
        except measuring.JobError as error:
            last = str(error).splitlines()[-1]
            say(f"{name}, {way}: {last}")
            return f"fails ({last.split(':')[0]})"
        if results[-1].seconds > 60:
            break
    return min(results, key=lambda result: result.seconds)


def make(folder: Path, name: str) -> None:
    """Export a net to ONNX, and trace it."""
    import torch

    module, x = module_and_input(NETS[name])
    torch.backends.mha.set_fastpath_enabled(False)  # neither exporter knows its op
    with torch.no_grad():
        torch.jit.trace(module, x, check_trace=False).save(str(folder / f"{name}.pt"))
        unfinished = folder / "unfinished.onnx"
        torch.onnx.export(
            module, (x,), unfinished, opset_version=OPSET, input_names=["x"], output_names=["y"], dynamo=False
        )
    unfinished.rename(onnx_file(folder, name))


def convert(folder: Path, name: str, way: str) -> dict[str, float]:
    """Convert one model by one way, with the imports done before."""
    import coremltools as ct

    run = WAYS[way]()
    before = measuring.count_peak_from_here()
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        path = Path(fresh) / "model.mlpackage"
        seconds, _ = took(lambda: run(folder, name, path))
        peak = status_bytes("VmHWM") - before
        spec = ct.models.utils.load_spec(str(path))
        [block] = spec.mlProgram.functions["main"].block_specializations.values()
        ops = sum(operation.type != "const" for operation in block.operations)
        return {"seconds": seconds, "peak_bytes": peak, "ops": ops, "file_bytes": size_bytes(path)}


Way = Callable[[Path, str, Path], None]


def by_us() -> Way:
    import converter

    for module in ("onnxruntime", "converter.convert.onnx.lower"):
        importlib.import_module(module)

    def run(folder: Path, name: str, path: Path) -> None:
        converter.convert_onnx(onnx_file(folder, name), path, deployment_target="iOS16")

    return run


def by_coremltools() -> Way:
    import torch

    def run(folder: Path, name: str, path: Path) -> None:
        from_trace(torch.jit.load(str(folder / f"{name}.pt")), name, path)

    return run


def from_trace(traced: Any, name: str, path: Path) -> None:
    import coremltools as ct
    import numpy as np

    net = NETS[name]
    given = ct.TensorType(name="x", shape=net.shape, dtype=np.int32 if net.tokens else np.float32)
    taken = ct.TensorType(name="y", dtype=np.float32)  # as ours; without it coremltools leaves the last cast out
    model = ct.convert(
        traced.eval(),
        inputs=[given],
        outputs=[taken],
        minimum_deployment_target=ct.target.iOS16,
        skip_model_load=True,
    )
    model.save(str(path))


def by_onnx2torch() -> Way:
    import onnx2torch
    import torch

    def run(folder: Path, name: str, path: Path) -> None:
        module = onnx2torch.convert(str(onnx_file(folder, name))).eval()
        net = NETS[name]
        x = torch.zeros(net.shape, dtype=torch.int64) if net.tokens else torch.zeros(net.shape)
        with torch.no_grad():
            traced = torch.jit.trace(module, x, check_trace=False)
        from_trace(traced, name, path)

    return run


def by_onnxsim() -> Way:
    import onnx
    import onnxsim

    def run(folder: Path, name: str, path: Path) -> None:
        simple, _ = onnxsim.simplify(onnx.load(onnx_file(folder, name)))
        onnxsim.export_coreml(simple, str(path), minimum_deployment_target="iOS16")

    return run


def by_onnx2coreml() -> Way:
    import onnx2coreml

    def run(folder: Path, name: str, path: Path) -> None:
        onnx2coreml.convert(onnx_file(folder, name), minimum_deployment_target="iOS16").save(str(path))

    return run


WAYS: Mapping[str, Callable[[], Way]] = {
    OURS: by_us,
    TRACE: by_coremltools,
    "onnx2torch": by_onnx2torch,
    "onnxsim": by_onnxsim,
    "onnx2coreml": by_onnx2coreml,
}
JOBS: Mapping[str, Callable[..., Any]] = {"make": make, "convert": convert, "versions": lambda _: versions(PEERS)}


def versions(names: tuple[str, ...]) -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in names)


def quickest(results: Mapping[str, Result | str]) -> float | None:
    others = [r.seconds for way, r in results.items() if way != OURS and isinstance(r, Result)]
    return min(others, default=None)


def time_row(name: str, results: Mapping[str, Result | str]) -> str:
    cells = []
    for way in WAYS:
        result = results.get(way, "-")
        cells.append(f"{result.seconds:.1f} s" if isinstance(result, Result) else result)
    ours, best = results[OURS], quickest(results)
    ratio = f"{best / ours.seconds:.1f}" if isinstance(ours, Result) and best else "-"
    return f"| {name} | {' | '.join(cells)} | {ratio} |"


def result_row(folder: Path, name: str, results: Mapping[str, Result | str]) -> str:
    weights = onnx_file(folder, name).stat().st_size
    ours, trace = results[OURS], results[TRACE]
    if not isinstance(ours, Result):
        return f"| {name} | {weights / 1e6:.0f} MB | {ours} | | | | | |"
    peer = (str(trace.ops), f"{trace.file_bytes / 1e6:.1f} MB") if isinstance(trace, Result) else ("-", "-")
    peak = f"{ours.peak_bytes / 1e6:.0f} MB | {ours.peak_bytes / weights:.2f}"
    size = f"{ours.file_bytes / 1e6:.1f} MB"
    return f"| {name} | {weights / 1e6:.0f} MB | {peak} | {ours.ops} | {peer[0]} | {size} | {peer[1]} |"


def page(folder: Path, found: Mapping[str, Mapping[str, Result | str]], peers: str) -> list[str]:
    """The tables, and what misses its target."""
    installed = measuring.job(__file__, folder, "versions", python=peers) if peers else ""
    return [
        measuring.machine("torch", "coremltools", "onnx", "onnxruntime", "numpy", "protobuf"),
        *([f"The others: {installed}."] if installed else []),
        table(TIME_HEAD, [time_row(name, results) for name, results in found.items()]),
        table(RESULT_HEAD, [result_row(folder, name, results) for name, results in found.items()]),
        growth(found),
        f"Missed: {'; '.join(lines)}." if (lines := list(missed(folder, found))) else "All of them meet the targets.",
    ]


def growth(found: Mapping[str, Mapping[str, Result | str]]) -> str:
    few, many = (found.get(f"transformer, {blocks} blocks", {}).get(OURS) for blocks in (64, 256))
    if not isinstance(few, Result) or not isinstance(many, Result):
        return ""
    return f"256 blocks take {many.seconds / few.seconds:.1f} times as long as 64."


def missed(folder: Path, found: Mapping[str, Mapping[str, Result | str]]) -> Any:
    """What is not reached: four times the speed of the quickest other, memory, no more ops than coremltools, growth."""
    for name, results in found.items():
        ours, trace, best = results[OURS], results[TRACE], quickest(results)
        if not isinstance(ours, Result):
            yield f"{name} does not convert"
            continue
        weights = onnx_file(folder, name).stat().st_size
        if best and best < SPEED_TARGET * ours.seconds:
            yield f"{name} is {best / ours.seconds:.1f} times as fast as the quickest other"
        if weights > LARGE_BYTES and ours.peak_bytes > MEMORY_TARGET * weights:
            yield f"{name} takes {ours.peak_bytes / weights:.2f} times its weights"
        if isinstance(trace, Result) and ours.ops > trace.ops:
            yield f"{name} has {ours.ops - trace.ops} ops more than coremltools leaves"
    few, many = (found.get(f"transformer, {blocks} blocks", {}).get(OURS) for blocks in (64, 256))
    if isinstance(few, Result) and isinstance(many, Result) and many.seconds > GROWTH_TARGET * few.seconds:
        yield "the time grows faster than the number of nodes"


if __name__ == "__main__":
    main()
