"""dist/build.json: the machine-readable record of a run, and its way back into records."""

import json
from pathlib import Path

from converter.errors import OutputError
from converter.model import BuildRecord, ModelRecord, ValidationRecord
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
        return read_record_file(file)
    except FileNotFoundError as error:
        raise OutputError(f"{dist} holds no {RECORD}", fix="build it first: `entrypoint.py convert`") from error


def read_record_file(file: Path) -> BuildRecord:
    """A build.json under any name. Raises FileNotFoundError, and OutputError where it cannot be read."""
    try:
        record: BuildRecord = from_plain(BuildRecord, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{file} cannot be read: {error}", fix="build the folder anew") from error
    return record


def read_validation(file: Path) -> ValidationRecord:
    """What `validate --record` wrote. Raises OutputError where it is none."""
    try:
        record: ValidationRecord = from_plain(ValidationRecord, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{file} is no record of `validate --record`: {error}", fix="validate again") from error
    return record
