import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.plain import from_plain, to_plain


@dataclass(frozen=True)
class Side:
    lower: int
    upper: int


@dataclass(frozen=True)
class Record:
    name: str
    kind: Literal["a", "b"]
    number: float
    pair: tuple[int, int]
    shape: tuple[int | Side, ...]
    maybe: Side | None
    flag: bool = False
    more: dict[str, float] = field(default_factory=dict)


sides = st.builds(Side, st.integers(), st.integers())
records = st.builds(
    Record,
    name=st.text(),
    kind=st.sampled_from(["a", "b"]),
    number=st.floats(allow_nan=False),
    pair=st.tuples(st.integers(), st.integers()),
    shape=st.lists(st.integers() | sides).map(tuple),
    maybe=st.none() | sides,
    flag=st.booleans(),
    more=st.dictionaries(st.text(), st.floats(allow_nan=False)),
)


@given(records)
def test_a_record_survives_json(record):
    assert from_plain(Record, json.loads(json.dumps(to_plain(record), allow_nan=False))) == record


def test_paths_become_names_and_infinity_a_word():
    assert to_plain({"a": Path("/tmp/x/net.mlmodel"), "b": [math.inf, 1.5]}) == {"a": "net.mlmodel", "b": ["inf", 1.5]}


GOOD = {"name": "n", "kind": "a", "number": 1, "pair": [1, 2], "shape": [1, {"lower": 1, "upper": 2}], "maybe": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 3},
        {"kind": "c"},
        {"number": "many"},
        {"number": True},
        {"pair": [1]},
        {"pair": 5},
        {"shape": ["x"]},
        {"maybe": {"lower": 1}},
        {"flag": 1},
        {"unknown": 1},
        {"more": []},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(wrong):
    assert from_plain(Record, GOOD).shape == (1, Side(1, 2))
    with pytest.raises(ValueError):
        from_plain(Record, GOOD | wrong)


def test_a_missing_field_is_refused():
    with pytest.raises(ValueError, match="without \\['name'\\]"):
        from_plain(Record, {key: value for key, value in GOOD.items() if key != "name"})
