"""Gather and scatter; indices may count from the end."""

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.layers.table import layers


@layers.op
def gather(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    position = axis % x.dim()
    chosen = x.index_select(position, _wrapped(indices, x.shape[position]).flatten())
    return chosen.reshape((*x.shape[:position], *indices.shape, *x.shape[position + 1 :]))


@layers.op
def gatherAlongAxis(x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    return x.gather(axis, _wrapped(indices, x.shape[axis]))


@layers.op
def gatherND(x: Tensor, indices: Tensor) -> Tensor:
    return x[_points(indices, x.shape)]


@layers.op
def scatter(container: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "SCATTER_UPDATE") -> Tensor:
    return _scattered(container, gather(_places(container), indices, axis), updates, mode)


@layers.op
def scatterAlongAxis(
    container: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "SCATTER_UPDATE"
) -> Tensor:
    places = _places(container).gather(axis, _wrapped(indices, container.shape[axis]))
    return _scattered(container, places, updates, mode)


@layers.op
def scatterND(container: Tensor, indices: Tensor, updates: Tensor, mode: str = "SCATTER_UPDATE") -> Tensor:
    return _scattered(container, _places(container)[_points(indices, container.shape)], updates, mode)


def _places(container: Tensor) -> Tensor:
    """Each element's index in memory: gathered like the data, it says where a scatter writes."""
    return torch.arange(container.numel()).reshape(container.shape)


def _points(indices: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
    columns = indices.unbind(-1)
    return tuple(_wrapped(column, size) for column, size in zip(columns, shape[: len(columns)], strict=True))


def _wrapped(indices: Tensor, size: int) -> Tensor:
    whole = indices.long()
    if whole.numel() and (int(whole.min()) < -size or int(whole.max()) >= size):
        raise EvaluationError(f"an index lies outside the axis of length {size}: {_worst(whole, size)}")
    return torch.where(whole < 0, whole + size, whole)


def _worst(indices: Tensor, size: int) -> int:
    low, high = int(indices.min()), int(indices.max())
    return high if high >= size else low


def _scattered(container: Tensor, places: Tensor, updates: Tensor, mode: str) -> Tensor:
    if places.numel() != updates.numel():
        raise EvaluationError(
            f"updates of shape {list(updates.shape)} do not fit the {places.numel()} places they go to"
        )
    y, where, values = container.flatten().clone(), places.flatten(), updates.flatten()
    match mode:
        case "SCATTER_UPDATE":
            y[where] = values
        case "SCATTER_ADD":
            y.index_add_(0, where, values)
        case "SCATTER_SUB":
            y.index_add_(0, where, values, alpha=-1)
        case "SCATTER_MUL":
            y.scatter_reduce_(0, where, values, "prod")
        case "SCATTER_DIV":
            y /= torch.ones_like(y).scatter_reduce_(0, where, values, "prod")
        case "SCATTER_MAX":
            y.scatter_reduce_(0, where, values, "amax")
        case _:
            y.scatter_reduce_(0, where, values, "amin")
    return y.reshape(container.shape)
