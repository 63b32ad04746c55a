"""Tensor manipulations."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.table import integers, layers, scalar


@layers.op
def tile(x: Tensor, reps: Tensor | tuple[int, ...]) -> Tensor:
    return x.tile(tuple(_numbers(reps)))


@layers.op
def stack(*inputs: Tensor, axis: int = 0) -> Tensor:
    return torch.stack(inputs, axis)


@layers.op
def concatND(*inputs: Tensor, axis: int = 0, interleave: bool = False) -> Tensor:
    if not interleave:
        return torch.cat(inputs, axis)
    position = axis % inputs[0].dim()
    return torch.stack(inputs, position + 1).flatten(position, position + 1)


@layers.op
def splitND(x: Tensor, axis: int = 0, numSplits: int = 0, splitSizes: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
    """Parts of equal size, or the first ones longer by one where numSplits does not divide, as numpy.array_split."""
    return torch.split(x, list(splitSizes), axis) if splitSizes else torch.tensor_split(x, numSplits, axis)


@layers.op
def transpose(x: Tensor, axes: tuple[int, ...] = ()) -> Tensor:
    """An image's leading axis of size 1 need not be named: coremltools writes [1, 2, 0] for [1, C, H, W]."""
    unnamed = x.dim() - len(axes)
    if unnamed > 0 and all(size == 1 for size in x.shape[:unnamed]):
        return x.permute((*range(unnamed), *(axis + unnamed if axis >= 0 else axis for axis in axes)))
    return x.permute(axes)


@layers.op
def reverse(x: Tensor, reverseDim: tuple[bool, ...] = ()) -> Tensor:
    return x.flip([axis for axis, flipped in enumerate(reverseDim) if flipped])


@layers.op
def reverseSeq(x: Tensor, lengths: Tensor, batchAxis: int = 0, sequenceAxis: int = 0) -> Tensor:
    """Of each batch element only the first `lengths` steps are reversed."""
    elements = []
    for element, length in zip(torch.split(x, 1, batchAxis), integers(lengths), strict=True):
        steps = [*reversed(range(length)), *range(length, x.shape[sequenceAxis])]
        elements.append(element.index_select(sequenceAxis, torch.tensor(steps)))
    return torch.cat(elements, batchAxis)


@layers.op
def sliceStatic(
    x: Tensor,
    beginIds: tuple[int, ...],
    endIds: tuple[int, ...],
    strides: tuple[int, ...],
    beginMasks: tuple[bool, ...],
    endMasks: tuple[bool, ...],
    squeezeMasks: tuple[bool, ...] = (),
) -> Tensor:
    return _sliced(x, beginIds, endIds, strides, beginMasks, endMasks, squeezeMasks)


@layers.op
def sliceDynamic(
    x: Tensor,
    beginIds: Tensor,
    endIds: Tensor | tuple[int, ...] = (),
    strides: Tensor | tuple[int, ...] = (),
    beginMasks: Tensor | tuple[bool, ...] = (),
    endMasks: Tensor | tuple[bool, ...] = (),
    squeezeMasks: Tensor | tuple[bool, ...] = (),
) -> Tensor:
    """Unset strides are 1, unset masks False; of more than the rank (coremltools' builder writes 5) the first count."""
    rank = x.dim()
    masks = [[bool(m) for m in _numbers(mask)[:rank]] for mask in (beginMasks, endMasks, squeezeMasks)]
    return _sliced(x, integers(beginIds), _numbers(endIds)[:rank], _numbers(strides)[:rank], *masks)


@layers.op
def sliceBySize(x: Tensor, begin: Tensor, size: int = 0, axis: int = 0) -> Tensor:
    return x.narrow(axis, int(scalar(begin)), size)


@layers.op
def slidingWindows(x: Tensor, axis: int = 0, windowSize: int = 0, step: int = 0) -> Tensor:
    """The windows' own axis follows `axis`."""
    position = axis % x.dim()
    return x.unfold(position, windowSize, step).movedim(-1, position + 1)


@layers.op
def topK(x: Tensor, K: Tensor | int = 0, axis: int = 0, useBottomK: bool = False) -> tuple[Tensor, Tensor]:
    """Of equal values the one with the lower index comes first."""
    values, indices = x.sort(dim=axis, descending=not useBottomK, stable=True)
    count = int(scalar(K))
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count).float()


@layers.op
def argSort(x: Tensor, axis: int = 0, descending: bool = False) -> Tensor:
    return x.argsort(dim=axis, descending=descending, stable=True).float()


@layers.op
def oneHot(
    x: Tensor,
    oneHotVectorSize: Tensor | int = 0,
    axis: int = 0,
    onValue: float = 0.0,
    offValue: float = 0.0,
) -> Tensor:
    """An index outside 0..oneHotVectorSize-1 gives offValue everywhere."""
    places = torch.arange(int(scalar(oneHotVectorSize)), dtype=x.dtype)
    chosen = x.unsqueeze(-1) == places
    return torch.where(chosen, onValue, offValue).movedim(-1, axis)


@layers.op
def cumSum(x: Tensor, axis: Tensor | int = 0, excludeFinalSum: bool = False, reverse: bool = False) -> Tensor:
    position = int(scalar(axis))
    x = x.flip(position) if reverse else x
    y = x.cumsum(position)
    if excludeFinalSum:
        first = torch.zeros_like(y.narrow(position, 0, 1))
        y = torch.cat([first, y.narrow(position, 0, y.shape[position] - 1)], position)
    return y.flip(position) if reverse else y


@layers.op
def constantPad(
    x: Tensor, padAmounts: Tensor | tuple[int, ...] = (), value: float = 0.0, padToGivenOutputSizeMode: bool = False
) -> Tensor:
    """Two amounts, before and after, for each axis; or, with the mode, the size that the padding fills up to."""
    amounts = _numbers(padAmounts)
    if len(amounts) != 2 * x.dim():
        raise EvaluationError(f"{len(amounts)} padding amounts for an input of rank {x.dim()}; two an axis are needed")
    pairs = [(amounts[2 * axis], amounts[2 * axis + 1]) for axis in range(x.dim())]
    if padToGivenOutputSizeMode:
        pairs = [
            (_missing(before, size), _missing(after, size))
            for (before, after), size in zip(pairs, x.shape, strict=True)
        ]
    return functional.pad(x, [amount for pair in reversed(pairs) for amount in pair], value=value)


def _missing(target: int, size: int) -> int:
    return target - size if target > size else 0


def _numbers(values: Tensor | Sequence[int]) -> list[int]:
    return integers(values) if isinstance(values, Tensor) else list(values)


def _sliced(
    x: Tensor,
    begins: Sequence[int],
    ends: Sequence[int],
    strides: Sequence[int],
    begin_masks: Sequence[bool],
    end_masks: Sequence[bool],
    squeeze_masks: Sequence[bool],
) -> Tensor:
    rank = x.dim()
    strides = strides or [1] * rank
    begin_masks, end_masks = begin_masks or [False] * rank, end_masks or [False] * rank
    squeeze_masks = squeeze_masks or [False] * rank
    lengths = {len(values) for values in (begins, strides, begin_masks, end_masks, squeeze_masks)}
    if lengths != {rank} or (len(ends) != rank and not all(end_masks)):
        raise EvaluationError(f"the slice's parameters must each have one entry for each of the input's {rank} axes")
    for axis in range(rank):
        if squeeze_masks[axis]:
            x = x.narrow(axis, begins[axis] % x.shape[axis], 1)
            continue
        begin = None if begin_masks[axis] else begins[axis]
        end = None if end_masks[axis] else ends[axis]
        chosen = range(x.shape[axis])[begin : end : strides[axis]]
        if len(chosen) == 0:
            raise EvaluationError(f"the slice of axis {axis} (of length {x.shape[axis]}) is empty")
        if chosen != range(x.shape[axis]):
            x = x.index_select(axis, torch.tensor(chosen, dtype=torch.long))
    return x.squeeze(tuple(axis for axis, squeezed in enumerate(squeeze_masks) if squeezed))
