"""schema.json is what the records say, and holds for the examples."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from converter.manifest import json_schema

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))


def test_schema_json_is_current() -> None:
    committed = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
    assert committed == json_schema(), "run `python entrypoint.py schema > schema.json`"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json_schema())


@pytest.mark.parametrize(
    "model",
    [
        {"name": "a"},
        {"name": "a b", "source": {"torchvision": "resnet50"}},
        {"name": "a", "source": {"torchvision": "resnet5"}},
        {"name": "a", "source": {"torchvision": "resnet50"}, "wieghts": None},
        {"name": "a", "source": {"torchvision": "resnet50"}, "formats": ["mlmodle"]},
        {
            "name": "a",
            "source": {"torchvision": "resnet50"},
            "formats": [{"mlmodel": {"compute_precision": "float16"}}],
        },
        {"name": "a", "source": {"torchvision": "resnet50"}, "metadata": {"version": 1.0}},
    ],
)
def test_an_editor_sees_what_is_wrong(model: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"models": [model]}, json_schema())


def test_every_key_is_described() -> None:
    for name, record in json_schema()["$defs"].items():
        for key, field in record.get("properties", {}).items():
            described = (
                "description" in field or "$ref" in field or any("$ref" in one for one in field.get("anyOf", ()))
            )
            assert described, f"{name}.{key}"
