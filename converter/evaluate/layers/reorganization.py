"""Data reorganization by the named axes sequence -5, channel -3, height -2 and width -1."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.geometry import folded, unfolded
from converter.evaluate.layers.table import layers


@layers.op
def flatten(x: Tensor, mode: str = "CHANNEL_FIRST") -> Tensor:
    """[.., C, H, W] to [.., C·H·W, 1, 1]."""
    return _ordered(x, mode).flatten(-3)[..., None, None]


@layers.op
def reshape(x: Tensor, targetShape: tuple[int, ...], mode: str = "CHANNEL_FIRST") -> Tensor:
    """Three numbers are [C, H, W] and keep what is before them; four are [Seq, C, H, W] for a batch of one."""
    leading: Sequence[int] = x.shape[:-3]
    if len(targetShape) == 4:
        if x.dim() != 5 or x.shape[1] != 1:
            raise EvaluationError(f"the input's shape is {list(x.shape)}; [Seq, 1, C, H, W] is needed")
        leading = (targetShape[0], 1)
    channels, height, width = targetShape[-3:]
    if mode == "CHANNEL_FIRST":
        return x.reshape((*leading, channels, height, width))
    return _ordered(x, mode).reshape((*leading, height, width, channels)).movedim(-1, -3)


@layers.op
def permute(x: Tensor, axis: tuple[int, ...] = (0, 1, 2, 3)) -> Tensor:
    """x is [Seq, B, C, H, W]; the axes 0 to 3 are Seq, C, H and W, and B stays."""
    sequence, channel, height, width = ((0, 2, 3, 4)[a] for a in axis)
    return x.permute(sequence, 1, channel, height, width)


@layers.op
def concat(*inputs: Tensor, sequenceConcat: bool = False) -> Tensor:
    return torch.cat(inputs, -5 if sequenceConcat else -3)


@layers.op
def split(x: Tensor, nOutputs: int = 0) -> tuple[Tensor, ...]:
    if nOutputs < 1 or x.shape[-3] % nOutputs:
        raise EvaluationError(f"{x.shape[-3]} channels cannot be split into {nOutputs} equal parts")
    return torch.split(x, x.shape[-3] // nOutputs, -3)


@layers.op
def sequenceRepeat(x: Tensor, nRepetitions: int = 1) -> Tensor:
    return torch.cat([x] * nRepetitions, -5)


@layers.op
def reorganizeData(x: Tensor, mode: str = "SPACE_TO_DEPTH", blockSize: int = 0) -> Tensor:
    """The two depth modes count the block before the channel; PIXEL_SHUFFLE counts the channel first."""
    batch = folded(x)
    if mode == "PIXEL_SHUFFLE":
        return unfolded(functional.pixel_shuffle(batch, blockSize), x)
    n, channels, height, width = batch.shape
    if mode == "DEPTH_TO_SPACE":
        blocks = batch.reshape(n, blockSize, blockSize, channels // blockSize**2, height, width)
        y = blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, -1, height * blockSize, width * blockSize)
    else:
        blocks = batch.reshape(n, channels, height // blockSize, blockSize, width // blockSize, blockSize)
        y = blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, -1, height // blockSize, width // blockSize)
    return unfolded(y, x)


@layers.op
def slice(x: Tensor, startIndex: int = 0, endIndex: int = 0, stride: int = 1, axis: str = "CHANNEL_AXIS") -> Tensor:
    """[startIndex, endIndex); negative indices count from the end."""
    position = {"CHANNEL_AXIS": -3, "HEIGHT_AXIS": -2, "WIDTH_AXIS": -1}[axis]
    chosen = range(x.shape[position])[startIndex:endIndex:stride]
    return x.index_select(position, torch.tensor(chosen, dtype=torch.long))


def _ordered(x: Tensor, mode: str) -> Tensor:
    return x if mode == "CHANNEL_FIRST" else x.movedim(-3, -1)
