"""From a program's values to what an op's parameter asks for."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from converter.evaluate.mil.table import Block
from converter.registry import BindError, Parameter

_SCALARS = {int: int, float: float, bool: bool, str: str}


def adapt(bound: Any, parameter: Parameter) -> Any:
    """What `parameter` asks for, from the list of values bound to it (or a block)."""
    wanted = asked(parameter.annotation)
    if wanted == Block:
        return bound
    if wanted == Sequence[torch.Tensor]:
        return [_computable(_tensor(value, parameter)) for value in bound]
    if wanted == Sequence[Any]:
        return bound
    if len(bound) != 1:
        raise BindError(f"{parameter.name!r} takes one value, got {len(bound)}", parameter.name)
    (value,) = bound
    if wanted is torch.Tensor:
        return _computable(_tensor(value, parameter))
    if wanted is Any:
        return value
    if wanted in _SCALARS:
        return _scalar(value, wanted, parameter)
    if wanted == Sequence[int]:
        if isinstance(value, torch.Tensor) and value.dim() <= 1 and not value.is_floating_point():
            return [int(item) for item in value.reshape(-1).tolist()]
    elif wanted == Sequence[bool]:
        if isinstance(value, torch.Tensor) and value.dim() <= 1 and value.dtype == torch.bool:
            return value.reshape(-1).tolist()
    else:
        raise TypeError(f"no rule for the annotation {parameter.annotation} of {parameter.name}")
    raise BindError(f"{parameter.name!r} is not a list of {wanted.__args__[0].__name__}", parameter.name)


def _scalar(value: Any, wanted: type, parameter: Parameter) -> Any:
    if wanted is str:
        if isinstance(value, str):
            return value
    elif isinstance(value, torch.Tensor) and value.numel() == 1:
        kind = bool if value.dtype == torch.bool else float if value.is_floating_point() else int
        if kind is wanted or (wanted is float and kind is int):
            return wanted(value.item())
    raise BindError(f"{parameter.name!r} is not one {wanted.__name__}", parameter.name)


def _tensor(value: Any, parameter: Parameter) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise BindError(f"{parameter.name!r} is not a tensor but a {type(value).__name__}", parameter.name)
    return value


def _computable(tensor: torch.Tensor) -> torch.Tensor:
    """torch's half kernels on a CPU are slow and differ; float32 ones give what a wide accumulator would."""
    return tensor.float() if tensor.is_floating_point() else tensor


@cache
def asked(annotation: Any) -> Any:
    """A parameter's type; of an optional one, the type that is not None."""
    arguments = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
    is_optional = len(arguments) + 1 == len(getattr(annotation, "__args__", ())) and len(arguments) == 1
    return arguments[0] if is_optional else annotation
