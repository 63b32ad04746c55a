"""YAML is read as editors read it, and nothing in it can hurt."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.manifest.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, read_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("'null'", "null"),
        ("'3'", "3"),
        ("3", 3),
        ("-12", -12),
        ("007", 7),
        ("0o17", 15),
        ("0xff", 255),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("9" * 64, "9" * 64),
        ("! 3", "3"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("{a: 1, b: [x, 2]}", {"a": 1, "b": ("x", 2)}),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
        ("[&a x, *a]", ("x", "x")),
    ],
)
def test_values_follow_the_core_schema(text: str, value: object) -> None:
    node, complaints = read_document(text.encode())
    assert complaints == []
    assert node is not None
    assert node.plain == value
    assert type(node.plain) is type(value)


def test_places_are_lines_and_columns_from_one_in_characters() -> None:
    node, _ = read_document("é: [ü, {ö: x}]\n".encode())
    inner = node.value["é"].value[1]
    assert tuple(inner.place) == (1, 8)
    assert tuple(inner.value["ö"].key) == (1, 9)
    assert tuple(inner.value["ö"].place) == (1, 12)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(30), f"more than {MAX_NODES} values, aliases counted"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("{a: " * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("- " * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("a: " + "x" * MAX_BYTES, f"has {MAX_BYTES + 3} bytes"),
        ("[" + "1," * (MAX_NODES + 1) + "]", f"more than {MAX_NODES} values"),
    ],
    ids=["aliases", "lists", "mappings", "dashes", "size", "items"],
)
def test_a_bomb_is_refused_quickly(text: str, words: str) -> None:
    started = time.process_time()  # what others do on the machine does not count
    node, complaints = read_document(text.encode())
    assert node is None
    assert words in complaints[-1].problem
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("content", "place"), [(b"a: \xff", (1, 4)), (b"a: x\n\xc3\xa9: \xff", (2, 4)), (b"\xff\xfea\x00", (1, 1))]
)
def test_what_is_not_utf8_is_refused_at_its_place(content: bytes, place: tuple[int, int]) -> None:
    _, complaints = read_document(content)
    assert [(tuple(c.place), c.problem) for c in complaints] == [(place, "this is not UTF-8 text")]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_document_or_a_complaint(content: bytes) -> None:
    node, complaints = read_document(content)
    assert (node is None) <= bool(complaints)
