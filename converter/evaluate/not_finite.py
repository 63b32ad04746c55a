"""The first value of a run that is not finite, and what made it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Look = Callable[[str, Any, str], None]
"""Called in a run with each value's name, the value, and the place of what made it."""


class Found(Exception):  # noqa: N818
    """No error: the run ends, what was looked for is there."""

    def __init__(self, found: "NotFinite") -> None:
        super().__init__(str(found))
        self.found = found


@dataclass(frozen=True)
class NotFinite:
    """`place` is the operation or layer, or the input, that gave `name`, a value of `size` numbers."""

    place: str
    name: str
    nan: int
    infinite: int
    size: int

    def __str__(self) -> str:
        parts = [f"{count} {word}" for count, word in ((self.nan, "NaN"), (self.infinite, "infinite")) if count]
        return f"{self.place} is the first that gives {' and '.join(parts)} of {self.size} numbers, in {self.name!r}"


def look(name: str, value: Any, place: str) -> None:
    """Raise Found for a tensor that holds NaN or infinity."""
    import torch  # describing a pipeline comes by here, and needs none

    if isinstance(value, torch.Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
        nan, infinite = int(torch.isnan(value).sum()), int(torch.isinf(value).sum())
        raise Found(NotFinite(place, name, nan, infinite, value.numel()))
