"""The manifest's JSON Schema, with which editors complete and check it as it is written."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from converter.manifest.schema import Manifest
from converter.manifest.torchvision_names import torchvision_models


class _Untitled(GenerateJsonSchema):
    """Without a title for every key, which would only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, draft 2020-12; schema.json holds it."""
    schema = Manifest.model_json_schema(schema_generator=_Untitled)
    source = schema["$defs"]["TorchvisionSource"]["properties"]
    models = torchvision_models()
    source["torchvision"] = {**source["torchvision"], "enum": sorted(models)}
    names = {name for row in models.values() for name in row["weights"]}
    source["weights"] = {**source["weights"], "examples": ["DEFAULT", *sorted(names)]}
    return {
        "$schema": _Untitled.schema_dialect,
        "title": "Manifest: the models to convert to Core ML",
        **{key: value for key, value in schema.items() if key != "title"},
    }
