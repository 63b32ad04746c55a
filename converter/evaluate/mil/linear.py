"""Chapter linear."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import Declared


@ops.op
def einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    return torch.einsum(equation, *values)


@ops.op
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not x.is_floating_point():
        product = x @ weight.T
        return product if bias is None else product + bias
    # The weights may be integers from iOS17 on; a bias of one value serves all outputs, as coremltools' default has it.
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype).expand(weight.shape[0]))


@ops.op
def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """A transposition swaps the last two axes, and leaves a vector as it is."""
    x = x.transpose(-1, -2) if transpose_x and x.dim() > 1 else x
    y = y.transpose(-1, -2) if transpose_y and y.dim() > 1 else y
    return torch.matmul(x, y)


@ops.op
def matmul_17(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Declared:
    """The factors may be of two types, where one is a constant; the result is of the other's."""
    x, y = (x, y) if x.dtype == y.dtype else (x.float(), y.float())
    return Declared(matmul(x, y, transpose_x, transpose_y))
