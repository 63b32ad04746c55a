"""Label lists: read, checked, and where a well-known list is known to be wrong, repaired visibly."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converter.errors import SourceError

LIMIT_BYTES = 16 << 20
_SYNSET = re.compile(r"n\d{8}")

Labels = tuple[tuple[str, ...], tuple[str, ...]]


def read(path: Path, origin: str) -> Labels:
    """The labels of a text file (one a line) or a JSON file, in the order of the scores, and the repairs made.

    JSON is a list, {"0": "tench", ...}, or ImageNet's {"0": ["n01440764", "tench"], ...}. `origin` is the file as the
    user knows it. Raises SourceError for anything else, for empty labels and for duplicates; only the ImageNet form
    has them repaired, because its "crane" and "maillot" are known to stand for two classes each.
    """
    repairs: list[str] = []
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{origin} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}", fix="save it as UTF-8"
        ) from error
    if text.startswith("\ufeff"):
        text = text.removeprefix("\ufeff")
        repairs.append("the byte order mark at the beginning was left out")
    if text.lstrip()[:1] in ("{", "[") and (path.suffix.lower() == ".json" or origin.lower().endswith(".json")):
        labels, more = _from_json(text, origin)
    else:
        labels, more = _from_text(text, origin)
    check(labels, origin)
    return labels, (*repairs, *more)


def check(labels: Sequence[str], origin: str) -> None:
    """Raises SourceError, with every complaint, for labels that are empty, break a line or occur twice."""
    positions: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        positions.setdefault(label, []).append(index)
    complaints = [f"label {index} is empty" for index, label in enumerate(labels) if not label.strip()]
    complaints += [
        f"label {index} holds a line break: {label!r}"
        for index, label in enumerate(labels)
        if re.search(r"[\r\n]", label)
    ]
    complaints += [
        f"{label!r} stands {len(found)} times, as label {', '.join(map(str, found))}"
        for label, found in positions.items()
        if len(found) > 1 and label.strip()
    ]
    if not labels:
        complaints.append("it holds no labels")
    if complaints:
        shown = complaints[:20] + ([f"and {len(complaints) - 20} more"] if len(complaints) > 20 else [])
        raise SourceError(
            f"the labels of {origin} cannot be used: " + "\n  ".join(shown),
            fix="give every class a name of its own: the app receives a dictionary keyed by label",
        )


def check_count(labels: Sequence[str], scores: int, origin: str) -> None:
    """Raises SourceError unless there is one label for each of the model's `scores`."""
    if len(labels) == scores:
        return
    hint = "give one label per score, in the order of the scores"
    if scores - len(labels) == 1:
        hint += "; models with a background class have one more, usually the first"
    raise SourceError(f"{origin} has {len(labels)} labels, the model gives {scores} scores", fix=hint)


def _from_text(text: str, origin: str) -> Labels:
    """One label a line. Lines end in LF; U+2028, U+0085 and the like belong to a label, so no splitlines()."""
    repairs = []
    if 0 < text.count("\r\n") == text.count("\n") == text.count("\r"):
        text = text.replace("\r\n", "\n")
        repairs.append("line ends of Windows (CR LF) were read as line ends")
    lines = text.removesuffix("\n").split("\n") if text else []
    blank = [str(number) for number, line in enumerate(lines, start=1) if not line.strip()]
    if blank:
        raise SourceError(
            f"{origin} has blank lines: {', '.join(blank[:10])}{' ...' if len(blank) > 10 else ''}",
            fix="take them out; every line is a label, and a blank one would shift all that follow",
        )
    return tuple(lines), tuple(repairs)


def _from_json(text: str, origin: str) -> Labels:
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{origin} is not valid JSON: {error}", fix="repair it; every index may occur once"
        ) from error
    entries = _in_order(content, origin) if isinstance(content, dict) else content
    if all(isinstance(entry, str) for entry in entries):
        return tuple(entries), ()
    if all(_is_synset(entry) for entry in entries):
        return _repair([tuple(entry) for entry in entries])
    index, wrong = next((i, e) for i, e in enumerate(entries) if not isinstance(e, str))
    raise SourceError(
        f"{origin}: label {index} is {json.dumps(wrong)[:60]}, not text",
        fix='write a list of texts, {"0": "label", ...} or {"0": ["n01440764", "label"], ...}',
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return found


def _in_order(content: dict[str, Any], origin: str) -> list[Any]:
    missing = [str(index) for index in range(len(content)) if str(index) not in content]
    if missing:
        raise SourceError(
            f"{origin} does not number its {len(content)} labels from 0 to {len(content) - 1}: "
            f"without {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}",
            fix='use the index of the score as the key: {"0": "label", "1": ...}',
        )
    return [content[str(index)] for index in range(len(content))]


def _is_synset(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, str) for part in entry)
        and _SYNSET.fullmatch(entry[0]) is not None
    )


def _repair(entries: list[tuple[str, ...]]) -> Labels:
    """Names that stand for several WordNet synsets get the synset's id behind them."""
    names = [name for _, name in entries]
    labels = [f"{name} ({synset})" if names.count(name) > 1 else name for synset, name in entries]
    repairs = []
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        found = [index for index, other in enumerate(names) if other == name]
        where = " and ".join(map(str, found))
        became = " and ".join(repr(labels[index]) for index in found)
        repairs.append(
            f"labels {where} were {'both' if len(found) == 2 else 'all'} {name!r} in the list; they are now {became}"
        )
    return tuple(labels), tuple(repairs)
