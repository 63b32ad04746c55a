"""Records as JSON values, and back: frozen dataclasses of model.py, with nothing but the standard library."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin


def to_plain(value: Any) -> Any:
    """A record as JSON values: a path as its name, and infinity as the text "inf", which JSON's numbers lack."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """A value of type `kind` from its JSON values, by the types of its fields. Raises ValueError where they differ."""
    if dataclasses.is_dataclass(kind):
        return _record(kind, value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value)
    if origin is tuple:
        _is(list, value)
        members = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(from_plain(member, item) for member, item in zip(members, value, strict=True))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: from_plain(arguments[1], item) for key, item in _is(dict, value).items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} is none of {arguments}")
        return value
    if kind is Path:
        return Path(_is(str, value))
    if kind is float:
        return float(value) if isinstance(value, str) else _is((float, int), value)  # infinity is a text
    return value if kind is Any else _is(kind, value)


def _record(kind: Any, value: Any) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = set(_is(dict, value)) - set(hints)
    missing = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    } - set(value)
    if unknown or missing:
        raise ValueError(f"{kind.__name__} with {sorted(unknown)} and without {sorted(missing)}")
    return kind(**{name: from_plain(hints[name], item) for name, item in value.items()})


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """The first of the union's types that the value fits: records are told apart by their fields."""
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return from_plain(kind, value)
        except (ValueError, TypeError):
            continue
    raise ValueError(f"{value!r} is none of {kinds}")


def _is(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r} is no {getattr(kind, '__name__', kind)}")
    return value
