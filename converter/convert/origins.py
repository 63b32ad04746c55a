"""Where the values of a converted file come from, for whoever looks for a mistake in it."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Origin:
    """`op_type` and `name` are an ONNX node's, or MIL's and the torch module's; `value` is an ONNX value."""

    op_type: str
    name: str
    value: str = ""


@dataclass
class Origins:
    """Filled while a model is converted."""

    noted: list[tuple[Any, str, Origin]] = field(default_factory=list)

    def note(self, var: Any, origin: Origin) -> None:
        """Remember a MIL Var, which may get another name later."""
        self.noted.append((var, var.name, origin))

    def by_name(self) -> dict[str, Origin]:
        """By the value's name in the file, where conversion left it; of two of one name the later is nearer the end."""
        early = {name: origin for _, name, origin in self.noted}
        return early | {var.name: origin for var, _, origin in self.noted}


_recorded: ContextVar[Origins | None] = ContextVar("origins", default=None)


@contextlib.contextmanager
def recording() -> Iterator[Origins]:
    """Note the origins of what is converted within."""
    origins = Origins()
    token = _recorded.set(origins)
    try:
        yield origins
    finally:
        _recorded.reset(token)


def note(var: Any, origin: Origin) -> None:
    """Remember where a MIL Var comes from, if anybody asks."""
    if (origins := _recorded.get()) is not None and hasattr(var, "sym_type"):
        origins.note(var, origin)


def is_recording() -> bool:
    return _recorded.get() is not None
