"""Resizing and resampling of random shapes, against sums over pixels written from MIL's formulas."""

import math

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


def sampling_grid(mode, size, count):
    """Where the samples of an axis lie, word for word as resize_bilinear says."""
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count == 1:
            return [(size - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0]
        first, spacing = 0.0, (size - 1) / (count - 1)
    elif mode == "DEFAULT":
        first, spacing = 0.0, (size - size / count) / (count - 1) if count > 1 else 0.0
    elif mode == "OFFSET_CORNERS":
        first, spacing = max(1, size - 1) / count / 2, max(1, size - 1) / count
    else:
        first, spacing = size / count / 2 - 0.5, size / count
    return [min(size - 1, max(0, first + i * spacing)) for i in range(count)]


def interpolated(x, axis, places):
    """Between the two pixels at each place of the axis."""
    weights = np.zeros((len(places), x.shape[axis]))
    for row, place in zip(weights, places, strict=True):
        low = math.floor(place)
        row[low] += 1 - (place - low)
        if place > low:
            row[low + 1] += place - low
    return np.moveaxis(np.tensordot(weights, x.astype(np.float64), (1, axis)), 0, axis)


MODES = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def picture(draw, rank=None):
    leading = draw.shape(1, 3) if rank is None else draw.integers(rank - 2, 1, 3)
    return draw.floats((*leading, *draw.integers(2, 1, 6)), draw.one("float32", "float16"))


@formula
def resize_bilinear(draw):
    x = picture(draw)
    height, width = draw.integers(2, 1, 8)
    given = draw.some(sampling_mode=draw.one(*MODES))
    mode = given.get("sampling_mode", "DEFAULT")
    expected = interpolated(x, -2, sampling_grid(mode, x.shape[-2], height))
    expected = interpolated(expected, -1, sampling_grid(mode, x.shape[-1], width))
    return "resize_bilinear", 15, {"x": x, "target_size_height": height, "target_size_width": width, **given}, expected


@formula
def resize(draw):
    mode, kind = draw.one(*MODES), draw.one("LINEAR", "NEAREST_NEIGHBOR")
    types = ("float32", "float16") if kind == "LINEAR" else ("float32", "float16", "int32")
    x = draw.array(draw.shape(1, 5), draw.one(*types))
    resized = draw.integer(1, x.ndim)
    shape = [draw.one(0, draw.integer(1, 6)) for _ in range(draw.integer(resized, x.ndim))]
    expected = x
    for axis in range(-resized, 0):
        places = sampling_grid(mode, x.shape[axis], shape[axis] or x.shape[axis])
        if shape[axis] and kind == "LINEAR":
            expected = interpolated(expected, axis, places)
        elif shape[axis]:
            assume(all(abs(place % 1 - 0.5) > 1e-6 for place in places))  # MIL does not say which neighbour then
            expected = np.take(expected, [round(place) for place in places], axis)
    given = {"interpolation_mode": kind, "sampling_mode": mode}
    return "resize", 17, {"x": x, "shape": shape, "resized_dims": resized, **given}, expected


@formula
def nearest(draw):
    x = picture(draw)
    factors = [draw.one(1, 2, 3, 1.5, 2.5) for _ in range(2)]
    sizes = [math.floor(size * factor) for size, factor in zip(x.shape[-2:], factors, strict=True)]
    name = draw.one("upsample_nearest_neighbor", "resize_nearest_neighbor")
    sizes = sizes if name.startswith("up") else draw.integers(2, 1, 8)
    expected = np.take(x, [i * x.shape[-2] // sizes[0] for i in range(sizes[0])], -2)
    expected = np.take(expected, [i * x.shape[-1] // sizes[1] for i in range(sizes[1])], -1)
    prefix, values = ("scale_factor", factors) if name.startswith("up") else ("target_size", sizes)
    return name, 15, {"x": x, f"{prefix}_height": values[0], f"{prefix}_width": values[1]}, expected


@formula
def upsample_bilinear(draw):
    x = picture(draw)
    factors = [draw.one(1, 2, 3, 1.5, 2.5) for _ in range(2)]
    given = draw.some(align_corners=draw.flag())
    aligned = given.get("align_corners", True)
    opset = draw.one(15, 16)
    half = draw.one(None, True, False) if opset == 16 and not aligned else None
    given |= {} if half is None else {"half_pixel_centers": half}
    mode = "STRICT_ALIGN_CORNERS" if aligned else "DEFAULT" if half is False else "UNALIGN_CORNERS"
    expected = x
    for axis, factor in zip((-2, -1), factors, strict=True):
        size = x.shape[axis]
        expected = interpolated(expected, axis, sampling_grid(mode, size, math.floor(size * factor)))
    factors = {"scale_factor_height": factors[0], "scale_factor_width": factors[1]}
    return "upsample_bilinear", opset, {"x": x, **factors, **given}, expected


def source_of(i, size, padding):
    """The pixel that stands at the place i of a padded axis, None for the padding value."""
    if 0 <= i < size or padding == "constant":
        return i if 0 <= i < size else None
    if padding == "border":
        return min(max(i, 0), size - 1)
    period = 2 * size if padding == "symmetric" else 2 * (size - 1)
    i %= period
    return i if i < size else period - i - (padding == "symmetric")


def resampled(x, places, kind, padding, value):
    """`x` [C, H, W] at the places [H2, W2, 2], each (x, y) in pixels."""
    result = np.zeros((len(x), *places.shape[:2]))
    for at in np.ndindex(*places.shape[:2]):
        column, row = places[at]
        if kind == "nearest":
            assume(all(abs(place % 1 - 0.5) > 1e-4 for place in (column, row)))
            corners = [(round(row), round(column), 1.0)]
        else:
            top, left = math.floor(row), math.floor(column)
            down, right = row - top, column - left
            corners = [
                (top + i, left + j, (down if i else 1 - down) * (right if j else 1 - right))
                for i in (0, 1)
                for j in (0, 1)
            ]
        for i, j, weight in corners:
            source = source_of(i, x.shape[1], padding), source_of(j, x.shape[2], padding)
            result[(slice(None), *at)] += weight * (value if None in source else x[:, source[0], source[1]])
    return result


def in_pixels(coordinates, sizes, mode, aligned):
    if mode == "unnormalized":
        return coordinates
    unit = (coordinates + 1) / 2 if mode == "normalized_minus_one_to_one" else coordinates
    return unit * (np.array(sizes) - 1) if aligned else unit * np.array(sizes) - 0.5


@formula
def resample(draw):
    padding, kind = draw.one("constant", "border", "reflection", "symmetric"), draw.one("bilinear", "nearest")
    mode = draw.one("unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one")
    aligned = draw.flag()
    sizes = draw.integers(2, 2 if padding == "reflection" else 1, 5)
    x = draw.floats((draw.integer(1, 2), draw.integer(1, 2), *sizes), draw.one("float32", "float16"))
    low, high = {"unnormalized": (-2, 6), "normalized_minus_one_to_one": (-1.5, 1.5)}.get(mode, (-0.25, 1.25))
    coordinates = draw.floats((len(x), *draw.integers(2, 1, 3), 2), "float32", low, high)
    places = in_pixels(coordinates.astype(np.float64), sizes[::-1], mode, aligned)
    value = draw.one(0.0, 1.5) if padding == "constant" else 0.0
    expected = np.stack([resampled(*pair, kind, padding, value) for pair in zip(x, places, strict=True)])
    given = {"sampling_mode": kind, "padding_mode": padding, "padding_value": value}
    given |= {"coordinates_mode": mode, "align_corners": aligned}
    return "resample", 15, {"x": x, "coordinates": coordinates, **given}, expected


@formula
def affine(draw):
    """The modes that MIL allows: bilinear, zeros outside, corners aligned."""
    x = picture(draw, 4)
    height, width = draw.integers(2, 2, 4)
    matrices = draw.floats((draw.one(1, len(x)), 6), x.dtype.name, -1.25, 1.25)
    grid = np.stack(
        [
            *np.broadcast_arrays(np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]),
            np.ones((height, width)),
        ],
        -1,
    )
    moved = [grid @ matrix.astype(np.float64).reshape(2, 3).T for matrix in np.broadcast_to(matrices, (len(x), 6))]
    places = in_pixels(np.stack(moved), x.shape[:1:-1], "normalized_minus_one_to_one", True)
    expected = np.stack([resampled(*pair, "bilinear", "constant", 0.0) for pair in zip(x, places, strict=True)])
    given = {"output_height": height, "output_width": width, "sampling_mode": "bilinear", "padding_mode": "constant"}
    given |= {"padding_value": 0.0, "coordinates_mode": "normalized_minus_one_to_one", "align_corners": True}
    return "affine", 15, {"x": x, "transform_matrix": matrices, **given}, expected


@formula
def crop_resize(draw):
    """Corners aligned as in tf.image.crop_and_resize, or offset as in RoIAlign with one sample."""
    x = draw.floats((draw.integer(1, 2), draw.integer(1, 3), *draw.integers(2, 3, 6)))
    sizes = np.array(x.shape[2:])
    count, (height, width) = draw.integer(1, 3), draw.integers(2, 1, 4)
    mode = draw.one("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "OFFSET_CORNERS")
    is_normalized, scale, pad_value = draw.flag(), draw.one(1.0, 0.5), draw.one(0.0, 2.0)
    first = draw.random.uniform(0, 1, (count, 2)) * (sizes - 2)
    last = first + 1 + draw.random.uniform(0, 1, (count, 2)) * (sizes - 2 - first)
    if mode != "OFFSET_CORNERS" and draw.flag():  # outside, too
        last = last + 1.5
    layout = draw.one(
        "CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST", "CENTER_SIZE_HEIGHT_FIRST", "CENTER_SIZE_WIDTH_FIRST"
    )
    unit = scale * (sizes - 1 if is_normalized else 1)
    pair = [first / unit, last / unit]
    pair = pair if layout.startswith("CORNERS") else [(pair[0] + pair[1]) / 2, pair[1] - pair[0]]
    boxes = np.concatenate([p if layout.endswith("HEIGHT_FIRST") else p[:, ::-1] for p in pair], 1).astype(np.float32)
    images, is_for_all = draw.places(len(x), count), draw.flag()
    if is_for_all:
        first, last = first.repeat(len(x), 0), last.repeat(len(x), 0)
        images = np.tile(np.arange(len(x)), count)
    if mode == "OFFSET_CORNERS":
        rois = np.concatenate([images[:, None], first[:, ::-1], last[:, ::-1]], 1)
        tensors = torch.from_numpy(x).double(), torch.from_numpy(rois)
        expected = torchvision.ops.roi_align(*tensors, (height, width), sampling_ratio=1).numpy()
    else:
        expected = np.full((len(images), x.shape[1], height, width), pad_value)
        lines = []
        for axis, wanted in enumerate((height, width)):
            middle = (first[:, axis] + last[:, axis]) / 2 if mode == "ALIGN_CORNERS" else first[:, axis]
            ends = (middle, middle) if wanted == 1 else (first[:, axis], last[:, axis])
            lines.append(np.linspace(*ends, wanted, axis=1))
            assume((np.abs(lines[-1] - (sizes[axis] - 1)) > 1e-4).all())  # where rounding says whether it is outside
        for box, i, j in np.ndindex(len(images), height, width):
            place = np.array([[[lines[1][box, j], lines[0][box, i]]]])
            if (place[0, 0, ::-1] <= sizes - 1).all():
                expected[box, :, i, j] = resampled(x[images[box]], place, "bilinear", "border", 0.0)[:, 0, 0]
    given = {"target_height": height, "target_width": width, "normalized_coordinates": is_normalized}
    given |= {"spatial_scale": scale, "box_coordinate_mode": layout, "sampling_mode": mode}
    if is_for_all:
        given |= {"roi": boxes.reshape(count, 1, 4, 1, 1)} | ({"pad_value": pad_value} if pad_value else {})
        return (
            "crop_resize",
            16 if pad_value else 15,
            {"x": x, **given},
            expected.reshape(count, -1, *expected.shape[1:]),
        )
    if draw.flag():
        more = {"boxes": boxes, "box_indices": images, "pad_value": pad_value}
        return "crop_resize", 17, {"x": x, **more, **given}, expected
    roi = np.concatenate([images[:, None].astype(np.float32), boxes], 1).reshape(count, 1, 5, 1, 1)
    return "crop_resize", 16, {"x": x, "roi": roi, "pad_value": pad_value, **given}, expected[:, None]


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
