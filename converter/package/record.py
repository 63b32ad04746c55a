"""dist/build.json: the machine-readable record of a run, and its way back into records."""

import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from converter.errors import OutputError
from converter.model import BuildRecord
from converter.package.dist import RECORD


def plain(value: Any) -> Any:
    """A record as JSON values: a path as its name, and infinity as the text "inf", which JSON's numbers lack."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def to_json(record: BuildRecord) -> str:
    return json.dumps(plain(record), ensure_ascii=False, indent=2) + "\n"


def read_record(dist: Path) -> BuildRecord:
    """The record of a finished output folder. Raises OutputError where there is none that can be read."""
    from pydantic import TypeAdapter, ValidationError

    file = dist / RECORD
    try:
        return TypeAdapter(BuildRecord).validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise OutputError(f"{dist} holds no {RECORD}", fix="build it first: `entrypoint.py convert`") from error
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"{file} cannot be read: {reason}", fix="build the folder anew") from error
