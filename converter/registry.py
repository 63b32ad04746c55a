"""An op table: declare, select a version, bind arguments.

An op is a plain function whose name is the standard's and whose parameters are the standard's inputs, then its
attributes, with the standard's defaults. `Softmax` means from version 1 on, `Softmax_13` from 13 on; the largest
version not above the one asked for wins. There are no numerics here: conversion and evaluation share this module only.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

_VERSIONED = re.compile(r"(?P<name>.+?)_(?P<since>\d+)")

Adapt = Callable[[Any, "Parameter"], Any]
F = TypeVar("F", bound=Callable[..., Any])


class BindError(Exception):
    """Arguments do not fit an op's parameters; `parameter` is the one at fault, where there is one."""

    def __init__(self, problem: str, parameter: str | None = None) -> None:
        super().__init__(problem)
        self.parameter = parameter


@dataclass(frozen=True)
class Parameter:
    """One input or attribute of an op: its name, declared type and default (`inspect.Parameter.empty` if required)."""

    name: str
    annotation: Any
    default: Any
    variadic: bool

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty and not self.variadic


@dataclass(frozen=True)
class Op:
    """One version of an op: the function that lowers or computes it, valid from version `since` on."""

    name: str
    since: int
    function: Callable[..., Any]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        hints = typing.get_type_hints(self.function)
        return tuple(
            Parameter(p.name, hints.get(p.name, Any), p.default, p.kind is inspect.Parameter.VAR_POSITIONAL)
            for p in inspect.signature(self.function).parameters.values()
        )

    def bind(
        self, positional: Sequence[Any] = (), named: Mapping[str, Any] | None = None, adapt: Adapt | None = None
    ) -> Callable[[], Any]:
        """Fit arguments to the parameters; the result calls the op.

        A positional None is an input left out: its parameter takes its default. `adapt` turns each given value into
        what the parameter's type asks for. Raises BindError for an argument that no parameter takes, and for a
        parameter without a default that no argument fills.
        """
        adapt = adapt or (lambda value, parameter: value)
        slots = self.parameters
        args: list[Any] = []
        given: dict[str, Any] = {}
        for index, value in enumerate(positional):
            variadic = next((p for p in slots[: index + 1] if p.variadic), None)
            if variadic is not None:
                if value is None:
                    raise BindError("an input of a variadic list is left out", variadic.name)
                args.append(adapt(value, variadic))
            elif index >= len(slots):
                if value is not None:
                    raise BindError(f"takes {len(slots)} inputs, got {len(positional)}")
            elif value is not None:
                given[slots[index].name] = adapt(value, slots[index])
        by_name = {p.name: p for p in slots if not p.variadic}
        for name, value in (named or {}).items():
            if name not in by_name:
                raise BindError(f"{name!r} is not supported here", name)
            if name in given:
                raise BindError(f"{name!r} is given twice", name)
            given[name] = adapt(value, by_name[name])
        for parameter in slots:
            if parameter.required and parameter.name not in given:
                raise BindError(f"{parameter.name!r} is missing", parameter.name)
        leading = []
        if args:
            for parameter in slots:
                if parameter.variadic:
                    break
                leading.append(given.pop(parameter.name, parameter.default))
        return lambda: self.function(*leading, *args, **given)


class Table:
    """The ops of one standard, each in one or more versions."""

    def __init__(self, standard: str) -> None:
        self.standard = standard
        self._versions: dict[str, dict[int, Op]] = {}

    def op(self, function: F) -> F:
        """Declare an op by decorating its function; its name says the op and the version it begins with."""
        versioned = _VERSIONED.fullmatch(function.__name__)
        name, since = (versioned["name"], int(versioned["since"])) if versioned else (function.__name__, 1)
        versions = self._versions.setdefault(name, {})
        if since in versions:
            raise ValueError(f"{self.standard}: {function.__name__} is declared twice")
        versions[since] = Op(name, since, function)
        return function

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def __iter__(self) -> Iterator[Op]:
        """Every version of every op, by name, oldest first."""
        for name in sorted(self._versions):
            yield from (self._versions[name][since] for since in sorted(self._versions[name]))

    def find(self, name: str, version: int) -> Op | None:
        """The op's largest version not above `version`, or None."""
        known = [since for since in self._versions.get(name, ()) if since <= version]
        return self._versions[name][max(known)] if known else None
