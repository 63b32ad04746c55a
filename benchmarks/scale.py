"""One manifest of 10,000 models: planned, some shards built, all of them published as parts and finalized.

`.venv/bin/python benchmarks/scale.py` prints the figures of docs/scale.md. The models are tiny ONNX files, so that our
own cost is measured; a few shards are really built, and their records stand for the others. S3 is moto on loopback.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from converter.manifest.s3 import S3Options
from converter.model import Artifact, BuildRecord, ModelRecord
from converter.package.closing import closing_texts
from converter.package.merge import faults, joined
from converter.package.record import read_record, to_json
from converter.publish import finished
from converter.publish.s3 import S3, parts
from converter.publish.s3.place import place as place_in
from converter.shards import MODEL_BYTES, ROOM_PERCENT, place, shard_of

ENTRYPOINT = Path(__file__).parent.parent / "entrypoint.py"
BUCKET = "scale"


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--models", type=int, default=10_000)
    reader.add_argument("--shards", type=int, default=1000)
    reader.add_argument("--build", type=int, default=2, help="shards to build for real")
    asked = reader.parse_args()
    balance()
    with tempfile.TemporaryDirectory() as temporary, server() as address:
        folder = Path(temporary)
        names = write_manifest(folder, asked.models)
        planning(folder, asked.shards)
        built = build(folder, asked.shards, asked.build)
        publishing(folder, address, names, built, asked.shards)
        publishing(folder, address, names, built, asked.models)
        one_part(folder, address, built)


def say(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def commanded(call: Callable[[], Any]) -> str:
    """How long a command takes, and how much of that its processes compute: a busy machine changes the first only."""
    before = sum(os.times()[2:4])
    _, seconds = timed(call)
    return f"{seconds:.1f} s, processor time {sum(os.times()[2:4]) - before:.1f} s"


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def balance() -> None:
    """The room that a shard is given against the models that move: by our way, and by the longest first alone."""
    for count, total in ((30, 12), (100, 4), (500, 20), (2000, 100), (10_000, 256)):
        for word, way in (("hashed", place), ("longest first", longest_first)):
            heaviest, moved, grown = [], [], []
            for seed in range(5):
                chance = random.Random(seed)
                weights = {f"m{i}": MODEL_BYTES + int(chance.lognormvariate(17, 1.2)) for i in range(count)}
                before = way(weights, total)
                loads = [0] * total
                for name, at in before.items():
                    loads[at] += weights[name]
                heaviest.append(max(loads) / max(sum(loads) / total, max(weights.values())))
                added = {**weights, "new": chance.choice(list(weights.values()))}
                one = chance.choice(list(weights))
                grew = {**weights, one: weights[one] * 11 // 10}
                for found, changed in ((moved, added), (grown, grew)):
                    after = way(changed, total)
                    found.append(sum(after[name] != before[name] for name in before) / count)
            say(
                f"{count} models, {total} shards, {word}",
                f"heaviest {max(heaviest):.3f} of the ideal; moved by one added {mean(moved):.1%} (at most "
                f"{max(moved):.1%}), by one that grew {mean(grown):.1%} ({max(grown):.1%})",
            )
    print(f"(room for {ROOM_PERCENT} %, log-normal sizes, 5 seeds)")


def longest_first(weights: dict[str, int], total: int) -> dict[str, int]:
    loads, chosen = [0] * total, {}
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        at = loads.index(min(loads))
        loads[at] += weights[name]
        chosen[name] = at
    return chosen


def write_manifest(folder: Path, count: int) -> list[str]:
    import onnx

    make = onnx.helper
    (folder / "nets").mkdir()
    lines = [
        "defaults:",
        "  formats: [mlmodel]",
        "  validate: {seeds: 1}",
        "  inputs: [{name: x, tensor: {shape: [1, 3]}}]",
    ]
    lines.append("models:")
    names = [f"net-{index:05}" for index in range(count)]
    for index, name in enumerate(names):
        bias = make.make_tensor("b", onnx.TensorProto.FLOAT, [1, 3], [float(index), 1.0, -1.0])
        value = [make.make_tensor_value_info(side, onnx.TensorProto.FLOAT, [1, 3]) for side in ("x", "y")]
        graph = make.make_graph([make.make_node("Add", ["x", "b"], ["y"])], name, value[:1], value[1:], [bias])
        net = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
        content = net.SerializeToString()
        (folder / "nets" / f"{name}.onnx").write_bytes(content)
        source = f"{{onnx: {{path: nets/{name}.onnx, sha256: {sha256(content).hexdigest()}}}}}"
        lines.append(f"  - {{name: {name}, source: {source}}}")
    (folder / "models.yml").write_text("\n".join(lines) + "\n")
    return names


def command(*arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, ENTRYPOINT, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stdout}{done.stderr}")
    return done.stdout


def planning(folder: Path, shards: int) -> None:
    manifest = folder / "models.yml"
    say("`check` of the manifest", commanded(lambda: command("check", manifest)))
    output = folder / "output"
    workflow = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    say("`plan --shards 256`", commanded(lambda: command("plan", manifest, "--shards", 256, "--json", **workflow)))
    size = len(output.read_text().encode("utf-16-le"))
    say("its outputs, as GitHub counts them", f"{size / 1e6:.2f} MB of 1.05 MB")
    say(f"`plan --shards {shards}`", commanded(lambda: command("plan", manifest, "--shards", shards, "--json")))


def build(folder: Path, shards: int, count: int) -> list[BuildRecord]:
    """Some shards, each by a command of its own as on a machine of its own."""
    records = []
    for index in range(1, count + 1):
        output = folder / f"dist-{index}"
        options = ["--shard", f"{index}/{shards}", "--output", output, "--cache", folder / "cache"]
        took = commanded(lambda options=options: command("convert", folder / "models.yml", *options))
        records.append(read_record(output))
        say(f"`convert --shard {index}/{shards}`, {len(records[-1].models)} models", took)
    return records


@contextmanager
def server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], **quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def publishing(folder: Path, address: str, names: list[str], built: list[BuildRecord], total: int) -> None:
    """Parts of all models in a bucket, one published by the command's own way, and the version closed."""
    import boto3

    os.environ |= {"AWS_ACCESS_KEY_ID": "scale", "AWS_SECRET_ACCESS_KEY": "scale", "AWS_REGION": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    options = S3Options(bucket=BUCKET, endpoint=address, tag=f"of-{total}", name="scale")
    publisher = S3(options, {})
    own = next(record for record in built if record.models)
    records = all_parts(names, own, total)
    where = place_in(options, own, {})
    puts = [(parts.key(where, shard_of(r.shard)), to_json(parts.stored(r)).encode()) for r in records]
    puts.append((parts.names_key(where, parts.stored(records[0])), json.dumps(records[0].expected).encode()))
    for record in records:
        for model in record.models:
            puts += [(where.key(Path(f.path).name), bytes(f.size_bytes)) for f in model.artifacts if f.published]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda put: client.put_object(Bucket=BUCKET, Key=put[0], Body=put[1]), puts))

    say(
        f"{total} parts, {len(puts) - total - 1} files of {len(names)} models: records",
        f"{sum(len(c) for k, c in puts[:total]) / 1e6:.0f} MB",
    )
    _, seconds = timed(lambda: joined(records))
    checked, more = timed(lambda: list(faults({r.shard: r for r in records})))
    assert not checked
    whole = joined(records)
    own_s = time.process_time()
    texts = closing_texts(whole)
    rendered = time.process_time() - own_s
    sizes = ", ".join(f"{name} {len(text) / 1e6:.1f} MB" for name, text in texts.items())
    say(
        f"{total} parts: checked and joined; rendered, processor time",
        f"{seconds + more:.1f} s; {rendered:.1f} s ({sizes})",
    )
    for words in (f"{total} parts: `publish --finalize`", f"{total} parts: once more"):
        own_s = time.process_time()
        _, seconds = timed(lambda: publisher.finalize("", None, lambda *_: None))
        say(words, f"{seconds:.1f} s, of which {time.process_time() - own_s:.1f} s are ours")
    index = client.head_object(Bucket=BUCKET, Key="scale/index.json")["ContentLength"]
    latest = client.head_object(Bucket=BUCKET, Key="scale/latest.json")["ContentLength"]
    say("latest.json; index.json", f"{latest / 1e6:.1f} MB; {index / 1e6:.1f} MB")
    _, seconds = timed(lambda: parts.missing(publisher._bucket, where, total))
    say(f"{total} parts: what a shard asks after its upload", f"{seconds:.2f} s")


def one_part(folder: Path, address: str, built: list[BuildRecord]) -> None:
    """A part that was really built, published by the command's own way."""
    index = next(index for index, record in enumerate(built, 1) if record.models)
    publisher = S3(S3Options(bucket=BUCKET, endpoint=address, tag="one", name="one"), {})
    dist = finished(folder / f"dist-{index}")
    published, seconds = timed(lambda: publisher.publish(dist, lambda *_: None))
    say("a part published", f"{seconds:.2f} s, {len(published.files)} files of {len(dist.record.models)} models")


def all_parts(names: list[str], like: BuildRecord, total: int) -> list[BuildRecord]:
    """Records of all parts, each model's as the one that was really built, under its own name."""
    weights = dict.fromkeys(names, MODEL_BYTES)
    shares: list[list[str]] = [[] for _ in range(total)]
    for name, at in place(weights, total).items():
        shares[at].append(name)
    return [
        replace(like, shard=f"{index}/{total}", models=tuple(renamed(like.models[0], name) for name in share))
        for index, share in enumerate(shares, 1)
    ]


def renamed(model: ModelRecord, name: str) -> ModelRecord:
    def moved(file: Artifact) -> Artifact:
        return replace(file, path=file.path.replace(model.name, name))

    return replace(model, name=name, artifacts=tuple(moved(file) for file in model.artifacts))


if __name__ == "__main__":
    main()
