"""Chapter control_flow. A list is Python's, of tensors; None is an element that was never written."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from converter.evaluate.limits import check_iterations, check_size
from converter.evaluate.mil.table import Block, ops
from converter.evaluate.mil.types import BY_NAME, Typed


@ops.op
def cond(pred: bool, _true_fn: Block, _false_fn: Block) -> Any:
    return tuple(_true_fn() if pred else _false_fn())


@ops.op
def list_gather(ls: Any, indices: Tensor) -> Any:
    return torch.stack([_element(ls, index) for index in indices.reshape(-1).tolist()])


@ops.op
def list_length(ls: Any) -> Typed:
    return Typed(torch.tensor(len(ls), dtype=torch.int32))


@ops.op
def list_read(ls: Any, index: int) -> Any:
    return _element(ls, index)


@ops.op
def list_scatter(ls: Any, indices: Tensor, value: Tensor) -> Any:
    for index, item in zip(indices.reshape(-1).tolist(), value, strict=True):
        ls = list_write(ls, index, item)
    return ls


@ops.op
def list_write(ls: Any, index: int, value: Tensor) -> Any:
    """A list grows as far as it is written, by zeros."""
    index += len(ls) if index < 0 else 0
    check_size([index, max(value.numel(), 16)])  # an element takes 64 bytes, however small
    empty = torch.zeros_like(value)
    return [value if i == index else ls[i] if i < len(ls) else empty for i in range(max(len(ls), index + 1))]


@ops.op
def make_list(
    *, init_length: int = 1, dynamic_length: bool = True, elem_shape: Sequence[Any], dtype: str = "fp32"
) -> Any:
    """Elements are 0 until they are written, where their shape is known."""
    check_size([init_length, 16])
    if not all(isinstance(size, Tensor) for size in elem_shape):
        return [None] * init_length
    shape = [int(size) for part in elem_shape for size in part.reshape(-1)]
    check_size([init_length, *shape])
    return [torch.zeros(shape, dtype=BY_NAME[dtype].carrier) for _ in range(init_length)]


@ops.op
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(cond, a, b)


@ops.op
def while_loop(_cond: Block, _body: Block, loop_vars: Sequence[Any]) -> Any:
    values = list(loop_vars)
    for count in itertools.count():
        if not bool(_cond(*values)[0]):
            break
        check_iterations(count + 1)
        values = _body(*values)
    return tuple(values)


def _element(ls: Any, index: int) -> Any:
    if not -len(ls) <= index < len(ls) or ls[index] is None:
        raise IndexError(f"element {index} of a list of {len(ls)} was never written")
    return ls[index]
