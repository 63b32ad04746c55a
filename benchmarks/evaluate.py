"""How fast the reference evaluator is, and what memory it takes: against torch eager, in the same run, in float32.

    .venv/bin/python benchmarks/evaluate.py [--folder /tmp/evaluate] [--rounds 15] [--only NAME] [--write]

Each model is made with seeded weights and converted once (about 8 GB of disk, kept in --folder). Times are medians of
rounds that alternate between torch and the evaluator, in one process and with the same threads; memory and loading are
measured in a process of their own. --write puts the tables into docs/evaluator.md.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# Threads that spin while they wait take the processor from one another where others use the machine too.
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}
PAGE = ROOT / "docs" / "evaluator.md"
BEGIN, END = "<!-- benchmarks/evaluate.py -->", "<!-- end of benchmarks/evaluate.py -->"
TIME_TARGET, MEMORY_TARGET, LOAD_TARGET_S = 1.5, 1.3, 1.0
TIME_HEAD = "| model | file | torch | evaluator | ratio (processor) | ratio (clock) | difference |"
MEMORY_HEAD = "| model | file | compute | weights | peak over the imports | ratio |"
LOAD_HEAD = "| model | file | size | load (processor) | load (clock) | memory |"


@dataclass(frozen=True)
class Net:
    """A model of the benchmark: `make` gives the torch module, `shape` is its input's."""

    make: Callable[[], Any]
    shape: tuple[int, ...]


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


def _torchvision(name: str) -> Callable[[], Any]:
    def make() -> Any:
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    return make


def _transformer(width: int) -> Callable[[], Any]:
    """64 blocks of attention (heads of 64) and a GELU network four times as wide."""

    def make() -> Any:
        import torch
        from torch.nn import functional

        class Block(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.before, self.between = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
                self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
                self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

            def forward(self, x: Any) -> Any:
                heads = self.qkv(self.before(x)).reshape(1, -1, 3, width // 64, 64).permute(2, 0, 3, 1, 4)
                mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
                x = x + self.out(mixed.transpose(1, 2).reshape(1, -1, width))
                return x + self.down(functional.gelu(self.up(self.between(x))))

        return torch.nn.Sequential(*(Block() for _ in range(64)))

    return make


NETS = {
    "mobilenet_v2": Net(_torchvision("mobilenet_v2"), (1, 3, 224, 224)),
    "resnet50": Net(_torchvision("resnet50"), (1, 3, 224, 224)),
    "vit_b_16": Net(_torchvision("vit_b_16"), (1, 3, 224, 224)),
    "transformer_512": Net(_transformer(512), (1, 128, 512)),
    "transformer_704": Net(_transformer(704), (1, 128, 704)),
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
        _machine(),
        _table(TIME_HEAD, [_time_row(said.folder, file, said.rounds, missed) for file in TIMED if file in files]),
        _table(MEMORY_HEAD, [_memory_row(said.folder, *each, missed) for each in WEIGHED if each[0] in files]),
        _table(LOAD_HEAD, [_load_row(said.folder, file, missed) for file in LOADED if file in files]),
        f"Missed: {'; '.join(missed)}." if missed else "All of them meet the targets.",
    ]
    text = "\n\n".join(tables)
    if said.write:
        page = PAGE.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
        if not pattern.search(page):
            sys.exit(f"{PAGE} has no {BEGIN} ... {END}")
        PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page), encoding="utf-8")
    print(text)


def _job(folder: Path, *job: str) -> Any:
    """Do a job in a process of its own, whose peak of memory is then its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--job", *job]
    environment = {**os.environ, **THREADS, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(job)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _module(net: str) -> tuple[Any, Any]:
    """The module, in evaluation, and an input; batch norms know the statistics of that input."""
    import torch

    torch.manual_seed(0)
    module = NETS[net].make()
    x = torch.randn(NETS[net].shape)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None
            if isinstance(part, torch.nn.Linear) and not part.weight.any():  # vit_b_16's last layer
                torch.nn.init.xavier_normal_(part.weight)
        module.train()(x.repeat(2, *[1] * (x.dim() - 1)) if "transformer" not in net else x)
    return module.eval(), x


def make(folder: Path, net: str, suffix: str, target: str, precision: str) -> None:
    """Convert a net and save it."""
    import coremltools as ct
    import torch

    file = File(net, suffix, target, precision)
    module, x = _module(net)
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

    module, x = _module(net)
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
    pairs = [(_took(eager), _took(ours)) for _ in range(int(rounds))]
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
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status_bytes("VmRSS")
    model = load_model(folder / name, compute=compute)
    for _ in range(2):
        model.predict(inputs)
    assert converter.evaluate.evaluated
    return {"peak_bytes": _status_bytes("VmHWM") - before}


def measure_load(folder: Path, name: str) -> dict[str, float]:
    """Seconds that load_model takes, the modules being imported already."""
    import converter.evaluate.evaluated
    from converter.evaluate import load_model

    assert converter.evaluate.evaluated
    before = _status_bytes("VmRSS")
    model: Any = None
    clock, processor = _took(lambda: load_model(folder / name, compute="float32"))
    del model
    return {"clock_s": clock, "processor_s": processor, "taken_bytes": _status_bytes("VmRSS") - before}


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


def _took(call: Callable[[], Any]) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def _status_bytes(key: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


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
    return _say(f"| {file.net} | {file} | {times} | {ratios} | {found['difference']:.0e} |")


def _memory_row(folder: Path, file: File, compute: str, bytes_each: int, missed: list[str]) -> str:
    found = _job(folder, "memory", file.net, file.name, compute)
    weights = _parameters(folder, file.net) * bytes_each
    if found["peak_bytes"] > MEMORY_TARGET * weights:
        missed.append(f"the memory of {file.net} {file} in {compute}")
    sizes = f"{weights / 1e6:.0f} MB | {found['peak_bytes'] / 1e6:.0f} MB"
    return _say(f"| {file.net} | {file} | {compute} | {sizes} | {found['peak_bytes'] / weights:.2f} |")


def _load_row(folder: Path, file: File, missed: list[str]) -> str:
    found = _job(folder, "load", file.name)
    if found["processor_s"] > LOAD_TARGET_S:
        missed.append(f"the loading of {file.net} {file}")
    path = folder / file.name
    size = sum(part.stat().st_size for part in path.rglob("*")) if path.is_dir() else path.stat().st_size
    times = f"{found['processor_s']:.2f} s | {found['clock_s']:.2f} s"
    return _say(f"| {file.net} | {file} | {size / 1e6:.0f} MB | {times} | {found['taken_bytes'] / 1e6:.0f} MB |")


def _say(row: str) -> str:
    print(row, file=sys.stderr, flush=True)
    return row


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "| --- " * (head.count("|") - 1) + "|", *rows])


def _machine() -> str:
    from importlib.metadata import version

    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "torchvision", "coremltools", "numpy", "protobuf")
    )
    settings = ", ".join(f"{key}={value}" for key, value in THREADS.items())
    return textwrap.fill(
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}; "
        f"Python {platform.python_version()}, {packages}; {settings} for both sides.",
        120,
    )


if __name__ == "__main__":
    main()
