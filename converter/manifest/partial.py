"""What is right in a model that is partly wrong, so that one mistake does not hide the next."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from converter.manifest.schema import Key, Model

_Path = tuple[Key, ...]

# What takes the place of a required key that is wrong itself; no check looks at it.
_STAND_INS = {"name": "model", "source": {"onnx": {"path": "model.onnx"}}}
_ROUNDS = 12  # a record that is broken by what was taken out of it goes in the next round


def is_tag(key: Key) -> bool:
    """True for the part of a path that names a member of a union, and stands nowhere in the YAML."""
    return isinstance(key, str) and key.startswith("<") and key.endswith(">")


def partial_model(entry: dict[str, Any], errors: Iterable[Any]) -> tuple[Model, set[_Path]] | None:
    """The model without what is wrong in it, and the paths of what was left out.

    `entry` is consumed. `errors` are pydantic's, their paths below the model. None where nothing could be kept.
    """
    left_out: set[_Path] = set()
    for _ in range(_ROUNDS):
        for path in {path for error in errors for path in _paths(error)}:
            left_out.add(_take_out(entry, path))
        try:
            return Model.model_validate({**_STAND_INS, **entry}), left_out
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
    return None


def _paths(error: Any) -> Iterator[_Path]:
    """The paths to take out for one error; of a list all, as its items are known by their numbers."""
    ends: list[_Path] = [()]
    if error["type"] == "complaints":
        ends = [complaint.path for complaint in error["ctx"]["complaints"]]
    for end in ends:
        path = tuple(key for key in (*error["loc"], *end) if not is_tag(key))
        numbers = [index for index, key in enumerate(path) if isinstance(key, int)]
        yield path[: numbers[0]] if numbers else path


def _take_out(entry: dict[str, Any], path: _Path) -> _Path:
    """Delete what is at a path, or the nearest record around it that is still there; returns what went."""
    for length in range(len(path), 0, -1):
        record: Any = entry
        for key in path[: length - 1]:
            record = record.get(key) if isinstance(record, dict) else None
        if isinstance(record, dict) and path[length - 1] in record:
            del record[path[length - 1]]
            return path[:length]
    return path


def hides(left_out: Iterable[_Path], path: _Path) -> bool:
    """True for a complaint about what only seems so because something was left out."""
    return any(path[: len(gone)] == gone or (path and gone[: len(path)] == path) for gone in left_out)
