"""dist/build.json: the machine-readable record of a run, and its way back into records."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from converter.model import ModelRecord

SCHEMA_VERSION = 1


def build_record(models: Sequence[ModelRecord], *, commit: str, manifest: str, seconds: float) -> dict[str, Any]:
    """Everything about a run as JSON values; each model under `models`, in the manifest's order."""
    return {
        "schema": SCHEMA_VERSION,
        "commit": commit,
        "manifest": manifest,
        "seconds": round(seconds, 3),
        "models": [plain(model) for model in models],
    }


def plain(value: Any) -> Any:
    """A record as JSON values: paths as text, and infinities as the text "inf", which JSON's numbers lack."""
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


def text(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"
