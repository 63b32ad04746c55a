"""A YAML file as a tree of nodes that know where they were written, safely: https://yaml.org/spec/1.2.2/.

Plain scalars are read by YAML 1.2's core schema, as editors read them: `no` is text and 2026-01-01 is no date.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

import yaml

Scalar = str | int | float | bool | None

# Far more than a manifest needs, far less than harms: 10,000 models fit, with an inline list of 20,000 labels.
MAX_BYTES = 8 << 20
MAX_NODES = 200_000
MAX_DEPTH = 40
_MAX_NUMBER = 40  # characters; a longer run of digits is a hash, not a number

_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")  # they would steer a terminal

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class Complaint(NamedTuple):
    """What is wrong, where in the file, and the way out."""

    place: Place
    problem: str
    fix: str
    subject: str = ""  # `resnet50: inputs[0].image`


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A part of the document. `text` is a scalar as it was written, `key` where the node's key stands in a mapping."""

    value: "Mapping[str, Node] | tuple[Node, ...] | Scalar"
    place: Place
    text: str = ""
    key: Place | None = None
    size: int = 1  # with everything below, aliases counted each time

    @property
    def plain(self) -> Any:
        """Dicts, tuples and scalars."""
        if isinstance(self.value, Mapping):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return tuple(node.plain for node in self.value)
        return self.value


class _UnreadableError(Exception):
    """The document cannot be read any further."""

    def __init__(self, complaint: Complaint) -> None:
        super().__init__(complaint)
        self.complaint = complaint


def read_document(content: bytes) -> tuple[Node | None, list[Complaint]]:
    """The root node, or None where the text is no YAML, and every complaint about the text itself."""
    complaints: list[Complaint] = []
    try:
        text = _decode(content)
        return _Composer(_events(text), complaints).document(), complaints
    except _UnreadableError as broken:
        return None, [*complaints, broken.complaint]


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        fix = f"keep it under {MAX_BYTES} bytes; long label lists belong in a file of their own"
        _stop(Place(1, 1), f"the manifest has {len(content)} bytes", fix)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        _stop(Place(before.count(b"\n") + 1, column), "this is not UTF-8 text", "save the file as UTF-8")
    if bad := _FORBIDDEN.search(text.replace("\r\n", "\n\n")):
        place = _place_of(text, bad.start())
        _stop(place, f"there is a control character (U+{ord(bad[0]):04X})", "delete it, or write it as an escape")
    return text


def _place_of(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _stop(place: Place, problem: str, fix: str) -> NoReturn:
    raise _UnreadableError(Complaint(place, problem, fix))


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _stop(_place(mark), *_syntax_words(error, text))
    except yaml.reader.ReaderError as error:
        _stop(
            _place_of(text, error.position), f"YAML does not allow the character U+{error.character:04X}", "delete it"
        )


def _syntax_words(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    problem = f"this is not YAML: {error.problem}"
    if error.context and error.context_mark:
        opened = _place(error.context_mark)
        problem += f", {error.context} that begins on line {opened.line}, column {opened.column}"
    lines = text.splitlines()
    line = lines[error.problem_mark.line] if error.problem_mark and error.problem_mark.line < len(lines) else ""
    at = line[error.problem_mark.column :][:1] if error.problem_mark else ""
    if at == "\t":
        return problem, "indent with spaces, YAML allows no tabs there"
    if "mapping values are not allowed" in str(error.problem) or "unexpected ':'" in str(error.problem):
        return problem, "put text with a colon in quotes, or align this key with its neighbours"
    if at and at in "@`%&*!|>'\"":
        return problem, f"put text that begins with {at} in quotes"
    return problem, "look at the indentation, the quotes and the brackets of this line and the one above"


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


class _Composer:
    """Builds nodes from events. PyYAML's own composer forgets duplicate keys and follows any depth."""

    def __init__(self, events: Iterator[Any], complaints: list[Complaint]) -> None:
        self._events = events
        self._complaints = complaints
        self._anchors: dict[str, Node | None] = {}  # None while the node is still open
        self._nodes = 0

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    _stop(_place(event.start_mark), "a second document begins here", "keep one document in the file")
                root = self._node(next(self._events), 0)
        if root is None:
            _stop(Place(1, 1), "the manifest is empty", "begin with `models:`")
        return root

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event.start_mark)
        if depth > MAX_DEPTH:
            _stop(place, f"this is nested more than {MAX_DEPTH} deep", "no manifest needs that; flatten it")
        if isinstance(event, yaml.AliasEvent):
            return self._counted(self._alias(str(event.anchor), place), place)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if event.tag not in (None, "!"):
            self._complain(place, f"the tag {event.tag} is not read", "take it out; put text in quotes")
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(place, depth)
        else:
            node = self._mapping(place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _counted(self, node: Node, place: Place) -> Node:
        self._nodes += node.size
        if self._nodes > MAX_NODES:
            _stop(place, f"the manifest holds more than {MAX_NODES} values, aliases counted", "split it")
        return node

    def _complain(self, place: Place, problem: str, fix: str) -> None:
        self._complaints.append(Complaint(place, problem, fix))

    def _alias(self, anchor: str, place: Place) -> Node:
        if anchor not in self._anchors:
            _stop(
                place, f"there is no anchor &{anchor} above", f"define &{anchor} first, or put text with a * in quotes"
            )
        node = self._anchors[anchor]
        if node is None:
            _stop(place, f"*{anchor} contains itself", "write it out")
        return node

    def _scalar(self, event: Any, place: Place) -> Node:
        if bad := _FORBIDDEN.search(event.value):
            problem = f"the text holds a character (U+{ord(bad[0]):04X}) that no name or description may hold"
            self._complain(place, problem, "delete it")
        text = _FORBIDDEN.sub("", event.value)
        value = _resolve(text) if event.implicit[0] and event.tag is None else text
        return self._counted(Node(value, place, text), place)

    def _sequence(self, place: Place, depth: int) -> Node:
        self._counted(Node(None, place), place)
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, depth + 1))
        return Node(tuple(items), place, size=1 + sum(item.size for item in items))

    def _mapping(self, place: Place, depth: int) -> Node:
        self._counted(Node(None, place), place)
        entries: dict[str, Node] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key.value, Scalar):
                self._complain(key.place, "a list or mapping cannot be a key", "write the key as plain text")
            elif key.text in entries:
                first = entries[key.text].key or place
                problem = f"the key `{key.text}` stands here a second time, first on line {first.line}"
                self._complain(key.place, problem, "keep one of the two")
            else:
                entries[key.text] = replace(value, key=key.place)
        return Node(entries, place, size=1 + sum(1 + node.size for node in entries.values()))


def _resolve(text: str) -> Scalar:
    """A plain scalar by the core schema: https://yaml.org/spec/1.2.2/#1032-tag-resolution."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) > _MAX_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text
