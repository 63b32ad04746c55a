"""The parts of one manifest, built by several machines, as one: records, and folders."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from converter.errors import ConverterError, OutputError
from converter.model import BuildRecord, ModelRecord
from converter.package.checksums import sha256
from converter.package.closing import closing_texts
from converter.package.dist import Dist, writing
from converter.package.record import read_record
from converter.shards import Shard, shard_of

_NAMED = 10  # of a long list, in a complaint


def merge(folders: Sequence[Path], output: Path) -> BuildRecord:
    """Join output folders of all shards into one; files are linked where that is possible, and the parts left alone.

    A second call gives the same folder. Raises OutputError with every complaint.
    """
    parts, complaints = dict[Path, BuildRecord](), list[str]()
    for folder in folders:
        try:
            parts[folder] = read_record(folder)
        except OutputError as error:
            complaints.append(error.problem)
        if folder.resolve() == output.resolve():
            complaints.append(f"{folder} is a part, and cannot be the output too")
    complaints += faults({str(folder): record for folder, record in parts.items()})
    complaints += [words for folder, record in parts.items() for words in _broken(folder, record)]
    if complaints:
        raise OutputError("\n".join(complaints), where=("merge",), fix="build or fetch these parts again")
    record = joined(parts.values())
    with Dist(output) as dist:
        try:
            earlier = {model.name for model in read_record(output).models}
        except OutputError:
            earlier = set()
        dist.write(closing_texts(replace(record, models=())))  # it never names what is not there
        for name in sorted(earlier):
            dist.remove(name)
        for folder, part in parts.items():
            for model in part.models:
                _place(dist, folder, model)
        dist.write(closing_texts(record))
    return record


def faults(parts: Mapping[str, BuildRecord]) -> Iterator[str]:
    """Why records, by their origin, do not make up one manifest; empty where they do."""
    said = ("manifest", "commit")
    for field, word in (
        ("manifest", "manifests"),
        ("commit", "commits"),
        ("expected", "lists of models"),
        ("manifest_sha256", "texts of the manifest"),
    ):
        origins = defaultdict(list)
        for origin, record in parts.items():
            origins[getattr(record, field)].append(origin)
        if len(origins) > 1:
            values = (
                f"{value or 'none'!s} ({listed(found)})" if field in said else listed(found)
                for value, found in origins.items()
            )
            yield f"the parts are of different {word}: {'; '.join(values)}"
    yield from _faults_of_shards(parts)
    yield from _faults_of_models(parts)


def _faults_of_shards(parts: Mapping[str, BuildRecord]) -> Iterator[str]:
    if not parts:
        yield "there are no parts"
        return
    whole = [origin for origin, record in parts.items() if not record.shard]
    if whole:
        if len(parts) > 1:
            yield f"{listed(whole)}: not a shard, but a whole manifest; it merges with nothing"
        return
    shards = defaultdict(list)
    for origin, record in parts.items():
        try:
            shards[shard_of(record.shard, origin)].append(origin)
        except ConverterError as error:
            yield error.problem if not error.where else str(error)
    totals = sorted({shard.total for shard in shards})
    if len(totals) > 1:
        yield f"the parts are shards of {' and of '.join(map(str, totals))}"
    for shard, origins in sorted(shards.items()):
        if len(origins) > 1:
            yield f"shard {shard} is there {len(origins)} times: {listed(origins)}"
    if len(totals) == 1 and (missing := absent(shards, totals[0])):
        yield f"{'shards' if len(missing) > 1 else 'shard'} {listed(map(str, missing))} missing"


def _faults_of_models(parts: Mapping[str, BuildRecord]) -> Iterator[str]:
    origins, flat = defaultdict(list), Counter[str]()
    for origin, record in parts.items():
        for model in record.models:
            origins[model.name].append(origin)
            flat.update(PurePosixPath(file.path).name.lower() for file in model.artifacts if file.published)
    for name, found in origins.items():
        if len(found) > 1:
            yield f"model {name} is in several parts: {listed(found)}"
    if twice := [name for name, count in flat.items() if count > 1]:
        yield f"several files are called {listed(sorted(twice))}"
    expected = {record.expected for record in parts.values()}
    if len(expected) != 1 or not (names := expected.pop()):
        return
    if strangers := sorted(origins.keys() - set(names)):
        yield f"not models of this manifest: {listed(strangers)}"
    if missing := [name for name in names if name not in origins]:
        yield f"{len(missing)} of {len(names)} models missing: {listed(missing)}"


def absent(found: Iterable[Shard], total: int) -> list[Shard]:
    """The shards of `total` that are not among those found."""
    there = {shard.index for shard in found}
    return [Shard(index, total) for index in range(1, total + 1) if index not in there]


def listed(names: Iterable[str]) -> str:
    """`a, b, c`; of many the first ones and the number of the others."""
    words = list(names)
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def joined(parts: Iterable[BuildRecord]) -> BuildRecord:
    """Records that have no faults, as one: models in the manifest's order, the seconds of all machines together."""
    records = list(parts)
    models = {model.name: model for record in records for model in record.models}
    return replace(
        records[0],
        models=tuple(models[name] for name in records[0].expected or models),
        seconds=round(sum(record.seconds for record in records), 3),
        shard="",
    )


def _broken(folder: Path, record: BuildRecord) -> Iterator[str]:
    """Files of a part that are not what its record says."""
    for model in record.models:
        if not model.name or model.name.startswith(".") or "/" in model.name:  # a record that no run has written
            yield f"{folder}: {model.name!r} is no name of a model"
        for file in model.artifacts:
            path, parts = folder / file.path, PurePosixPath(file.path).parts
            if len(parts) != 2 or parts[0] != model.name or parts[1] in ("..", "."):
                yield f"{folder}: {file.path!r} is not in the folder of {model.name}"
            elif len(file.path.splitlines()) != 1:  # a line end would be another line of SHA256SUMS, which is attested
                yield f"{folder}: {file.path!r} is no name of a file"
            elif not path.is_file() or path.is_symlink():
                yield f"{path}: there is no such file"
            elif path.stat().st_size != file.size_bytes or sha256(path) != file.sha256:
                yield f"{path} is not the file that its record names"


def _place(dist: Dist, folder: Path, model: ModelRecord) -> None:
    if not model.artifacts:
        return
    workspace = dist.workspace(model.name)
    with writing(dist.folder):
        for file in model.artifacts:
            _link(folder / file.path, workspace / Path(file.path).name)
    dist.place(model.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
