"""How long a run takes when nothing changed: 500 models of 5 MB, in the output folder, and out of a local store.

    .venv/bin/python benchmarks/unchanged.py [--models 500] [--folder /tmp/unchanged]

One model is really converted; the others are ONNX files of their own, whose entries in the store are made from its
record and its files. It takes about 15 MB of disk for each model.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from converter.manifest import read_manifest  # noqa: E402
from converter.manifest.schema import Manifest  # noqa: E402
from converter.model import ModelRecord  # noqa: E402
from converter.package.checksums import artifact, sha256  # noqa: E402
from converter.package.record import earlier  # noqa: E402
from converter.plain import from_plain, to_plain  # noqa: E402
from converter.store import Index, store_at  # noqa: E402
from converter.store.key import ingredients  # noqa: E402
from converter.store.surroundings import Surroundings  # noqa: E402

_WIDTH = 1118  # squared, in float32: 5 MB
_TICK_S = 3  # a file that is younger is read again, whatever the index says
_RUN = """
import sys, time
begun = time.perf_counter()
from converter.cli import main
code = main(sys.argv[1:])
print(f"{time.perf_counter() - begun:.2f} s", "torch" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=int, default=500)
    arguments.add_argument("--folder", type=Path)
    said = arguments.parse_args()
    folder = said.folder or Path(tempfile.mkdtemp(prefix="unchanged-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        manifest = _write_models(folder, said.models)
        _fill_store(folder, manifest)
        time.sleep(_TICK_S)
        for _ in range(2):  # the second look trusts what the first one read
            shutil.rmtree(folder / "dist", ignore_errors=True)
            _run(folder, "files read for the first time")
        for name in ["in the output folder"] * 3:
            _run(folder, name)
        for name in ["out of the store, no output folder"] * 3:
            shutil.rmtree(folder / "dist")
            _run(folder, name)
    finally:
        if not said.folder:
            shutil.rmtree(folder)


def _write_models(folder: Path, models: int) -> Manifest:
    weights = np.random.default_rng(0).standard_normal((_WIDTH, _WIDTH)).astype(np.float32) / _WIDTH**0.5
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, _WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, _WIDTH])],
        [numpy_helper.from_array(weights, "w")],
    )
    lines = ["models:"]
    for number in range(models):
        name = f"net{number:03}"
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], doc_string=name)
        onnx.save(model, folder / f"{name}.onnx")
        pinned = f"{{path: {name}.onnx, sha256: {sha256(folder / f'{name}.onnx')}}}"
        lines.append(f"  - {{name: {name}, source: {{onnx: {pinned}}}, formats: [mlmodel, mlpackage]}}")
    (folder / "models.yml").write_text("\n".join(lines) + "\n")
    return read_manifest(folder / "models.yml")


def _fill_store(folder: Path, manifest: Manifest) -> None:
    """Convert the first model, and give each other one a copy of what came out."""
    first = manifest.models[0].name
    _run(folder, "one model is converted", "--only", first)
    index = Index(folder / "cache" / "index.json")
    store = store_at(str(folder / "cache" / "models"), index)
    around = Surroundings(manifest.root, index, folder / "cache" / "ingredients")
    text = json.dumps(to_plain(earlier(folder / "dist")[first]))
    for model in manifest.models[1:]:
        copy = folder / "copy" / model.name
        copy.mkdir(parents=True)
        for file in (folder / "dist" / first).iterdir():
            shutil.copyfile(file, copy / file.name.replace(first, model.name))
        record: ModelRecord = from_plain(ModelRecord, json.loads(text.replace(first, model.name)))
        made = ingredients(model, around)
        source = replace(record.source_files[0], sha256=sha256(folder / f"{model.name}.onnx"))
        files = tuple(
            artifact(folder / "copy" / file.path, folder / "copy", published=file.published)
            for file in record.artifacts
        )
        record = replace(record, artifacts=files, source_files=(source,), ingredients=made.parts, key=made.key)
        store.put(record, copy)
        shutil.rmtree(copy)


def _run(folder: Path, what: str, *more: str) -> None:
    command = [sys.executable, "-c", _RUN, "convert", "models.yml", "--cache", "cache", *more]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    begun, cpu = time.perf_counter(), _cpu_s()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    took = time.perf_counter() - begun
    torch = ", torch was imported" if done.stderr.split()[-1] == "True" else ""
    print(f"{what}: {took:.2f} s, {_cpu_s() - cpu:.2f} s of it on the processor{torch}", flush=True)


def _cpu_s() -> float:
    """What finished processes took, which does not grow with what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
