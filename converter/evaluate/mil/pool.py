"""Chapter pool."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.windows import Pads, padded, pads_of

_AVG: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAX: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@ops.op
def avg_pool(
    *,
    exclude_padding_from_average: bool = False,
    x: Tensor,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    pad_type: str,
    pad: Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """What ceil_mode adds at the end is never counted, as in torch."""
    strides = [1] * len(kernel_sizes) if strides is None else strides
    pads = pads_of(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    whole = _with_excess(pads, x.shape[2:], kernel_sizes, strides) if ceil_mode else pads
    pool = _AVG[x.dim() - 2]
    mean = pool(padded(x, whole), kernel_sizes, strides)
    if whole == pads and (not exclude_padding_from_average or not any(map(any, pads))):
        return mean
    counted = torch.ones(1, 1, *x.shape[2:])
    if exclude_padding_from_average:
        counted = padded(counted, whole)
    else:
        excess = [(0, w[1] - p[1]) for w, p in zip(whole, pads, strict=True)]
        counted = padded(padded(counted, pads, 1.0), excess)
    return mean / pool(counted, kernel_sizes, strides)


@ops.op
def l2_pool(
    *,
    x: Tensor,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    pad_type: str,
    pad: Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    strides = [1] * len(kernel_sizes) if strides is None else strides
    pads = pads_of(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    whole = _with_excess(pads, x.shape[2:], kernel_sizes, strides) if ceil_mode else pads
    mean = _AVG[x.dim() - 2](padded(x.square(), whole), kernel_sizes, strides)
    return torch.sqrt(mean * math.prod(kernel_sizes))


@ops.op
def max_pool(
    *,
    x: Tensor,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    pad_type: str,
    pad: Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    strides = [1] * len(kernel_sizes) if strides is None else strides
    pads = pads_of(pad_type, pad, x.shape[2:], kernel_sizes, strides)
    whole = _with_excess(pads, x.shape[2:], kernel_sizes, strides) if ceil_mode else pads
    return _MAX[x.dim() - 2](padded(x, whole, -math.inf), kernel_sizes, strides)


def _with_excess(pads: Pads, sizes: Sequence[int], kernel_sizes: Sequence[int], strides: Sequence[int]) -> Pads:
    """The pads with what a last, partial window needs; a window that would begin in the end pad is left out."""
    result = []
    for (begin, end), size, kernel, stride in zip(pads, sizes, kernel_sizes, strides, strict=True):
        count = -(-(size + begin + end - kernel) // stride) + 1
        if (count - 1) * stride >= size + begin and (begin or end):
            count -= 1
        result.append((begin, max(end, (count - 1) * stride + kernel - size - begin)))
    return result
