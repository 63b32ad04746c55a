"""index.json, all versions from the oldest to the newest, and latest.json, the one that most people want.

Both are changed only once all files of a version are there, and only if no one else changed them meanwhile.
"""

import json
import random
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from converter.errors import PublishError
from converter.model import Artifact, Step
from converter.publish.s3.objects import Bucket
from converter.publish.s3.place import Place

SCHEMA = 1
TRIES = 20
Entry = dict[str, Any]
Index = dict[str, Any]


def entry(where: Place, files: Iterable[tuple[str, Artifact]]) -> Entry:
    """A version as both files name it; paths are relative to them, so that they hold behind every address."""
    return {
        "version": where.version,
        "tag": where.tag,
        "commit": where.commit,
        "files": [
            {"name": name, "path": f"{where.version}/{name}", "size_bytes": f.size_bytes, "sha256": f.sha256}
            for name, f in files
        ],
    }


def read(bucket: Bucket, where: Place) -> tuple[Index, str | None]:
    """The index and its ETag; empty and None where there is none. Raises PublishError where it is not one of ours."""
    found = bucket.read(where.index)
    if found is None:
        return {"schema": SCHEMA, "name": where.name, "latest": None, "versions": []}, None
    content, etag = found
    index = _parsed(content)
    if index is None:
        raise _refusal(where, "the key holds something else than an index of versions")
    if index["name"] and where.name and index["name"] != where.name:
        raise _refusal(where, f"this is the index of {index['name']!r}, not of {where.name!r}")
    return index, etag


def plan(bucket: Bucket, where: Place, new: Entry, *, latest: bool) -> Sequence[Step]:
    """What `enter` would write."""
    index, _ = read(bucket, where)
    entered = _with(index, new, latest=latest)
    shown = bucket.read(where.latest)
    steps = [] if entered == index else [Step(action="publish", name=where.index, reason=f"enter {where.version}")]
    wanted = _latest(entered)
    is_there = shown is not None and wanted is not None and _without_time(_json(shown[0])) == _without_time(wanted)
    if wanted is not None and not is_there:
        steps.append(Step(action="publish", name=where.latest, reason=f"name {wanted['version']}"))
    return steps


def enter(bucket: Bucket, where: Place, new: Entry, *, latest: bool) -> None:
    """Name a version whose files are all there; a version that is entered already keeps its date and its place."""
    for _ in _tries(where):
        index, etag = read(bucket, where)
        entered = _with(index, new, latest=latest)
        if entered == index:
            break
        bucket.swap(where.index, _bytes(entered), etag)  # the next turn reads whether it stands
    for _ in _tries(where):
        shown = bucket.read(where.latest)  # before the index, so that a later index cannot be overwritten unseen
        wanted = _latest(read(bucket, where)[0])
        if wanted is None or (shown is not None and _json(shown[0]) == wanted):
            return
        bucket.swap(where.latest, _bytes(wanted), shown[1] if shown else None)


def _with(index: Index, new: Entry, *, latest: bool) -> Index:
    versions = list(index["versions"])
    at = next((i for i, old in enumerate(versions) if old["version"] == new["version"]), None)
    if at is None:
        versions.append({**new, "published": datetime.now(UTC).isoformat(timespec="seconds")})
        return {**index, "versions": versions, "latest": new["version"] if latest else index["latest"]}
    versions[at] = {**new, "published": versions[at]["published"]}
    return {**index, "versions": versions}


def _latest(index: Index) -> Entry | None:
    named = [version for version in index["versions"] if version["version"] == index["latest"]]
    return {"schema": SCHEMA, "name": index["name"], **named[0]} if named else None


def _without_time(document: Any) -> Any:
    return {k: v for k, v in document.items() if k != "published"} if isinstance(document, dict) else None


def _parsed(content: bytes) -> Index | None:
    index = _json(content)
    if not isinstance(index, dict) or index.get("schema") != SCHEMA or not isinstance(index.get("versions"), list):
        return None
    whole = all(isinstance(v, dict) and {"version", "published"} <= v.keys() for v in index["versions"])
    return index if whole and {"name", "latest"} <= index.keys() else None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _bytes(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _tries(where: Place) -> Iterable[int]:
    for turn in range(TRIES):
        yield turn
        time.sleep(random.uniform(0, min(0.05 * 2**turn, 2.0)))  # others are writing too
    raise _refusal(where, f"others changed it {TRIES} times while it was written")


def _refusal(where: Place, problem: str) -> PublishError:
    return PublishError(
        problem,
        where=("publish to s3", where.index),
        fix="use another prefix, or move what is there; run again where several publish at once",
    )
