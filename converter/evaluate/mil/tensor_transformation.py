"""Chapter tensor_transformation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops

Masks = Sequence[bool] | None


@ops.op
def batch_to_space(x: Tensor, block_shape: Sequence[int], crops: Tensor) -> Tensor:
    n, c, h, w = x.shape
    rows, columns = block_shape
    (top, bottom), (left, right) = crops.tolist()
    spread = x.reshape(rows, columns, n // (rows * columns), c, h, w).permute(2, 3, 4, 0, 5, 1)
    whole = spread.reshape(n // (rows * columns), c, h * rows, w * columns)
    return whole[:, :, top : h * rows - bottom, left : w * columns - right]


@ops.op
def depth_to_space(x: Tensor, block_size: int) -> Tensor:
    """Channels count as [block row, block column, channel], as in TensorFlow; pixel_shuffle has the channel first."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, block_size, block_size, c // block_size**2, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block_size**2, h * block_size, w * block_size)


@ops.op
def expand_dims(x: Tensor, axes: Sequence[int]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@ops.op
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    return F.pixel_shuffle(x, upscale_factor)


@ops.op
def pixel_unshuffle_16(x: Tensor, downscale_factor: int) -> Tensor:
    return F.pixel_unshuffle(x, downscale_factor)


@ops.op
def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A 0 keeps the axis that stands in the same place."""
    if 0 in shape and x.numel() and len(shape) != x.dim():
        raise ValueError(f"a 0 in shape {list(shape)} needs the rank of the input, which is {x.dim()}")
    return x.reshape([x.shape[i] if size == 0 and x.numel() else size for i, size in enumerate(shape)])


@ops.op
def reshape_17(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A 0 keeps the axis that stands in the same place counted from the right, or is 1 where there is none."""
    offset = x.dim() - len(shape)
    return x.reshape(
        [
            size if size else x.shape[offset + i] if offset + i >= 0 else 1  # each 0 by its place from the right
            for i, size in enumerate(shape)
        ]
    )


@ops.op
def reshape_like_16(
    x: Tensor,
    ref_tensors: Sequence[Tensor],
    begins: Sequence[Tensor],
    ends: Sequence[Tensor],
    end_masks: Sequence[Tensor],
) -> Tensor:
    shape: list[int] = []
    for reference, begin, end, mask in zip(ref_tensors, begins, ends, end_masks, strict=True):
        shape += reference.shape[int(begin) : None if bool(mask) else int(end)]
    return x.reshape(shape)


@ops.op
def reverse(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return torch.flip(x, list(range(x.dim()) if axes is None else axes))


@ops.op
def reverse_sequence(x: Tensor, lengths: Tensor, seq_axis: int = 0, batch_axis: int = 0) -> Tensor:
    place = torch.arange(x.shape[seq_axis]).unsqueeze(0)
    length = lengths.to(torch.int64).unsqueeze(1)
    source = torch.where(place < length, length - 1 - place, place)
    moved = x.movedim((batch_axis, seq_axis), (0, 1))
    index = source.reshape((*source.shape, *[1] * (x.dim() - 2))).expand(moved.shape)
    return torch.gather(moved, 1, index).movedim((0, 1), (batch_axis, seq_axis))


@ops.op
def slice_by_index(
    x: Tensor,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Masks = None,
    end_mask: Masks = None,
    squeeze_mask: Masks = None,
) -> Tensor:
    places = _sliced(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, place in enumerate(places):
        if place.step > 0:
            x = x[(slice(None),) * axis + (slice(place.start, max(place.stop, place.start), place.step),)]
        else:  # torch takes no negative step
            x = x.index_select(axis, torch.tensor(list(place), dtype=torch.int64))
    return x.reshape(
        [n for n, squeezed in zip(x.shape, squeeze_mask or [False] * x.dim(), strict=True) if not squeezed]
    )


@ops.op
def slice_by_size(x: Tensor, begin: Sequence[int], size: Sequence[int]) -> Tensor:
    for axis, (start, count) in enumerate(zip(begin, size, strict=True)):
        start += x.shape[axis] if start < 0 else 0
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x


@ops.op
def slice_update_18(
    x: Tensor,
    update: Tensor,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Masks = None,
    end_mask: Masks = None,
    squeeze_mask: Masks = None,
) -> Tensor:
    places = _sliced(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.clone()
    index = torch.meshgrid(*(torch.tensor(list(place), dtype=torch.int64) for place in places), indexing="ij")
    result[index] = update.reshape(index[0].shape)
    return result


@ops.op
def sliding_windows(x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    axis %= x.dim()
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


@ops.op
def space_to_batch(x: Tensor, block_shape: Sequence[int], paddings: Tensor) -> Tensor:
    rows, columns = block_shape
    (top, bottom), (left, right) = paddings.tolist()
    whole = F.pad(x, [left, right, top, bottom])
    n, c, h, w = whole.shape
    blocks = whole.reshape(n, c, h // rows, rows, w // columns, columns).permute(3, 5, 0, 1, 2, 4)
    return blocks.reshape(n * rows * columns, c, h // rows, w // columns)


@ops.op
def space_to_depth(x: Tensor, block_size: int) -> Tensor:
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // block_size, block_size, w // block_size, block_size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block_size**2, h // block_size, w // block_size)


@ops.op
def squeeze(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """Axes that are not of size 1 stay."""
    return x.squeeze(tuple(range(x.dim()) if axes is None else axes))


@ops.op
def transpose(x: Tensor, perm: Sequence[int]) -> Tensor:
    return x.permute(tuple(perm))


def _sliced(
    x: Tensor,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None,
    begin_mask: Masks,
    end_mask: Masks,
    squeeze_mask: Masks,
) -> list[range]:
    """The indices that are taken of each axis."""
    rank = x.dim()
    none = [False] * rank
    places = []
    for size, first, last, step, from_start, to_end, single in zip(
        x.shape,
        begin,
        end,
        stride or [1] * rank,
        begin_mask or none,
        end_mask or none,
        squeeze_mask or none,
        strict=True,
    ):
        if single:
            index = 0 if from_start else first
            index += size if index < 0 else 0
            if not 0 <= index < size:
                raise IndexError(f"index {index} of an axis of size {size}")
            places.append(range(index, index + 1))
        else:
            places.append(range(*slice(None if from_start else first, None if to_end else last, step).indices(size)))
    return places
