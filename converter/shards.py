"""One manifest built by several machines: which models are whose, the same answer on each of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from converter.errors import ManifestError

if TYPE_CHECKING:
    from converter.manifest.schema import File, Model

SHARDS_MAX = 10_000
UNKNOWN_BYTES = 100_000_000  # of a file behind a URL, or a factory's own weights: about a ResNet-50 in float32
MODEL_BYTES = 16_000_000  # a model costs time beside its bytes: as much as converting this many more
ROOM_PERCENT = 10  # what a shard may hold above the average; docs/scale.md has the measurement
_PROBES = 64
_FLOAT32_BYTES = 4


@dataclass(frozen=True, order=True)
class Shard:
    """The share `index` (from 1) of `total`; as text `2/4`, and `2-of-4` where a name has no slash."""

    index: int
    total: int

    def __str__(self) -> str:
        return f"{self.index}/{self.total}"

    @property
    def file_name(self) -> str:
        return f"{self.index}-of-{self.total}"


def shard_of(text: str, said: str = "--shard") -> Shard:
    """`2/4` as a shard; `said` names its origin in errors. Raises ManifestError."""
    index, slash, total = text.partition("/")
    if not slash or not _is_number(index) or not _is_number(total):
        raise ManifestError(f"{said} {text}: this is no I/N", fix="write 1/4 for the first of four shards")
    return _checked(int(index), int(total), f"{said} {text}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _checked(index: int, total: int, said: str) -> Shard:
    if not 1 <= total <= SHARDS_MAX:
        raise ManifestError(f"{said}: {total} shards are asked for", fix=f"take 1 to {SHARDS_MAX}")
    if not 1 <= index <= total:
        counted = f"shards count from 1 to {total}, this is {index}"
        raise ManifestError(f"{said}: {counted}", fix=f"take 1/{total} to {total}/{total}")
    return Shard(index, total)


@dataclass(frozen=True)
class _Engine:
    """What a batch engine says to each of its jobs; indices count from 0 in all of them."""

    name: str
    index: str
    total: str
    fix_index: str  # where only the total is set
    fix_total: str  # where only the index is set


_ENGINES = (
    _Engine(
        "Kubernetes",
        "JOB_COMPLETION_INDEX",
        "JOB_COMPLETIONS",
        "set `completionMode: Indexed` in the Job",
        "set it in the Job's `env:`, to the number that stands under `completions:`",
    ),
    _Engine(
        "AWS Batch",
        "AWS_BATCH_JOB_ARRAY_INDEX",
        "AWS_BATCH_JOB_ARRAY_SIZE",
        "submit the job with `arrayProperties`",
        "run on a current agent of AWS Batch, which sets it",
    ),
    _Engine(
        "GitHub",
        "STRATEGY_JOB_INDEX",
        "STRATEGY_JOB_TOTAL",
        "set it to ${{ strategy.job-index }}",
        "set it to ${{ strategy.job-total }}",
    ),
)


def shard_from(environment: Mapping[str, str]) -> Shard | None:
    """The shard that a batch engine gave this job; None where none did.

    Raises ManifestError where only one of index and total is set, where they are no numbers or do not fit, and where
    two engines say one.
    """
    found = {engine.name: shard for engine in _ENGINES if (shard := _from_engine(engine, environment))}
    if len(found) > 1:
        said = " and ".join(f"{name} ({shard})" for name, shard in found.items())
        raise ManifestError(f"{said} both say which shard this is", fix="say it with --shard I/N")
    return next(iter(found.values()), None)


def _from_engine(engine: _Engine, environment: Mapping[str, str]) -> Shard | None:
    index, total = environment.get(engine.index, "").strip(), environment.get(engine.total, "").strip()
    if not index and not total:
        return None
    whole = "--shard 1/1 builds everything"
    if not total:
        raise ManifestError(
            f"{engine.index} is {index}, but {engine.total} is not set", fix=f"{engine.fix_total}; {whole}"
        )
    if not index:
        raise ManifestError(
            f"{engine.total} is {total}, but {engine.index} is not set", fix=f"{engine.fix_index}; {whole}"
        )
    said = f"{engine.index}={index} with {engine.total}={total}"
    if not _is_number(index) or not _is_number(total):
        raise ManifestError(f"{said}: these are no numbers", fix=f"correct what sets them; {whole}")
    if int(index) >= int(total):
        raise ManifestError(f"{said}: the index counts from 0, so it is below the total", fix=engine.fix_total)
    return _checked(int(index) + 1, int(total), said)


def balanced(models: "Sequence[Model]", total: int) -> "tuple[tuple[Model, ...], ...]":
    """The models of each of `total` shards, each in the manifest's order; a shard may have none.

    The same on every machine. Every model is in exactly one shard. No shard weighs more than the average and the
    largest model together, nor, as a rule, more than the average and ROOM_PERCENT. A model is added or grows, and few
    others change their shard.
    """
    weights = {model.name: size_bytes(model) + MODEL_BYTES for model in models}
    chosen = place(weights, total)
    shards: list[list[Model]] = [[] for _ in range(total)]
    for model in models:
        shards[chosen[model.name]].append(model)
    return tuple(tuple(shard) for shard in shards)


def place(weights: Mapping[str, int], total: int) -> dict[str, int]:
    """Which of `total` shards (from 0) each name goes to: hashed to one that has room, the heaviest first.

    Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016), for weights that differ: a name asks
    for shards in an order of its own, so that what others do matters only where a shard is full.
    """
    if not weights:
        return {}
    room = max(max(weights.values()), sum(weights.values()) * (100 + ROOM_PERCENT) // (100 * total))
    seats = max(-(-len(weights) // total), len(weights) * (100 + ROOM_PERCENT) // (100 * total))
    loads, counts = [0] * total, [0] * total
    chosen = {}
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        for at in _preferred(name, total):
            if counts[at] < seats and loads[at] + weights[name] <= room:
                break
        else:  # every shard that it asked for is full
            at = loads.index(min(loads))
        loads[at] += weights[name]
        counts[at] += 1
        chosen[name] = at
    return chosen


def _preferred(name: str, total: int) -> Iterator[int]:
    for probe in range(_PROBES):
        digest = hashlib.sha256(f"{name}\0{probe}".encode()).digest()
        yield _jump(int.from_bytes(digest[:8], "big"), total)


def _jump(key: int, total: int) -> int:
    """Jump consistent hash, in integers: with one shard more only its share of the names moves (arXiv:1406.2294)."""
    at, following = -1, 0
    while following < total:
        at = following
        key = (key * 2862933555777941757 + 1) % 2**64
        following = ((at + 1) << 31) // ((key >> 33) + 1)
    return at


def size_bytes(model: "Model") -> int:
    """What a model's weights take, as far as that is known without reading or fetching a file."""
    from converter.manifest.schema import ExportedSource, FactorySource, OnnxSource, TorchscriptSource
    from converter.manifest.torchvision_names import parameter_count

    source = model.source
    if isinstance(source, OnnxSource):
        return _file_bytes(source.onnx, model.folder)
    if isinstance(source, TorchscriptSource):
        return _file_bytes(source.torchscript, model.folder)
    if isinstance(source, ExportedSource):
        return _file_bytes(source.exported, model.folder)
    if source.checkpoint:
        return _file_bytes(source.checkpoint, model.folder)
    if isinstance(source, FactorySource):
        return UNKNOWN_BYTES
    return _FLOAT32_BYTES * (parameter_count(source.torchvision) or UNKNOWN_BYTES // _FLOAT32_BYTES)


def _file_bytes(file: "File", folder: Path) -> int:
    """A local file's size, with the weights that ONNX may keep beside it."""
    if file.path is None:
        return UNKNOWN_BYTES
    path = folder / file.path
    beside = (path, path.with_name(f"{path.name}.data"), path.with_name(f"{path.name}_data"))
    return sum(one.stat().st_size for one in beside if one.is_file())
