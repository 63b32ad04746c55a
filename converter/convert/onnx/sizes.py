"""Sizes in the running model: those of tensors, and shapes put together from them.

A size is an int, or a Var of shape [1] and type int32 where only the running model knows it.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from converter.convert.onnx.builder import MAX_RANK, Ints, Unsupported, Var, is_var, mb, prod

Size: TypeAlias = int | Any


def is_static(dim: object) -> bool:
    return isinstance(dim, int | np.integer)


def is_flexible(x: Var) -> bool:
    return not all(is_static(dim) for dim in x.shape)


def size_of(x: Var, axis: int) -> Size:
    dim = x.shape[axis]
    return int(dim) if is_static(dim) else mb.slice_by_index(x=mb.shape(x=x), begin=[axis], end=[axis + 1])


def vector(sizes: Sequence[Size]) -> Ints | Var:
    """Sizes as one shape."""
    if not any(is_var(size) for size in sizes):
        return tuple(int(size) for size in sizes)
    parts: list[Any] = []
    for size in sizes:
        if is_var(size):
            parts.append(size)
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(int(size))
        else:
            parts.append([int(size)])
    values = [mb.const(val=np.array(part, np.int32)) if isinstance(part, list) else part for part in parts]
    return values[0] if len(values) == 1 else mb.concat(values=values, axis=0)


def reshaped(x: Var, sizes: Sequence[Size]) -> Var:
    """`x` in a shape that may be flexible; one size may be -1. Where only one is flexible, the shape is a constant."""
    if len(sizes) > MAX_RANK:
        raise Unsupported(f"it makes a tensor of rank {len(sizes)} with flexible sizes; Core ML ends at {MAX_RANK}")
    open_ = [axis for axis, size in enumerate(sizes) if is_var(size) or size == -1]
    if len(open_) == 1:
        sizes = [-1 if axis in open_ else size for axis, size in enumerate(sizes)]
    return mb.reshape(x=x, shape=vector(sizes))


def flattened(x: Var, axis: int) -> Var:
    """`x` of a flexible shape as a matrix: all axes before `axis`, and all from there on."""
    before, after = x.shape[:axis], x.shape[axis:]
    if all(is_static(dim) for dim in before):
        return mb.reshape(x=x, shape=(prod(before), -1))
    if all(is_static(dim) for dim in after):
        return mb.reshape(x=x, shape=(-1, prod(after)))
    first = mb.slice_by_size(x=mb.shape(x=x), begin=[0], size=[axis])
    rows = first if axis == 1 else mb.reduce_prod(x=first, axes=[0], keep_dims=True)
    return mb.reshape(x=x, shape=mb.concat(values=[rows, np.array([-1], np.int32)], axis=0))


def pinned(x: Var, shape: Sequence[Any]) -> Var:
    """`x`, whose type is told the sizes that the model's shape knows and MIL could not follow."""
    if len(x.shape) != len(shape) or all(
        is_static(own) or not is_static(dim) for own, dim in zip(x.shape, shape, strict=True)
    ):
        return x
    return reshaped(x, [int(dim) if is_static(dim) else size_of(x, axis) for axis, dim in enumerate(shape)])
