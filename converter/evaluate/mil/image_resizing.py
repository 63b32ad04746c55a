"""Chapter image_resizing: https://machinethink.net/blog/coreml-upsampling/ draws the sampling modes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops


@ops.op
def affine(
    x: Tensor,
    transform_matrix: Tensor,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    batch = x.shape[0]
    matrices = transform_matrix.reshape(-1, 2, 3).expand(batch, 2, 3)
    coordinates = F.affine_grid(matrices, [batch, x.shape[1], output_height, output_width], align_corners)
    return resample(x, coordinates, sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners)


@ops.op
def crop(x: Tensor, crop_height: Sequence[int], crop_width: Sequence[int]) -> Tensor:
    height, width = x.shape[-2:]
    return x[..., crop_height[0] : height - crop_height[1], crop_width[0] : width - crop_width[1]]


@ops.op
def crop_resize(
    x: Tensor,
    roi: Tensor,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    """`roi` [N, 1, 4 or 5, 1, 1]: boxes for every image, or each with its image's index first."""
    rows = roi.reshape(roi.shape[0], -1)
    settings = (target_height, target_width, normalized_coordinates, spatial_scale, box_coordinate_mode, sampling_mode)
    if rows.shape[1] == 5:
        return crop_resize_17(x, rows[:, 1:], rows[:, 0].to(torch.int64), *settings).unsqueeze(1)
    boxes, images = rows.repeat_interleave(x.shape[0], 0), torch.arange(x.shape[0]).repeat(rows.shape[0])
    patches = crop_resize_17(x, boxes, images, *settings)
    return patches.reshape(rows.shape[0], x.shape[0], *patches.shape[1:])


@ops.op
def crop_resize_16(
    x: Tensor,
    roi: Tensor,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Tensor:
    patches = crop_resize(
        x - pad_value,
        roi,
        target_height,
        target_width,
        normalized_coordinates,
        spatial_scale,
        box_coordinate_mode,
        sampling_mode,
    )
    return patches + pad_value


@ops.op
def crop_resize_17(
    x: Tensor,
    boxes: Tensor,
    box_indices: Tensor | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Tensor:
    """A point outside the image is `pad_value`."""
    height, width = x.shape[-2:]
    images = range(len(boxes)) if box_indices is None else [int(i) for i in box_indices]
    patches = []
    for image, box in zip(images, _corners(boxes.float(), box_coordinate_mode), strict=True):
        limits = box * torch.tensor([height - 1.0, width - 1.0] * 2) if normalized_coordinates else box
        top, left, bottom, right = (limits * spatial_scale).tolist()
        rows = top + _grid(bottom - top + 1, target_height, sampling_mode)
        columns = left + _grid(right - left + 1, target_width, sampling_mode)
        patch = _at(_at(x[image], rows.clamp(0, height - 1), -2), columns.clamp(0, width - 1), -1)
        inside = ((rows >= 0) & (rows <= height - 1)).unsqueeze(1) & (columns >= 0) & (columns <= width - 1)
        patches.append(torch.where(inside, patch, pad_value))
    return torch.stack(patches)


@ops.op
def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    sizes = torch.tensor([x.shape[-1], x.shape[-2]], dtype=torch.float32)
    places = coordinates.float()
    if coordinates_mode != "unnormalized":
        unit = {"normalized_minus_one_to_one": (places + 1) / 2, "normalized_zero_to_one": places}[coordinates_mode]
        places = unit * (sizes - 1) if align_corners else unit * sizes - 0.5
    if padding_mode == "reflection" and 1 in x.shape[-2:]:
        raise ValueError("an axis of size 1 cannot be reflected")
    # torch reflects about pixel centres with align_corners, about the edges without
    aligned = padding_mode == "reflection"
    grid = places * 2 / (sizes - 1) - 1 if aligned else (places * 2 + 1) / sizes - 1
    mode = {"constant": "zeros", "border": "border", "reflection": "reflection", "symmetric": "reflection"}[
        padding_mode
    ]
    value = padding_value if padding_mode == "constant" else 0.0
    return F.grid_sample(x - value, grid, sampling_mode, mode, aligned) + value


@ops.op
def resize_17(
    x: Tensor,
    shape: Sequence[int],
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Tensor:
    if interpolation_mode == "LINEAR" and not x.is_floating_point():
        raise ValueError("integers cannot be interpolated: MIL does not say how they are rounded")
    for axis in range(-resized_dims, 0):
        if shape[axis]:
            grid = _grid(x.shape[axis], shape[axis], sampling_mode).clamp(0, x.shape[axis] - 1)
            if interpolation_mode == "NEAREST_NEIGHBOR":
                x = x.index_select(axis, torch.floor(grid + 0.5).to(torch.int64).clamp(max=x.shape[axis] - 1))
            else:
                x = _at(x, grid, axis)
    return x


@ops.op
def resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    return resize_17(x, [target_size_height, target_size_width], 2, "LINEAR", sampling_mode)


@ops.op
def resize_nearest_neighbor(x: Tensor, target_size_height: int, target_size_width: int) -> Tensor:
    """Each output takes the input pixel that holds its upper left corner."""
    for axis, size in ((-2, target_size_height), (-1, target_size_width)):
        x = x.index_select(axis, torch.arange(size) * x.shape[axis] // size)
    return x


@ops.op
def upsample_bilinear(
    x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1, align_corners: bool = True
) -> Tensor:
    return upsample_bilinear_16(x, scale_factor_height, scale_factor_width, align_corners)


@ops.op
def upsample_bilinear_16(
    x: Tensor,
    scale_factor_height: Any = 1,
    scale_factor_width: Any = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    centers = not align_corners if half_pixel_centers is None else half_pixel_centers
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if centers else "DEFAULT"
    return resize_17(x, _scaled(x, scale_factor_height, scale_factor_width), 2, "LINEAR", mode)


@ops.op
def upsample_nearest_neighbor(x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Tensor:
    return resize_nearest_neighbor(x, *_scaled(x, scale_factor_height, scale_factor_width))


def _scaled(x: Tensor, *factors: Any) -> list[int]:
    return [math.floor(size * float(factor)) for size, factor in zip(x.shape[-2:], factors, strict=True)]


def _grid(size: float, count: int, mode: str) -> Tensor:
    """Where `count` samples of a line of `size` pixels lie, in pixels; not yet kept inside."""
    steps = torch.arange(count, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count == 1:
            return steps + ((size - 1) / 2 if mode == "ALIGN_CORNERS" else 0)
        return steps * (size - 1) / (count - 1)
    if mode == "DEFAULT":
        return steps * size / count
    if mode == "OFFSET_CORNERS":
        return (steps + 0.5) * max(1.0, size - 1) / count
    if mode == "UNALIGN_CORNERS":
        return (steps + 0.5) * size / count - 0.5
    raise ValueError(f"unknown sampling_mode {mode!r}")


def _at(x: Tensor, places: Tensor, axis: int) -> Tensor:
    """Linear interpolation along `axis` at `places`, which lie inside."""
    low = places.floor().to(torch.int64)
    high = (low + 1).clamp(max=x.shape[axis] - 1)
    weight = (places - low).to(torch.float32).reshape(-1, *[1] * (-axis - 1))
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), weight)


def _corners(boxes: Tensor, mode: str) -> Tensor:
    """Boxes [N, 4] as top, left, bottom, right."""
    order = [0, 1, 2, 3] if mode.endswith("HEIGHT_FIRST") else [1, 0, 3, 2]
    first, second = boxes[:, order].chunk(2, 1)
    if mode.startswith("CORNERS"):
        return torch.cat([first, second], 1)
    return torch.cat([first - second / 2, first + second / 2], 1)
