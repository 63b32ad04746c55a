"""YAML -> typed manifest, with file:line:column for every complaint; JSON Schema. Imports nothing heavy."""

from typing import Any

from converter.manifest.read import read_manifest
from converter.manifest.schema import Manifest

__all__ = ["json_schema", "read_manifest"]


def json_schema() -> dict[str, Any]:
    """The manifest's JSON Schema (draft 2020-12), with which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Models to convert to Core ML",
        **Manifest.model_json_schema(),
    }
