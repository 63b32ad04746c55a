"""The command behind `script/conformance coremltools`."""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ledger
import page

from tests import marks

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
RESULTS = ROOT / ".conformance"
PAGE = ROOT / "docs/conformance.md"
EVALUATOR = ROOT / "docs/evaluator.md"
# Where coremltools' tests are, below its folder. The two large groups first: they run side by side.
GROUPS = (
    "converters/mil/frontend/torch/test",
    "converters/mil/mil/ops/tests",
    "converters/mil/frontend/milproto",
    "converters/mil/backend",
    "test/neural_network",
    "test/ml_program",
    "test/pipeline",
    "test/optimize/coreml",
)
SAMPLE = 25
TIMEOUT_S = 300
_RAN = (0, 1, 5)  # pytest's exit codes: all passed, some failed, none chosen


def suite() -> Path:
    """The folder that holds the installed package `coremltools`."""
    found = importlib.util.find_spec("coremltools")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.parent


def files(group: str) -> list[str]:
    root = suite()
    return [str(path.relative_to(root)) for path in sorted((root / "coremltools" / group).rglob("test_*.py"))]


def fingerprint() -> str:
    """Of what decides over the results: the evaluator, the plugin, and the packages they are held to."""
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "converter/evaluate").rglob("*.py"), HERE / "plugin.py", HERE / "standin.py"]):
        digest.update(path.read_bytes())
    for package in ("coremltools", "torch", "numpy"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()[:12]


def run(chosen: list[str], results: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run what is left of some files, in as many processes as it takes.

    Gives `collected`, the number of tests by file, and `errors`, why a file could not be collected.
    """
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", "PYTHONWARNINGS": "ignore"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--tb=no",
        "-p",
        "plugin",
        "-p",
        "faster",
        "-p",
        "absent",
    ]
    command += ["-p", "no:cacheprovider"]
    command += [
        "-p",
        "no:xdist",
        "--continue-on-collection-errors",
        "-c",
        str(HERE / "suite.ini"),
        "--rootdir",
        str(suite()),
        "-W",
        "ignore",
    ]
    command += ["--timeout", str(TIMEOUT_S), "--results", str(results), "--every", str(options.every)]
    command += [f"--only={options.only}", *(str(suite() / file) for file in chosen)]
    while True:
        before = len(ledger.load(results))
        with results.with_suffix(".log").open("w") as log, tempfile.TemporaryDirectory() as scratch:
            # coremltools leaves a package in it for every model, until the process ends well
            done = subprocess.run(
                command, env={**environment, "TMPDIR": scratch}, stdout=log, stderr=log, cwd=suite(), check=False
            )
        counted = results.with_suffix(".json")
        if done.returncode in _RAN:
            content = json.loads(counted.read_text())
            if content["left"] == 0:
                return content
        elif len(ledger.load(results)) == before:
            tail = results.with_suffix(".log").read_text().strip().splitlines()[-5:]
            raise SystemExit(f"{results.stem}: pytest ended with {done.returncode}: {' / '.join(tail)}")


def versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("coremltools", "torch", "numpy"))


def show(f: ledger.Figures) -> None:
    print(
        f"{f.file}: collected {f.collected}, ran {f.ran}, reached {f.reached}, passed {f.passed}, "
        f"known {f.known.total()}, failed {len(f.failed)}",
        flush=True,
    )
    if f.error:
        print(f"    not collected: {f.error}")
    for record in f.failed:
        reason = "its process died" if record.outcome == "started" else record.reason
        print(f"    FAILED {record.id.split('::', 1)[-1]}\n        {reason}")
    for record in f.listed_passes:
        print(f"    PASSES ALTHOUGH LISTED {record.id}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/conformance coremltools", description=__doc__)
    parser.add_argument("--all", dest="every", action="store_const", const=1, default=SAMPLE, help="every test")
    parser.add_argument("--every", type=int, help=f"one test in so many (default {SAMPLE})")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--only", default="", help="tests whose id holds this regular expression; writes no figures")
    parser.add_argument("files", nargs="*", help="parts of the names of files; writes no figures")
    options = parser.parse_args()
    folder = RESULTS / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    listed = ledger.known(HERE / "known.toml")
    parts = {group: [f for f in files(group) if any(part in f for part in options.files or [""])] for group in GROUPS}
    parts = {group: chosen for group, chosen in parts.items() if chosen}
    paths = [folder / f"{group.replace('/', '.')}.jsonl" for group in parts]
    counted, seconds = [], 0.0
    with ThreadPoolExecutor(options.jobs) as pool:
        every_part = pool.map(run, parts.values(), paths, itertools.repeat(options))
        for chosen, results, done in zip(parts.values(), paths, every_part, strict=True):
            records = [r for r in ledger.load(results).values() if ledger.chosen(r.id, options.every)]
            seconds += sum(r.seconds for r in records)
            for file in chosen:
                own = [r for r in records if ledger.file_of(r.id) == file and re.search(options.only, r.id)]
                name, error = file.removeprefix("coremltools/"), done["errors"].get(file, "")
                counted.append(ledger.figures(name, done["collected"].get(file, 0), own, listed, error))
                show(counted[-1])
    text = page.summary(counted, every=options.every, seconds=seconds, versions=versions())
    if options.files or options.only or options.every not in (1, SAMPLE):
        print(text)
    else:
        marks.write(PAGE, "all" if options.every == 1 else "sample", text)
        if options.every == 1:
            marks.write(EVALUATOR, "conformance", f"coremltools' own tests, all of them: {page.sentence(counted)}")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return int(any(f.failed or f.listed_passes for f in counted))


if __name__ == "__main__":
    sys.exit(main())
