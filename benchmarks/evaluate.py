"""How fast the reference evaluator is, and what memory it takes: against torch eager, in the same run, in float32.

    .venv/bin/python benchmarks/evaluate.py [--folder /tmp/evaluate] [--rounds 15] [--only NAME] [--write]

Each model is made with seeded weights and converted once (about 8 GB of disk, kept in --folder). Times are medians of
rounds that alternate between torch and the evaluator, in one process and with the same threads; memory and loading are
measured in a process of their own. --write puts the tables into docs/evaluator.md.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
from measuring import say, size_bytes, status_bytes, table, took
from nets import Net, module_and_input, of_torchvision, transformer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "evaluator.md"
TIME_TARGET, MEMORY_TARGET, LOAD_TARGET_S = 1.5, 1.3, 1.0
TIME_HEAD = "| model | file | torch | evaluator | ratio (processor) | ratio (clock) | difference |"
MEMORY_HEAD = "| model | file | compute | weights | peak over the imports | ratio |"
LOAD_HEAD = "| model | file | size | load (processor) | load (clock) | memory |"


@dataclass(frozen=True)
class File:
    """One converted form of a net; `target` and `precision` are coremltools' names."""

    net: str
    suffix: str
    target: str
    precision: str = "FLOAT32"

    @property
    def name(self) -> str:
        return f"{self.net}-{self.target}-{self.precision}{self.suffix}"

    def __str__(self) -> str:
        precision = "" if self.precision == "FLOAT32" else ", fp16"
        return f"{self.suffix} ({self.target}{precision})"


NETS = {
    "mobilenet_v2": Net(of_torchvision("mobilenet_v2"), (1, 3, 224, 224)),
    "resnet50": Net(of_torchvision("resnet50"), (1, 3, 224, 224)),
    "vit_b_16": Net(of_torchvision("vit_b_16"), (1, 3, 224, 224)),
    "transformer_512": Net(transformer(512), (1, 128, 512)),
    "transformer_704": Net(transformer(704), (1, 128, 704)),
}
TIMED = [
    File(net, suffix, target)
    for net in ("mobilenet_v2", "resnet50", "vit_b_16", "transformer_512")
    for suffix, target in ((".mlpackage", "iOS16"), (".mlmodel", "iOS14"))
]
LARGE = File("transformer_704", ".mlpackage", "iOS18")
HALF = File("transformer_512", ".mlpackage", "iOS18", "FLOAT16")
TIMED += [File("transformer_512", ".mlpackage", "iOS18"), HALF]
# the file, the evaluator's `compute`, and the bytes of a weight at that precision
WEIGHED = [
    (File("transformer_512", ".mlpackage", "iOS16"), "float32", 4),
    (File("transformer_512", ".mlmodel", "iOS14"), "float32", 4),
    (LARGE, "float32", 4),
    (HALF, "float32", 4),
    (HALF, "float16", 2),
]
LOADED = [LARGE, File("transformer_512", ".mlmodel", "iOS14")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "evaluate-benchmark")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="the models whose name contains this")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/evaluator.md")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.job:
        print(json.dumps(JOBS[said.job[0]](said.folder, *said.job[1:])))
        return
    said.folder.mkdir(parents=True, exist_ok=True)
    files = [file for file in dict.fromkeys([*TIMED, LARGE, HALF]) if said.only in file.name]
    for file in files:
        if not (said.folder / file.name).exists():
            _job(said.folder, "make", file.net, file.suffix, file.target, file.precision)
    missed: list[str] = []
    tables = [
        measuring.machine("torch", "torchvision", "coremltools", "numpy", "protobuf"),
        table(TIME_HEAD, [_time_row(said.folder, file, said.rounds, missed) for file in TIMED if file in files]),
        table(MEMORY_HEAD, [_memory_row(said.folder, *each, missed) for each in WEIGHED if each[0] in files]),
        table(LOAD_HEAD, [_load_row(said.folder, file, missed) for file in LOADED if file in files]),
        f"Missed: {'; '.join(missed)}." if missed else "All of them meet the targets.",
    ]
    text = "\n\n".join(tables)
    if said.write:
        measuring.write(PAGE, text)
    print(text)


def _job(folder: Path, *job: str) -> Any:
    try:
        return measuring.job(__file__, folder, *job)
    except measuring.JobError as error:
        sys.exit(f"{' '.join(job)}\n{error}")


def make(folder: Path, net: str, suffix: str, target: str, precision: str) -> None:
    """Convert a net and save it."""
    import coremltools as ct
    import torch

    file = File(net, suffix, target, precision)
    module, x = module_and_input(NETS[net])
    torch.backends.mha.set_fastpath_enabled(False)  # Apple's frontend does not know its op
    with torch.no_grad():
        traced = torch.jit.trace(module, x, check_trace=False)
    more: dict[str, Any] = {"convert_to": "neuralnetwork"}
    if suffix == ".mlpackage":
        more = {"convert_to": "mlprogram", "compute_precision": ct.precision[precision]}
    model = ct.convert(
        traced,
        inputs=[ct.TensorType(name="x", shape=NETS[net].shape)],
        outputs=[ct.TensorType(name="y")],
        minimum_deployment_target=ct.target[target],
        skip_model_load=True,
        **more,
    )
    model.save(str(folder / f"unfinished-{file.name}"))
    (folder / f"unfinished-{file.name}").rename(folder / file.name)


def measure_time(folder: Path, net: str, name: str, rounds: str) -> dict[str, float]:
    """Medians in seconds, and of the ratios of each round; the largest difference, relative to the largest value."""
    import torch

    from converter.evaluate import load_model

    module, x = module_and_input(NETS[net])
    model = load_model(folder / name, compute="float32")
    inputs = {"x": x.numpy()}

    def eager() -> Any:
        with torch.inference_mode():
            return module(x).numpy()

    def ours() -> Any:
        return model.predict(inputs)["y"]

    expected, answered = eager(), ours()
    difference = abs(expected - answered).max() / abs(expected).max()
    eager(), ours()
    pairs = [(took(eager), took(ours)) for _ in range(int(rounds))]
    clock, processor = ([(a[i], b[i]) for a, b in pairs] for i in range(2))
    return {
        "difference": float(difference),
        "torch_s": statistics.median(a for a, _ in clock),
        "ours_s": statistics.median(b for _, b in clock),
        "clock": statistics.median(b / a for a, b in clock),
        "processor": statistics.median(b / a for a, b in processor),
    }


def measure_memory(folder: Path, net: str, name: str, compute: str) -> dict[str, float]:
    """The peak of resident memory over that after the imports, mapped files included, through two predictions."""
    import numpy as np

    import converter.evaluate.evaluated
    from converter.evaluate import load_model

    inputs = {"x": np.random.default_rng(0).standard_normal(NETS[net].shape, np.float32)}
    before = measuring.count_peak_from_here()
    model = load_model(folder / name, compute=compute)
    for _ in range(2):
        model.predict(inputs)
    assert converter.evaluate.evaluated
    return {"peak_bytes": status_bytes("VmHWM") - before}


def measure_load(folder: Path, name: str) -> dict[str, float]:
    """Seconds that load_model takes, the modules being imported already."""
    import converter.evaluate.evaluated
    from converter.evaluate import load_model

    assert converter.evaluate.evaluated
    before = status_bytes("VmRSS")
    model: Any = None
    clock, processor = took(lambda: load_model(folder / name, compute="float32"))
    del model
    return {"clock_s": clock, "processor_s": processor, "taken_bytes": status_bytes("VmRSS") - before}


def count(_: Path, net: str) -> int:
    """The number of a net's parameters."""
    return sum(p.numel() for p in NETS[net].make().parameters())


JOBS: dict[str, Callable[..., Any]] = {
    "make": make,
    "time": measure_time,
    "memory": measure_memory,
    "load": measure_load,
    "count": count,
}


def _parameters(folder: Path, net: str) -> int:
    known = folder / f"{net}.parameters"
    if not known.exists():
        known.write_text(str(_job(folder, "count", net)))
    return int(known.read_text())


def _time_row(folder: Path, file: File, rounds: int, missed: list[str]) -> str:
    found = _job(folder, "time", file.net, file.name, str(rounds))
    if found["processor"] > TIME_TARGET:
        missed.append(f"the time of {file.net} {file}")
    times = f"{found['torch_s'] * 1000:.0f} ms | {found['ours_s'] * 1000:.0f} ms"
    ratios = f"{found['processor']:.2f} | {found['clock']:.2f}"
    return say(f"| {file.net} | {file} | {times} | {ratios} | {found['difference']:.0e} |")


def _memory_row(folder: Path, file: File, compute: str, bytes_each: int, missed: list[str]) -> str:
    found = _job(folder, "memory", file.net, file.name, compute)
    weights = _parameters(folder, file.net) * bytes_each
    if found["peak_bytes"] > MEMORY_TARGET * weights:
        missed.append(f"the memory of {file.net} {file} in {compute}")
    sizes = f"{weights / 1e6:.0f} MB | {found['peak_bytes'] / 1e6:.0f} MB"
    return say(f"| {file.net} | {file} | {compute} | {sizes} | {found['peak_bytes'] / weights:.2f} |")


def _load_row(folder: Path, file: File, missed: list[str]) -> str:
    found = _job(folder, "load", file.name)
    if found["processor_s"] > LOAD_TARGET_S:
        missed.append(f"the loading of {file.net} {file}")
    size = size_bytes(folder / file.name)
    times = f"{found['processor_s']:.2f} s | {found['clock_s']:.2f} s"
    return say(f"| {file.net} | {file} | {size / 1e6:.0f} MB | {times} | {found['taken_bytes'] / 1e6:.0f} MB |")


if __name__ == "__main__":
    main()
