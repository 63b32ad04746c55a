"""Spatial borders and resampling: the last two axes are height and width."""

import torch
from torch import Tensor

from converter.errors import EvaluationError
from converter.evaluate.layers.geometry import Edges, bilinear, grid, padded
from converter.evaluate.layers.table import layers, messages


@messages.op
def PaddingConstant(value: float = 0.0) -> float:
    return value


@messages.op
def PaddingReflection() -> str:
    return "reflect"


@messages.op
def PaddingReplication() -> str:
    return "replicate"


@layers.op
def padding(
    x: Tensor,
    constant: float | None = None,
    reflection: str | None = None,
    replication: str | None = None,
    paddingAmounts: Edges = ((0, 0), (0, 0)),
) -> Tensor:
    mode = reflection or replication
    if mode is None:
        return padded(x, paddingAmounts, constant or 0.0)
    matrices = x.reshape(1, -1, *x.shape[-2:])
    y = padded(matrices, paddingAmounts, mode=mode)
    return y.reshape((*x.shape[:-2], *y.shape[-2:]))


@layers.op
def crop(
    x: Tensor,
    reference: Tensor | None = None,
    cropAmounts: Edges = ((0, 0), (0, 0)),
    offset: tuple[int, ...] = (0, 0),
) -> Tensor:
    if reference is None:
        return padded(x, [(-start, -end) for start, end in cropAmounts])
    height, width = reference.shape[-2:]
    if offset[0] + height > x.shape[-2] or offset[1] + width > x.shape[-1]:
        raise EvaluationError(f"a crop of {height} x {width} at {list(offset)} exceeds the input {list(x.shape)}")
    return x[..., offset[0] : offset[0] + height, offset[1] : offset[1] + width]


@layers.op
def upsample(
    x: Tensor,
    scalingFactor: tuple[int, ...] = (1, 1),
    fractionalScalingFactor: tuple[float, ...] = (),
    mode: str = "NN",
    linearUpsampleMode: str = "DEFAULT",
) -> Tensor:
    factors = fractionalScalingFactor or scalingFactor
    if mode == "NN":
        if fractionalScalingFactor:
            raise EvaluationError("nearest neighbour with a fractional factor; Core ML has none")
        return x.repeat_interleave(scalingFactor[0], -2).repeat_interleave(scalingFactor[1], -1)
    points = [_upsampled(x.shape[axis], factors[axis], linearUpsampleMode) for axis in (-2, -1)]
    return bilinear(x, *points)


@layers.op
def resizeBilinear(
    x: Tensor, targetSize: tuple[int, ...] = (1, 1), mode: str = "STRICT_ALIGN_ENDPOINTS_MODE"
) -> Tensor:
    height, width = x.shape[-2:]
    rows = grid(0, height - 1, targetSize[0], mode, height)
    return bilinear(x, rows, grid(0, width - 1, targetSize[1], mode, width))


@layers.op
def cropResize(
    x: Tensor,
    boxes: Tensor,
    targetSize: tuple[int, ...] = (1, 1),
    normalizedCoordinates: bool = False,
    mode: str = "STRICT_ALIGN_ENDPOINTS_MODE",
    boxIndicesMode: str = "CORNERS_HEIGHT_FIRST",
    spatialScale: float = 1.0,
) -> Tensor:
    """x [1, B, C, H, W] and boxes [N, 1, 4 or 5, 1, 1] to [N, B or 1, C, *targetSize]; five begin with the batch."""
    height, width = x.shape[-2:]
    crops = []
    for values in boxes.double().reshape(boxes.shape[0], -1).tolist():
        images = x[0] if len(values) == 4 else x[0, int(values[0])].unsqueeze(0)
        top, left, bottom, right = _corners(values[-4:], boxIndicesMode)
        vertical = spatialScale * ((height - 1) if normalizedCoordinates else 1)
        horizontal = spatialScale * ((width - 1) if normalizedCoordinates else 1)
        rows = grid(top * vertical, bottom * vertical, targetSize[0], mode, height)
        columns = grid(left * horizontal, right * horizontal, targetSize[1], mode, width)
        crops.append(bilinear(images, rows, columns))
    return torch.stack(crops)


def _upsampled(size: int, factor: float, mode: str) -> Tensor:
    count = int(size * factor)
    steps = torch.arange(count, dtype=torch.float64)
    gaps = max(1, count - 1)
    if mode == "DEFAULT":
        points = steps * (size - size / count) / gaps
    elif mode == "ALIGN_CORNERS_TRUE":
        points = steps * (size - 1) / gaps
    else:
        points = (steps + 0.5) * (size / count) - 0.5
    return points.clamp(0, size - 1)


def _corners(box: list[float], mode: str) -> tuple[float, float, float, float]:
    """Top, left, bottom, right."""
    first, second, third, fourth = box
    if mode.endswith("WIDTH_FIRST"):
        first, second, third, fourth = second, first, fourth, third
    if mode.startswith("CORNERS"):
        return first, second, third, fourth
    return first - third / 2, second - fourth / 2, first + third / 2, second + fourth / 2
