"""Whatever a manifest holds, the answer is a manifest or a ManifestError that names lines."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter.errors import ManifestError
from converter.manifest import json_schema, read_manifest

EXAMPLE = Path(__file__).parents[2] / "examples" / "models.yml"


def words(schema: Any) -> set[str]:
    """Every key and every choice that the schema knows."""
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", ())) | {v for v in schema.get("enum", ()) if isinstance(v, str)}
        schema = list(schema.values())
    if isinstance(schema, list):
        found |= {word for part in schema for word in words(part)}
    return found


WORDS = sorted(words(json_schema()))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [*WORDS, "", ".", "..", "/", "a:b", "net.py:build", "x" * 300, "a" * 64, "https://h/x", "s3://b/k"]
    )
    | st.text(max_size=12)
)
keys = st.sampled_from(WORDS) | st.text(max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=30
)
manifests = st.fixed_dictionaries(
    {"models": st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "source", "inputs"), values)))},
    optional={"defaults": values, "publish": values},
)


def holds(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    lines: list[str] = []
    try:
        read_manifest(path)
    except ManifestError as error:
        lines = error.problem.split("\n")
    assert all(re.match(rf"{re.escape(str(path))}:\d+:\d+: .+; .", line) for line in lines), lines


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / ".git").mkdir()
    return folder / "models.yml"


quickly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quickly
@given(values | manifests)
def test_any_values_are_read_or_refused(path: Path, value: Any) -> None:
    text = json.dumps(value) if value == value else yaml.safe_dump(value)
    holds(path, text)


@quickly
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(path: Path, text: str) -> None:
    holds(path, text)


def mutate(node: Any, draw: Any) -> Any:
    """A manifest with one part exchanged, somewhere."""
    if isinstance(node, dict) and node and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(node, key=str)))
        return {**node, key: mutate(node[key], draw)}
    if isinstance(node, list) and node and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(node) - 1))
        return [*node[:index], mutate(node[index], draw), *node[index + 1 :]]
    return draw(values)


@quickly
@given(st.data())
def test_a_right_manifest_with_a_wrong_part_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    whole = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    holds(path, yaml.safe_dump(mutate(whole, data.draw), allow_unicode=True))
