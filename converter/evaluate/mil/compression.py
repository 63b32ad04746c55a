"""Chapter compression: weights as iOS18 compresses them."""

from typing import Any

import torch
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import Typed


@ops.op
def constexpr_blockwise_shift_scale_18(data: Any, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """`data` may be floats too; the result has the scale's type."""
    levels: Tensor = data.float() if offset is None else data.float() - _blown_up(offset.float(), data)
    return levels * _blown_up(scale, data)


@ops.op
def constexpr_lut_to_dense_18(indices: Tensor, lut: Tensor, vector_axis: int | None = None) -> Typed:
    """`lut` is [*groups, palettes, vector size]: a table per group of indices, a vector per entry; its type counts."""
    tables = lut.flatten(0, -3)
    groups = torch.arange(tables.shape[0]).reshape(lut.shape[:-2])
    entries = tables[_blown_up(groups, indices), indices.to(torch.int64)]
    return Typed(_spread(entries, vector_axis))


@ops.op
def constexpr_lut_to_sparse_18(
    indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: int | None = None
) -> tuple[Tensor, Typed]:
    indices = constexpr_sparse_to_dense_18(indices_nonzero_data, indices_mask)
    dense = constexpr_lut_to_dense_18(indices, lut, vector_axis)
    mask = _spread(indices_mask.unsqueeze(-1).expand((*indices_mask.shape, lut.shape[-1])), vector_axis)
    return mask, Typed(dense[mask.bool()])


@ops.op
def constexpr_sparse_blockwise_shift_scale_18(
    data_mask: Tensor, nonzero_data: Any, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    data = constexpr_sparse_to_dense_18(nonzero_data, data_mask)
    return data_mask, constexpr_blockwise_shift_scale_18(data, scale, offset)[data_mask.bool()]


@ops.op
def constexpr_sparse_to_dense_18(nonzero_data: Tensor, mask: Tensor) -> Tensor:
    result = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    result[mask.bool()] = nonzero_data
    return result


def _blown_up(values: Tensor, data: Tensor) -> Tensor:
    """Each value repeated over its block of `data`; every axis of `data` is a multiple."""
    for axis, (size, count) in enumerate(zip(data.shape, values.shape, strict=True)):
        if size % count:
            raise ValueError(f"an axis of size {size} cannot be cut into {count} blocks")
        values = values.repeat_interleave(size // count, axis)
    return values


def _spread(entries: Tensor, vector_axis: int | None) -> Tensor:
    """[*shape, vector] with the vectors laid out along `vector_axis`."""
    if entries.shape[-1] == 1:
        return entries.squeeze(-1)
    if vector_axis is None:
        raise ValueError("vectors need a vector_axis")
    axis = vector_axis % (entries.dim() - 1)
    return entries.movedim(-1, axis + 1).flatten(axis, axis + 1)
