"""Reshape and transpose in tensors of any rank, though Core ML ends at rank 5.

A tensor of higher rank exists as a View only: a tensor, the dimensions it is seen in, and the order of their axes.
Where a later reshape brings the rank down again (window partitions, pixel shuffles, qkv splits) the View becomes
reshapes and transposes of rank 5 at most. What works element by element takes it in `folded` shapes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from converter.convert.onnx.builder import MAX_RANK, Ints, Unsupported, Var, is_const, mb, prod, shape_of


@dataclass(frozen=True)
class View:
    """`base`, reshaped to `dims`, transposed by `perm`."""

    base: Any
    dims: Ints
    perm: Ints

    @property
    def shape(self) -> Ints:
        return tuple(self.dims[axis] for axis in self.perm)


Shaped: TypeAlias = View | Any
ShapedOperand: TypeAlias = View | np.ndarray | Any  # an array where it is constant


def reshape(x: Shaped, shape: Sequence[int]) -> Shaped:
    """`x` in another static shape of the same size."""
    shape = tuple(int(dim) for dim in shape)
    if is_empty(x):
        return empty(shape, x)
    if not isinstance(x, View):
        if tuple(x.shape) == shape:
            return x
        if len(shape) > MAX_RANK:
            return View(x, shape, tuple(range(len(shape))))
        if is_const(x):
            return mb.const(val=x.val.reshape(shape))
        if not shape:
            return mb.squeeze(x=x, axes=list(range(len(x.shape))))
        return mb.reshape(x=x, shape=shape) if shape else mb.squeeze(x=x, axes=list(range(len(x.shape))))
    return reshape(_flat(x), shape)


def transpose(x: Shaped, perm: Sequence[int]) -> Shaped:
    """`x` with its axes in the order of `perm`."""
    perm = tuple(int(axis) for axis in perm)
    if isinstance(x, View):
        return View(x.base, x.dims, tuple(x.perm[axis] for axis in perm))
    return x if perm == tuple(range(len(perm))) else mb.transpose(x=x, perm=perm)


def tile(x: Shaped, reps: Sequence[int]) -> Shaped:
    """`x` repeated along each axis; an axis and the unrepeated ones behind it are one, which keeps the rank low."""
    if all(count == 1 for count in reps):
        return x
    if len(reps) <= MAX_RANK:
        return mb.tile(x=tensor(x), reps=tuple(reps))
    groups: list[tuple[int, int]] = []
    for size, count in zip(static_shape(x), reps, strict=True):
        before, times = groups[-1] if groups else (0, 0)
        if groups and (count == 1 or before == 1):
            groups[-1] = (before * size, times * count)
        else:
            groups.append((size, count))
    if len(groups) > MAX_RANK:
        raise Unsupported(f"a repetition along {len(groups)} axes has no place in Core ML, which ends at {MAX_RANK}")
    sizes, counts = zip(*groups, strict=True)
    wide = mb.tile(x=tensor(reshape(x, sizes)), reps=counts)
    return reshape(wide, [size * count for size, count in zip(static_shape(x), reps, strict=True)])


def folded(shapes: Sequence[Sequence[int]]) -> list[Ints]:
    """Shapes of rank 5 at most that broadcast as the given ones do: axes that all broadcast alike side by side are one.

    Raises Unsupported where more than 5 axes are left.
    """
    rank = max(map(len, shapes))
    aligned = [(*[1] * (rank - len(shape)), *shape) for shape in shapes]
    larger = [tuple(shape[axis] != 1 for shape in aligned) for axis in range(rank)]
    axes = [axis for axis in range(rank) if any(larger[axis])]
    groups = [list(group) for _, group in itertools.groupby(axes, key=lambda axis: larger[axis])]
    if len(groups) > MAX_RANK:
        raise Unsupported(f"broadcasting along {len(groups)} axes has no place in Core ML, which ends at {MAX_RANK}")
    return [tuple(prod([shape[axis] for axis in group]) for group in groups) or (1,) for shape in aligned]


def empty(shape: Sequence[int], like: Shaped) -> View:
    """A tensor without elements and of the type of another; it exists until it is joined with one that has some."""
    return View(like.base if isinstance(like, View) else like, tuple(shape), tuple(range(len(shape))))


def is_empty(x: Shaped) -> bool:
    return 0 in tuple(x.shape)


def tensor(x: Shaped) -> Var:
    """A View of rank 5 or less as the tensor that it shows."""
    if not isinstance(x, View):
        return x
    if is_empty(x):
        raise Unsupported(f"a tensor without elements ({list(x.shape)}) has no place in Core ML")
    if len(x.dims) > MAX_RANK:
        raise Unsupported(f"a tensor of rank {len(x.dims)} ({list(x.shape)}) has no place in Core ML, which ends at 5")
    return transpose(reshape(x.base, x.dims), x.perm)


def _flat(view: View) -> Var:
    """The view's elements in order, in some shape of rank 5 or less."""
    dims, perm = _merged(view.dims, view.perm)
    x = view.base
    while perm != tuple(range(len(perm))):
        if len(dims) <= MAX_RANK:
            return transpose(reshape(x, dims), perm)
        # Of the axes that stand wrong, the first is brought to its place: [before, between, axis, after], two swapped.
        place = next(place for place, axis in enumerate(perm) if place != axis)
        axis = perm[place]
        before, between, after = prod(dims[:place]), prod(dims[place:axis]), prod(dims[axis + 1 :])
        x = transpose(reshape(x, (before, between, dims[axis], after)), (0, 2, 1, 3))
        order = [*range(place), axis, *range(place, axis), *range(axis + 1, len(dims))]
        dims, perm = _merged(tuple(dims[a] for a in order), tuple(order.index(a) for a in perm))
    return x


def _merged(dims: Ints, perm: Ints) -> tuple[Ints, Ints]:
    """The same permutation without axes of size 1, and with axes that stay side by side made one."""
    groups: list[list[int]] = []
    for axis in (axis for axis in perm if dims[axis] != 1):
        last = groups[-1][-1] if groups else None
        if last is not None and all(dims[between] == 1 for between in range(last + 1, axis)) and last < axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(range(len(groups)), key=lambda group: groups[group][0])
    sizes = tuple(prod([dims[axis] for axis in groups[group]]) for group in order)
    return sizes, tuple(order.index(group) for group in range(len(groups)))


def static_shape(x: Shaped) -> Ints:
    return x.shape if isinstance(x, View) else shape_of(x)
