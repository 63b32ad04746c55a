"""dist/build.json: the machine-readable record of a run, and its way back into records."""

import json
from pathlib import Path

from converter.errors import OutputError
from converter.model import BuildRecord, ModelRecord
from converter.package.dist import RECORD
from converter.plain import from_plain, to_plain


def to_json(record: BuildRecord) -> str:
    return json.dumps(to_plain(record), ensure_ascii=False, indent=2) + "\n"


def earlier(dist: Path) -> dict[str, ModelRecord]:
    """The models of an output folder's record, by name; none where there is no readable one."""
    try:
        return {record.name: record for record in read_record(dist).models}
    except OutputError:
        return {}


def read_record(dist: Path) -> BuildRecord:
    """The record of a finished output folder. Raises OutputError where there is none that can be read."""
    file = dist / RECORD
    try:
        record: BuildRecord = from_plain(BuildRecord, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise OutputError(f"{dist} holds no {RECORD}", fix="build it first: `entrypoint.py convert`") from error
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{file} cannot be read: {error}", fix="build the folder anew") from error
    return record
