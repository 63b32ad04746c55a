"""What convolutions and pools share: how much is padded before and after each spatial axis."""

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

Pads = Sequence[tuple[int, int]]  # begin and end, per spatial axis


def pads_of(
    pad_type: str, pad: Sequence[int] | None, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> Pads:
    """`pad` counts for custom only; `spans` are the windows' sizes, dilation included."""
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        pad = [0] * 2 * len(sizes) if pad is None else pad
        if len(pad) != 2 * len(sizes):
            raise ValueError(f"pad has {len(pad)} values for {len(sizes)} spatial axes")
        return list(zip(pad[::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"unknown pad_type {pad_type!r}")
    result = []
    for size, span, stride in zip(sizes, spans, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
        smaller, larger = total // 2, total - total // 2
        result.append((smaller, larger) if pad_type == "same" else (larger, smaller))
    return result


def padded(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    if not any(begin or end for begin, end in pads):
        return x
    return F.pad(x, [amount for axis in reversed(pads) for amount in axis], value=value)
