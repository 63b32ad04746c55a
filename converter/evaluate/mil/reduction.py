"""Chapter reduction. Without axes, all are reduced."""

from collections.abc import Sequence

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import BY_NAME, Typed

Axes = Sequence[int] | None


@ops.op
def reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False) -> Typed:
    return Typed(torch.argmax(x, axis, keep_dims))


@ops.op
def reduce_argmax_17(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Typed:
    return Typed(BY_NAME[output_dtype].fit(torch.argmax(x, axis, keep_dims)))


@ops.op
def reduce_argmin(x: Tensor, axis: int = -1, keep_dims: bool = False) -> Typed:
    return Typed(torch.argmin(x, axis, keep_dims))


@ops.op
def reduce_argmin_17(x: Tensor, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Typed:
    return Typed(BY_NAME[output_dtype].fit(torch.argmin(x, axis, keep_dims)))


@ops.op
def reduce_l1_norm(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.sum(torch.abs(x), _all(axes, x), keep_dims)


@ops.op
def reduce_l2_norm(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.sqrt(torch.sum(_exact(x).square(), _all(axes, x), keep_dims)).to(x.dtype)


@ops.op
def reduce_log_sum(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.log(torch.sum(_exact(x), _all(axes, x), keep_dims)).to(x.dtype)


@ops.op
def reduce_log_sum_exp(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.logsumexp(_exact(x), _all(axes, x), keep_dims).to(x.dtype)


@ops.op
def reduce_max(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.amax(x, _all(axes, x), keep_dims)


@ops.op
def reduce_mean(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.mean(_exact(x), _all(axes, x), keep_dims).to(x.dtype)


@ops.op
def reduce_min(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.amin(x, _all(axes, x), keep_dims)


@ops.op
def reduce_prod(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    reduced = [axis % x.dim() for axis in _all(axes, x)]
    kept = [axis for axis in range(x.dim()) if axis not in reduced]
    product = x.permute((*kept, *reduced)).flatten(len(kept)).prod(-1) if x.dim() else x
    if not keep_dims:
        return product
    return product.reshape([1 if axis in reduced else size for axis, size in enumerate(x.shape)])


@ops.op
def reduce_sum(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.sum(x, _all(axes, x), keep_dims)


@ops.op
def reduce_sum_square(x: Tensor, axes: Axes = None, keep_dims: bool = False) -> Tensor:
    return torch.sum(x.square(), _all(axes, x), keep_dims)


def _all(axes: Axes, x: Tensor) -> list[int]:
    return list(range(x.dim()) if axes is None else axes)


def _exact(x: Tensor) -> Tensor:
    """Integers as float64, for formulas that leave the integers; the result is truncated."""
    return x if x.is_floating_point() else x.double()
