import json
from pathlib import Path
from typing import Any

import pytest

from converter.errors import SourceError
from converter.load import labels


def read(tmp_path: Path, content: bytes | Any, name: str = "") -> labels.Labels:
    text = isinstance(content, bytes)
    path = tmp_path / (name or ("labels.txt" if text else "labels.json"))
    path.write_bytes(content if text else json.dumps(content).encode())
    return labels.read(path, path.name)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"cat\ndog", ("cat", "dog")),
        ("Käse\nnaïve\n".encode(), ("Käse", "naïve")),
        ("one\u2028line\nnext\u0085one\nform\x0cfeed\n".encode(), ("one\u2028line", "next\u0085one", "form\x0cfeed")),
        (b"[not, json]\n{x}\n", ("[not, json]", "{x}")),
        (["cat", "dog"], ("cat", "dog")),
        ({"1": "dog", "0": "cat"}, ("cat", "dog")),
        ({"0": ["n02123045", "tabby"], "1": ["n02123159", "tiger_cat"]}, ("tabby", "tiger_cat")),
        ({str(i): f"c{i}" for i in range(12)}, tuple(f"c{i}" for i in range(12))),
    ],
)
def test_labels_are_read(content: Any, expected: tuple[str, ...], tmp_path: Path) -> None:
    assert read(tmp_path, content) == (expected, ())


def test_windows_line_ends_are_read_visibly(tmp_path: Path) -> None:
    found, repairs = read(tmp_path, b"cat\r\ndog\r\n")
    assert found == ("cat", "dog")
    assert repairs == ("line ends of Windows (CR LF) were read as line ends",)


def test_a_byte_order_mark_is_left_out_visibly(tmp_path: Path) -> None:
    found, repairs = read(tmp_path, b"\xef\xbb\xbfcat\ndog\n")
    assert found == ("cat", "dog")
    assert len(repairs) == 1


def test_the_known_duplicates_of_imagenet_class_index_are_repaired_visibly(tmp_path: Path) -> None:
    """Positions, synsets and names as in the published file."""
    index = {str(i): [f"n{i:08}", f"class{i}"] for i in range(1000)}
    index |= {
        "134": ["n02012849", "crane"],
        "517": ["n03126707", "crane"],
        "638": ["n03710637", "maillot"],
        "639": ["n03710721", "maillot"],
    }
    found, repairs = read(tmp_path, index, "imagenet_class_index.json")
    assert len(set(found)) == 1000
    assert (found[134], found[517]) == ("crane (n02012849)", "crane (n03126707)")
    assert found[0] == "class0"
    assert repairs == (
        "labels 134 and 517 were both 'crane' in the list; they are now 'crane (n02012849)' and 'crane (n03126707)'",
        "labels 638 and 639 were both 'maillot' in the list; "
        "they are now 'maillot (n03710637)' and 'maillot (n03710721)'",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no labels"),
        (b"cat\n\ndog\n", "blank lines: 2"),
        (b"cat\n \t\ndog\n", "blank lines: 2"),
        (b"cat\ndog\n\n", "blank lines: 3"),
        (b"cat\n\xff\n", "not UTF-8: byte 4"),
        (b"cat\r\ndog\n", "label 0 holds a line break"),
        (b"cat\ndog\ncat\n", "'cat' stands 2 times, as label 0, 2"),
        ([], "holds no labels"),
        (["cat", ""], "label 1 is empty"),
        (["cat", "a\nb"], "label 1 holds a line break"),
        (["cat", 7], "label 1 is 7, not text"),
        (["cat", "cat", "dog", "dog"], "(?s)'cat' stands 2 times.*'dog' stands 2 times"),
        ({"0": "cat", "2": "dog"}, "does not number its 2 labels from 0 to 1: without 1"),
        ({"cat": 0, "dog": 1}, "does not number its 2 labels"),
        ({"0": ["tabby", "cat"]}, "label 0 is .*, not text"),
        ({"0": ["n02123045", "tabby", 1]}, "label 0 is"),
    ],
)
def test_other_lists_are_refused(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words):
        read(tmp_path, content)


@pytest.mark.parametrize("text", [b'{"0": "cat", "0": "dog"}', b'["cat"', b"[" * 100_000])
def test_broken_json_is_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not valid JSON"):
        read(tmp_path, text, "labels.json")


def test_a_count_that_differs_is_refused_and_the_background_class_is_remembered() -> None:
    labels.check_count(("cat", "dog"), 2, "labels.txt")
    with pytest.raises(SourceError, match=r"labels\.txt has 2 labels, the model gives 3 scores") as caught:
        labels.check_count(("cat", "dog"), 3, "labels.txt")
    assert "background" in caught.value.fix
