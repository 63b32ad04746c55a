"""What the types found wrong, in words that say how to put it right."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from converter.manifest.document import Node
from converter.manifest.publish import REPOSITORY
from converter.manifest.record import FACTORY, FEATURE_NAME, MODEL_NAME, ONE_LINE, SHA256, Key
from converter.manifest.s3 import BUCKET

_PATTERNS = {
    FEATURE_NAME: ("is no name that Core ML takes", "use letters, digits and _, and begin with a letter or _"),
    MODEL_NAME: ("cannot be the name of a file on a release page", "use letters, digits, dots, - and _"),
    SHA256: ("is not a SHA-256", "write its 64 hex digits, as sha256sum prints them"),
    ONE_LINE: ("is not one line of text", "write it on one line"),
    REPOSITORY: ("is not the name of a repository", "write OWNER/REPO"),
    BUCKET: ("is not the name of a bucket", "write the name alone, without s3://; the prefix has a key of its own"),
    FACTORY: ("does not name a function", "write path/to/file.py:function or package.module:function"),
}
_RECORDS = {
    "File": "a path or {path or url, sha256}",
    "Labelled": "{path or url, min_accuracy, max_accuracy_drop}",
    "GithubOptions": "OWNER/REPO or {repository, tag, name, notes, draft, prerelease, latest, existing}",
    "S3Options": "BUCKET or {bucket, prefix, ...}",
    "Dimension": "{lower, upper, default}",
}
_SECOND_GUESSES = {
    "<<": "merge keys are not read; what all models share belongs in `defaults`",
    "compute_precision": "a .mlmodel has no compute precision of its own; build mlpackage to choose one",
    "float32_ops": "a .mlmodel has no compute precision of its own; build mlpackage to choose it by op",
}


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant; capitals do not count."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def one_of(words: Iterable[str], joint: str = "or") -> str:
    """`a, b or c`."""
    *rest, last = words
    return f"{', '.join(rest)} {joint} {last}" if rest else last


def kind(node: Node) -> str:
    """What stands at a node, for `NODE is written here`."""
    match node.value:
        case None:
            return "nothing"
        case bool():
            return f"the switch {node.text}"
        case int() | float():
            return f"the number {node.text}"
        case str():
            return f"the text {quoted(node.text)}"
        case tuple():
            return "a list"
    return "a mapping"


def quoted(text: str) -> str:
    """Text as a person recognises it, shortened where it is long."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return '"' + short.replace("\n", "\\n") + '"'


def in_words(error: Mapping[str, Any], node: Node, record: type[BaseModel] | None) -> tuple[str, str]:
    """Problem and fix for one of pydantic's errors; `node` is where it happened, `record` the type around it."""
    context: Mapping[str, Any] = error.get("ctx", {})
    name = error["loc"][-1] if error["loc"] else ""
    found = f"{kind(node)} is written here"
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(str(name), record)
        case "missing":
            return _missing(name, record)
        case "string_type":
            text = f'put it in quotes: "{node.text}"' if node.text and not isinstance(node.value, str) else "write text"
            return f"{found}, text is expected", text
        case "string_too_short":
            return "the text is empty", "write it, or take the key out"
        case "string_too_long":
            return f"{quoted(node.text)} has more than {context['max_length']} characters", "shorten it"
        case "string_pattern_mismatch":
            problem, fix = _PATTERNS.get(context["pattern"], (f"does not match {context['pattern']}", "change it"))
            return f"{quoted(node.text)} {problem}", fix
        case "int_type" | "int_from_float":
            return f"{found}, a whole number is expected", _number(node)
        case "float_type" | "finite_number":
            return f"{found}, a number is expected", _number(node)
        case "bool_type":
            return f"{found}, true or false is expected", "write true or false, without quotes"
        case "literal_error":
            return _choice(node, re.findall(r"'([^']*)'", context["expected"]), found)
        case "greater_than_equal" | "less_than_equal":
            bound, words = (context["ge"], "at least") if "ge" in context else (context["le"], "at most")
            fix = f"write {words} {bound:g}"
            if record is not None and record.__name__ in ("Tensor", "Dimension") and "ge" in context:
                fix += "; a size that may vary is {lower, upper}, and Core ML takes none without bounds"
            return f"{node.text or node.plain} is out of bounds", fix
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type":
            expected = _RECORDS.get(context.get("class_name", ""), "a mapping of keys to values")
            return f"{found}, {expected} is expected", "write it so, or take the key out"
        case "tuple_type":
            return f"{found}, a list is expected", "begin each item with a dash, or write [a, b]"
        case "too_short":
            return "the list is too short", f"give at least {context['min_length']}"
        case "too_long":
            return f"the list has {context['actual_length']} items", f"give at most {context['max_length']}"
        case "shape":
            return f"{found}, {error['msg']} is expected", "write one of these"
        case "one_key":
            return _one_key(node, error["msg"].split(", "), found)
    return f"{found}: {error['msg']}", "change it"


def _number(node: Node) -> str:
    if isinstance(node.value, str) and re.fullmatch(r"[-+]?[0-9.]+", node.value):
        return "take the quotes off"
    return "write a number"


def keys_of(record: type[BaseModel]) -> list[str]:
    """The keys that a record takes in YAML."""
    return [field.alias or name for name, field in record.model_fields.items()]


def records_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every record that a type names, through unions, tuples and annotations."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from records_in(argument)


def _unknown_key(name: str, record: type[BaseModel] | None) -> tuple[str, str]:
    problem = f"there is no key `{name}` here"
    if record is None:
        return problem, "take it out"
    if name == "<<" or (name in _SECOND_GUESSES and record.__name__ == "MlmodelOptions"):
        return problem, _SECOND_GUESSES[name]
    below = [
        f"`{field.alias or key}`"
        for key, field in record.model_fields.items()
        if any(name in keys_of(inner) for inner in records_in(field.annotation))
    ]
    if below:
        return problem, f"it belongs below {one_of(below)}"
    if guess := nearest(name, keys_of(record)):
        return problem, f"did you mean `{guess}`?"
    keys = keys_of(record)
    return problem, f"the keys are {one_of(keys, 'and')}" if len(keys) > 1 else f"the only key is `{keys[0]}`"


def _missing(name: Key, record: type[BaseModel] | None) -> tuple[str, str]:
    if isinstance(name, int):
        return f"number {name + 1} of the list is missing", "the list needs two numbers"
    field = record.model_fields.get(name) if record else None
    description = (field.description or "").split(".")[0].split(";")[0] if field else ""
    return f"the key `{name}` is missing", f"add `{name}:`{f' ({description})' if description else ''}"


def _choice(node: Node, choices: list[str], found: str) -> tuple[str, str]:
    expected = one_of(choices)
    if not isinstance(node.value, str):
        return f"{found}, {expected} is expected", "choose one of these"
    problem = f"{quoted(node.text)} is not one of the choices"
    if "iOS13" in choices:
        return problem, f"a .mlmodel takes {expected}, a .mlpackage iOS15 and later"
    if "iOS16" in choices:
        return problem, f"a .mlpackage takes {expected}, a .mlmodel older ones"
    guess = nearest(node.value, choices)
    return problem, f"did you mean {guess}? the choices are {expected}" if guess else f"choose {expected}"


def _one_key(node: Node, kinds: list[str], found: str) -> tuple[str, str]:
    choices = one_of(kinds)
    if not isinstance(node.value, Mapping):
        if isinstance(node.value, str) and (guess := nearest(node.value, kinds)):
            return f"{quoted(node.text)} is not known here", f"did you mean {guess}?"
        return (
            f"{found}, a mapping with one of the keys {choices} is expected",
            f"write {{{kinds[0]}: ...}} for example",
        )
    present = [name for name in kinds if name in node.value]
    if present:
        fix = "begin each with a dash of its own" if "mlmodel" in kinds else "keep one of them"
        return f"{one_of(present, 'and')} are keys of one and the same mapping", fix
    for name in node.value:
        if guess := nearest(name, kinds):
            return f"there is no key `{name}` here", f"did you mean `{guess}`?"
    return "what it is is not said", f"add one of the keys {choices}"
