"""Records as JSON values, and back: frozen dataclasses of model.py, with nothing but the standard library."""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

_Read = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """A record as JSON values: a path as its name, and infinity as the text "inf", which JSON's numbers lack."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _names(type(value))}
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """A value of type `kind` from its JSON values, by the types of its fields. Raises ValueError where they differ."""
    return _reader(kind)(value)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _reader(kind: Any) -> _Read:
    """What reads a type; made once for each, as looking at annotations takes longer than reading the value."""
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = _reader(arguments[1])
        return lambda value: {key: item(each) for key, each in _is(dict, value).items()}
    if origin is typing.Literal:
        return functools.partial(_literal, arguments)
    if kind is Path:
        return lambda value: Path(_is(str, value))
    if kind is float:  # infinity is a text
        return lambda value: float(value) if isinstance(value, str) else _is((float, int), value)
    return (lambda value: value) if kind is Any else functools.partial(_is, kind)


def _record(kind: Any) -> _Read:
    hints = typing.get_type_hints(kind)
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    readers = {name: _reader(hint) for name, hint in hints.items()}

    def read(value: Any) -> Any:
        unknown, missing = _is(dict, value).keys() - readers.keys(), required - value.keys()
        if unknown or missing:
            raise ValueError(f"{kind.__name__} with {sorted(unknown)} and without {sorted(missing)}")
        return kind(**{name: readers[name](item) for name, item in value.items()})

    return read


def _tuple(arguments: tuple[Any, ...]) -> _Read:
    readers = tuple(_reader(member) for member in arguments if member is not Ellipsis)
    any_number = arguments[-1] is Ellipsis

    def read(value: Any) -> Any:
        items = _is(list, value)
        members = readers * len(items) if any_number else readers
        return tuple(member(item) for member, item in zip(members, items, strict=True))

    return read


def _literal(known: tuple[Any, ...], value: Any) -> Any:
    if value not in known:
        raise ValueError(f"{value!r} is none of {known}")
    return value


def _one_of(kinds: tuple[Any, ...]) -> _Read:
    """The first of the union's types that the value fits: records are told apart by their fields."""
    readers = [_reader(kind) for kind in kinds if kind is not type(None)]

    def read(value: Any) -> Any:
        if value is None and type(None) in kinds:
            return None
        for reader in readers:
            try:
                return reader(value)
            except (ValueError, TypeError):
                continue
        raise ValueError(f"{value!r} is none of {kinds}")

    return read


def _is(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r} is no {getattr(kind, '__name__', kind)}")
    return value
