"""Chapter scatter_gather. Before iOS17 indices may count from the end.

An index outside the axis, and a negative one from iOS17 on, is an error whether validate_indices asks for it or not:
Core ML gives no defined value then, and coremltools' frontends take care to write none.
"""

import math
from typing import Any

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops


@ops.op
def gather(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return gather_16(x, indices, axis)


@ops.op
def gather_16(x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0) -> Tensor:
    axis %= x.dim()
    index = _within(indices, x.shape[axis])
    batch = x.shape[:batch_dims]
    if not batch_dims:
        taken = x.index_select(axis, index.reshape(-1))
        return taken.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    count = math.prod(batch)
    rows = x.reshape(count, *x.shape[batch_dims:])
    places = index.reshape(count, -1)
    at = axis - batch_dims
    taken = torch.stack([row.index_select(at, place) for row, place in zip(rows, places, strict=True)])
    return taken.reshape((*x.shape[:axis], *indices.shape[batch_dims:], *x.shape[axis + 1 :]))


@ops.op
def gather_17(x: Tensor, indices: Tensor, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    return gather_16(x, _from_front(indices), axis, batch_dims)


@ops.op
def gather_along_axis(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return torch.take_along_dim(x, _within(indices, x.shape[axis]), axis)


@ops.op
def gather_along_axis_17(x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False) -> Tensor:
    return gather_along_axis(x, _from_front(indices), axis)


@ops.op
def gather_nd(x: Tensor, indices: Tensor) -> Tensor:
    return gather_nd_16(x, indices)


@ops.op
def gather_nd_16(x: Tensor, indices: Tensor, batch_dims: int = 0) -> Tensor:
    count = math.prod(x.shape[:batch_dims])
    rows = x.reshape(count, *x.shape[batch_dims:])
    places = indices.reshape(count, *indices.shape[batch_dims:])
    taken = torch.stack([row[_columns(place, row)] for row, place in zip(rows, places, strict=True)])
    return taken.reshape((*x.shape[:batch_dims], *taken.shape[1:]))


@ops.op
def gather_nd_17(x: Tensor, indices: Tensor, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    return gather_nd_16(x, _from_front(indices), batch_dims)


@ops.op
def scatter(data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add") -> Tensor:
    axis %= data.dim()
    index = _within(indices, data.shape[axis]).reshape(-1)
    return _scattered(data.movedim(axis, 0), (index,), updates.movedim(axis, 0), mode).movedim(0, axis)


@ops.op
def scatter_17(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    return scatter(data, _from_front(indices), updates, axis, mode)


@ops.op
def scatter_along_axis(data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add") -> Tensor:
    axis %= data.dim()
    index = _within(indices, data.shape[axis])
    grid = list(torch.meshgrid(*(torch.arange(n) for n in indices.shape), indexing="ij"))
    grid[axis] = index
    return _scattered(data, tuple(grid), updates, mode)


@ops.op
def scatter_along_axis_17(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    return scatter_along_axis(data, _from_front(indices), updates, axis, mode)


@ops.op
def scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add") -> Tensor:
    return _scattered(data, _columns(indices, data), updates, mode)


@ops.op
def scatter_nd_17(
    data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add", validate_indices: bool = False
) -> Tensor:
    return scatter_nd(data, _from_front(indices), updates, mode)


def _from_front(indices: Tensor) -> Tensor:
    if indices.numel() and int(indices.min()) < 0:
        raise IndexError(f"index {int(indices.min())}; from iOS17 on, indices may not be negative")
    return indices


def _within(indices: Tensor, size: int) -> Tensor:
    """Indices as int64, counted from the front."""
    index = indices.to(torch.int64)
    if index.numel() and (int(index.min()) < -size or int(index.max()) >= size):
        raise IndexError(f"indices {int(index.min())} to {int(index.max())} for an axis of size {size}")
    return torch.where(index < 0, index + size, index)


def _columns(indices: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """The last axis of `indices` as one index per leading axis of `x`."""
    return tuple(_within(indices[..., i], x.shape[i]) for i in range(indices.shape[-1]))


def _scattered(data: Tensor, index: tuple[Tensor, ...], updates: Tensor, mode: str) -> Tensor:
    """`updates` worked into `data` at data[index]; places that occur twice count twice, the last one in "update"."""
    rest = data.shape[len(index) :]
    flat_index = torch.zeros_like(index[0])
    for part, size in zip(index, data.shape, strict=False):
        flat_index = flat_index * size + part
    target = data.reshape(math.prod(data.shape[: len(index)]), -1).clone()
    places = flat_index.reshape(-1)
    source = updates.expand((*index[0].shape, *rest)).reshape(places.numel(), -1)
    spread = places.unsqueeze(1).expand_as(source)
    result: Any
    if mode == "update":
        for place, row in zip(places.tolist(), source, strict=True):
            target[place] = row
        result = target
    elif mode in ("add", "sub"):
        result = target.scatter_add(0, spread, source if mode == "add" else -source)
    elif mode == "div":
        result = torch.ones_like(target).scatter_reduce(0, spread, source, "prod")
        result = target / result if target.is_floating_point() else torch.div(target, result, rounding_mode="trunc")
    else:
        result = target.scatter_reduce(0, spread, source, {"mul": "prod", "max": "amax", "min": "amin"}[mode])
    answer: Tensor = result.reshape(data.shape)
    return answer
