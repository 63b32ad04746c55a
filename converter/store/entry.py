"""An entry of a store: a model's record as JSON, and the files that it names."""

import json
from pathlib import Path

from converter.model import ModelRecord
from converter.package.checksums import sha256
from converter.plain import from_plain, to_plain
from converter.store.key import key_of

RECORD = "record.json"


class StoreError(Exception):
    """Why a store cannot give or take a model, in words for people; the model is converted instead."""


class DamagedError(StoreError):
    """An entry is not what it was when it was put."""


def to_text(record: ModelRecord) -> str:
    return json.dumps(to_plain(record), ensure_ascii=False, separators=(",", ":"))


def from_text(text: str | bytes, key: str) -> ModelRecord:
    """The record of an entry. Raises DamagedError where it is none, or is that of another key."""
    try:
        record: ModelRecord = from_plain(ModelRecord, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedError(f"entry {key[:12]} cannot be read: {error}") from None
    places = [Path(artifact.path).parts for artifact in record.artifacts]
    if record.key != key or key_of(record.ingredients) != key or not record.passed or not places:
        raise DamagedError(f"entry {key[:12]} is not the model that its key says")
    if any(len(parts) != 2 or parts[0] != record.name or parts[1] in ("..", RECORD) for parts in places):
        raise DamagedError(f"entry {key[:12]} names files outside of its model")
    return record


def hold(record: ModelRecord, folder: Path) -> None:
    """Hold freshly copied files to the record. Raises DamagedError."""
    for artifact in record.artifacts:
        file = folder / Path(artifact.path).name
        if not file.is_file() or sha256(file) != artifact.sha256:
            raise DamagedError(f"entry {record.key[:12]} is damaged: {file.name} is not the file of its record")
