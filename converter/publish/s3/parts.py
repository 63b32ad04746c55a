"""A version whose models several machines publish: each its own files and their record, the last one what names them.

`parts/2-of-4.json` under the version's prefix is the record of a part whose files are all there. The parts say
everything that is needed to close the version, so that whoever finds them complete can do it, and do it again. The list
of all models, which each part expects, lies once beside them: ten thousand parts that repeat ten thousand names would
be gigabytes.
"""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from converter.errors import ManifestError, PublishError
from converter.model import Artifact, BuildRecord
from converter.package.checksums import artifact
from converter.package.closing import closing_texts
from converter.package.dist import PAGE, RECORD, REPORT, SUMS
from converter.package.merge import absent, faults, joined, listed
from converter.package.record import to_json
from converter.plain import from_plain
from converter.publish import Finished
from converter.publish.s3.objects import TRIES, Bucket
from converter.publish.s3.place import Place
from converter.shards import Shard, shard_of

FOLDER = "parts/"
_CLOSING = (RECORD, REPORT, PAGE, SUMS)  # what a killed run leaves of them is completed from the record
_READERS = 8  # records are many and small


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a version that are there, all of `total`, by the names of their objects."""

    total: int
    records: Mapping[str, BuildRecord]


def key(where: Place, shard: Shard) -> str:
    return where.key(f"{FOLDER}{shard.file_name}.json")


def hold(bucket: Bucket, where: Place, record: BuildRecord, *, replaces: bool) -> bool:
    """Whether this part's record is there already. Raises PublishError where it is another commit's."""
    there = _read(bucket, key(where, shard_of(record.shard)))
    if replaces and not record.commit:
        raise _refusal(
            "parts that may replace others are told apart by their commit, and this one names none",
            "build from a commit of a git repository, or leave `existing: fail`",
            where,
        )
    if there is not None and there.commit != record.commit and not replaces:
        own = record.commit or "none"
        raise _refusal(
            f"part {record.shard} is there of commit {there.commit or 'none'}, this one is of {own}",
            "publish under another tag; `existing: replace` overwrites it",
            where,
        )
    return same_promise(there, stored(record))


def enter(bucket: Bucket, where: Place, record: BuildRecord) -> None:
    """Say that this part's files are all there; the same part, built again, leaves the first record as it is."""
    at, short = key(where, shard_of(record.shard)), stored(record)
    names = names_key(where, short)
    if names not in bucket.sizes(names):
        bucket.swap(names, _names(record), None)  # where another was quicker it is the same list
    for _ in range(TRIES):
        found = bucket.read(at)
        if found is not None and same_promise(_parsed(found[0], at), short):
            return
        if bucket.swap(at, to_json(short).encode(), found[1] if found else None):
            return
    raise _refusal(f"others changed part {record.shard} {TRIES} times meanwhile", "run it again", where)


def missing(bucket: Bucket, where: Place, total: int) -> list[Shard]:
    """The parts of `total` that are not there yet."""
    return absent(_there(bucket, where).get(total, ()), total)


def read_all(bucket: Bucket, where: Place, total: int) -> Parts:
    """The records of all `total` parts, which must be there."""
    keys = [key(where, Shard(index, total)) for index in range(1, total + 1)]
    with ThreadPoolExecutor(_READERS) as readers:
        found = dict(zip(keys, readers.map(lambda one: _read(bucket, one), keys), strict=True))
    if gone := [one for one, record in found.items() if record is None]:
        raise _refusal(f"parts are gone since a moment ago: {listed(gone)}", "publish them again", where)
    short = {one: record for one, record in found.items() if record is not None}
    lists = {record.expected: record for record in short.values()}  # one, unless commits are mixed
    names = {digest: _read_names(bucket, where, record) for digest, record in lists.items()}
    return Parts(
        total=total, records={one: replace(record, expected=names[record.expected]) for one, record in short.items()}
    )


def gather(bucket: Bucket, where: Place, total: int | None) -> Parts:
    """The parts of a version: those of `total`, or where that is not known of the one number that is complete.

    Raises PublishError with every part that is missing.
    """
    groups = _there(bucket, where)
    if not groups:
        raise _refusal("there are no parts", "publish the shards first, to the same prefix and tag", where)
    wanted = [total] if total else sorted(groups)
    complete = [number for number in wanted if not absent(groups.get(number, ()), number)]
    if not complete:
        words = [
            f"of {number} parts {len(gone)} {'is' if len(gone) == 1 else 'are'} missing: {listed(map(str, gone))}"
            for number in wanted
            if (gone := absent(groups.get(number, ()), number))
        ]
        raise _refusal("\n".join(words), "run these shards; the last one finishes the release", where)
    first, *others = (read_all(bucket, where, number) for number in complete)
    if any(not same_promise(whole(other, where), whole(first, where)) for other in others):
        numbers = " and of ".join(map(str, complete))
        raise _refusal(f"there are parts of {numbers}, and they differ", "say with --plan which are meant", where)
    return first


def whole(parts: Parts, where: Place) -> BuildRecord:
    """All parts as one record. Raises PublishError with all that keeps them from being one release."""
    words = list(faults(parts.records))
    for record in parts.records.values():
        failed = [model.name for model in record.models if not model.passed]
        if failed:
            words.append(f"part {record.shard}: {listed(failed)} did not pass")
    if words:
        raise _refusal("\n".join(words), "build and publish these shards again", where)
    return joined(parts.records.values())


def hold_commit(record: BuildRecord, commit: str, where: Place) -> None:
    """Refuse to close what shards of another commit left; whether files differ from it here is of no matter."""
    theirs, ours = (one.removesuffix("-dirty") for one in (record.commit, commit))
    if theirs and ours and theirs != ours:
        raise _refusal(
            f"the parts are of commit {theirs}, this is {ours}",
            "publish the shards of this commit, or close the version from a checkout of theirs",
            where,
        )


def hold_files(bucket: Bucket, where: Place, record: BuildRecord) -> None:
    """Make sure that every file that is going to be named is there, in its size; one listing tells."""
    sizes = bucket.sizes(where.prefix)
    gone = [
        Path(file.path).name for file in built(record) if sizes.get(where.key(Path(file.path).name)) != file.size_bytes
    ]
    if gone:
        raise _refusal(
            f"{len(gone)} files that parts name are not there: {listed(gone)}", "publish their shards again", where
        )


@contextlib.contextmanager
def closed(bucket: Bucket, where: Place, record: BuildRecord, dist: Path | None = None) -> Iterator[Finished]:
    """The version as a finished folder, in which only the files that close it are on this machine: those of `dist`.

    Where the same version was closed already its record stands, and its reports: another run's timings do not make
    another release.
    """
    at = where.key(RECORD)
    found = bucket.read(at)
    there = _record_of(found[0]) if found else None
    if found and there is not None and same_promise(there, record):
        stands = {name: read[0].decode() for name in (REPORT, PAGE, SUMS) if (read := bucket.read(where.key(name)))}
        texts = {**closing_texts(there), RECORD: found[0].decode(), **stands}
        if SUMS in stands and PAGE not in stands:  # complete, of before there was a page
            del texts[PAGE]
    elif dist:
        texts = {name: (dist / name).read_text(encoding="utf-8") for name in _CLOSING if (dist / name).is_file()}
    else:
        texts = {**closing_texts(record)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        last = [artifact(folder / name, folder) for name in _CLOSING if name in texts]
        yield Finished(folder=folder, record=record, files=(*built(record), *last))


def closing(version: Finished) -> Sequence[Artifact]:
    """The files that close a version."""
    return version.files[len(built(version.record)) :]


def stored(record: BuildRecord) -> BuildRecord:
    """A part's record with the digest of its list of models instead of the list."""
    return replace(record, expected=(f"sha256:{hashlib.sha256(_names(record)).hexdigest()}",))


def names_key(where: Place, short: BuildRecord) -> str:
    return where.key(f"{FOLDER}models-{short.expected[0].removeprefix('sha256:')}.json")


def same_promise(one: BuildRecord | None, other: BuildRecord) -> bool:
    """Whether two records promise people the same files; when and how fast they were made does not matter."""
    return one is not None and _promise(one) == _promise(other)


def _promise(record: BuildRecord) -> object:
    files = {model.name: (model.error, [a for a in model.artifacts if a.published]) for model in record.models}
    return record.manifest, record.commit, record.expected, record.shard, files


def built(record: BuildRecord) -> list[Artifact]:
    """The models' files that people get."""
    return [file for model in record.models for file in model.artifacts if file.published]


def _there(bucket: Bucket, where: Place) -> dict[int, list[Shard]]:
    """The parts that are there, by their number."""
    folder = where.key(FOLDER)
    found: dict[int, list[Shard]] = {}
    for name in bucket.sizes(folder):
        with contextlib.suppress(ManifestError):  # another file, which is nobody's part
            shard = shard_of(name.removeprefix(folder).removesuffix(".json").replace("-of-", "/"))
            found.setdefault(shard.total, []).append(shard)
    return found


def _names(record: BuildRecord) -> bytes:
    return json.dumps(record.expected, ensure_ascii=False).encode()


def _read_names(bucket: Bucket, where: Place, short: BuildRecord) -> tuple[str, ...]:
    """The list of models that a part's record names by its digest."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", "".join(short.expected)):
        return short.expected
    at = names_key(where, short)
    found = bucket.read(at)
    names = tuple(json.loads(found[0])) if found and _is_digest_of(found[0], short) else ()
    if not names:
        raise _refusal(f"{at}, the list of all models, is gone or was changed", "publish a shard again", where)
    return names


def _is_digest_of(content: bytes, short: BuildRecord) -> bool:
    return short.expected == (f"sha256:{hashlib.sha256(content).hexdigest()}",)


def _read(bucket: Bucket, at: str) -> BuildRecord | None:
    found = bucket.read(at)
    return _parsed(found[0], at) if found else None


def _parsed(content: bytes, at: str) -> BuildRecord:
    record = _record_of(content)
    if record is None:
        raise PublishError(
            "this is no record of a build", where=("publish to s3", at), fix="remove it, or use another tag"
        )
    return record


def _record_of(content: bytes) -> BuildRecord | None:
    try:
        record: BuildRecord = from_plain(BuildRecord, json.loads(content))
    except (ValueError, TypeError):
        return None
    return record


def _refusal(problem: str, fix: str, where: Place) -> PublishError:
    return PublishError(problem, where=("publish to s3", where.prefix), fix=fix)
