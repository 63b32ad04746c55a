"""What a module answers: run once, flattened and named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from converter.errors import SourceError
from converter.load import blame


class Flat(torch.nn.Module):
    """A module whose mapping, list or nested outputs become a flat tuple of tensors (a bare tensor if there is one)."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> Any:
        tensors = tuple(tensor for _, tensor in named(self.module(*inputs)))
        return tensors if len(tensors) > 1 else tensors[0]


def named(answer: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every leaf of an answer, with the key or field it stands under (empty where there is none); None is left out."""
    if answer is None:
        return []
    if isinstance(answer, Mapping):
        return [leaf for key, value in answer.items() for leaf in named(value, str(key))]
    if isinstance(answer, tuple | list):
        fields = getattr(answer, "_fields", ("",) * len(answer))
        return [leaf for field, value in zip(fields, answer, strict=True) for leaf in named(value, field or name)]
    return [(name, answer)]


def is_flat(answer: Any) -> bool:
    """Whether every route takes the answer as it is: a tensor, or a plain tuple of tensors."""
    if isinstance(answer, torch.Tensor):
        return True
    return type(answer) is tuple and all(isinstance(value, torch.Tensor) for value in answer)


def run(module: Any, inputs: Sequence[torch.Tensor], names: Sequence[str], root: Path) -> Any:
    """The module's answer to one set of inputs, without gradients.

    Raises SourceError where it refuses them (a picture of the wrong size, say) or answers with anything but tensors.
    """
    try:
        with torch.no_grad():
            answer = module(*inputs)
    # the user's module may raise anything
    except Exception as error:
        shapes = ", ".join(f"{n} {list(t.shape)}" for n, t in zip(names, inputs, strict=True))
        raise SourceError(
            f"the model refuses an input of the promised size, {shapes}: {blame.words(error, root)}",
            fix="make the manifest's `inputs` (size, shape, dtype, their number and order) what the model takes",
        ) from error
    leaves = named(answer)
    wrong = next((value for _, value in leaves if not isinstance(value, torch.Tensor)), None)
    if wrong is not None or not leaves:
        what = f"{type(wrong).__name__} among its outputs" if leaves else "nothing"
        raise SourceError(f"the model returns {what}", fix="return a tensor, or a tuple of tensors")
    return answer


def refuse_nan(names: Sequence[str], tensors: Sequence[torch.Tensor], inputs: str) -> None:
    """Raises SourceError where an output holds NaN."""
    for name, tensor in zip(names, tensors, strict=True):
        count = int(torch.isnan(tensor).sum()) if tensor.is_floating_point() else 0
        if count:
            raise SourceError(
                f"output {name} holds NaN, {count} of {tensor.numel()} values, for {inputs}",
                fix="check the checkpoint (it may be damaged or of another architecture) and the normalisation",
            )


def refuse_chance(names: Sequence[str], first: Sequence[torch.Tensor], again: Sequence[torch.Tensor]) -> None:
    """Raises SourceError where the same input had another answer the second time; rounding (1e-3) is no difference."""
    for name, one, other in zip(names, first, again, strict=True):
        slack = 1e-3 if one.is_floating_point() and one.numel() else 0.0
        largest = float(one.abs().max()) if slack else 0.0
        if one.shape != other.shape or not torch.allclose(one, other, rtol=slack, atol=slack * largest):
            raise SourceError(
                f"output {name} differs from one run to the next on the same input",
                fix="take chance and state out of forward(): F.dropout needs training=self.training",
            )
