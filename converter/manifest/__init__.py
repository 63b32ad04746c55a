"""YAML -> typed manifest, with file:line:column for every complaint; JSON Schema. Imports nothing heavy."""

from converter.manifest.editors import json_schema
from converter.manifest.read import read_manifest

__all__ = ["json_schema", "read_manifest"]
