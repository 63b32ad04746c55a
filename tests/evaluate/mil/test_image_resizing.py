import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

SHAPE = (1, 2, 4, 5)
RAMP = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
POINTS = np.random.default_rng(4).uniform(-1.3, 1.3, (1, 3, 6, 2)).astype(np.float32)
ROI = np.array([1, 1, 2, 2], np.float32).reshape(1, 1, 4, 1, 1)


def sampled(padding, **more):
    settings = {
        "sampling_mode": "bilinear",
        "padding_mode": padding,
        "padding_value": 0.0,
        "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": padding == "reflection",
    }
    return lambda x, y: mb.resample(x=x, coordinates=y, **(settings | more))


def grid(**more):
    return lambda x, y: F.grid_sample(x, y, **({"align_corners": False} | more))


def resized(mode, height=7, width=3):
    return lambda x: mb.resize_bilinear(x=x, target_size_height=height, target_size_width=width, sampling_mode=mode)


def interpolated(mode="bilinear", size=(7, 3), **more):
    return lambda x: F.interpolate(x, size, mode=mode, **more)


def at(positions):
    """Linear interpolation of the last axis at the given places."""
    return lambda x: torch.from_numpy(np.stack([np.interp(positions, range(x.shape[-1]), row) for row in x[0, 0]]))[
        None, None
    ]


CASES = [
    (
        "affine",
        15,
        lambda x: mb.affine(
            x=x,
            transform_matrix=np.array([[0.5, 0.25, 0.125, -0.25, 1, 0]], np.float32),
            output_height=3,
            output_width=4,
            sampling_mode="bilinear",
            padding_mode="constant",
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=True,
        ),
        lambda x: F.grid_sample(
            x,
            F.affine_grid(torch.tensor([[[0.5, 0.25, 0.125], [-0.25, 1, 0]]]), [1, 2, 3, 4], align_corners=True),
            align_corners=True,
        ),
        SHAPE,
    ),
    ("crop", 15, lambda x: mb.crop(x=x, crop_height=[1, 0], crop_width=[2, 1]), lambda x: x[..., 1:, 2:4], SHAPE),
    (
        "crop_resize (coremltools' own example)",
        15,
        lambda x: mb.crop_resize(x=x, roi=ROI, target_height=2, target_width=2, sampling_mode="ALIGN_CORNERS"),
        lambda x: torch.tensor([6.0, 7, 10, 11]).reshape(1, 1, 1, 2, 2),
        RAMP,
    ),
    (
        "crop_resize to one pixel",
        16,
        lambda x: mb.crop_resize(x=x, roi=ROI, target_height=1, target_width=1, sampling_mode="ALIGN_CORNERS"),
        lambda x: torch.tensor(8.5).reshape(1, 1, 1, 1, 1),
        RAMP,
    ),
    (
        "crop_resize_17, normalised centres, partly outside",
        17,
        lambda x: mb.crop_resize(
            x=x,
            boxes=np.array([[0, 0.5, 2 / 3, 1]], np.float32),
            box_indices=np.array([0]),
            target_height=3,
            target_width=4,
            normalized_coordinates=True,
            box_coordinate_mode="CENTER_SIZE_HEIGHT_FIRST",
            sampling_mode="STRICT_ALIGN_CORNERS",
            pad_value=-1.0,
        ),
        lambda x: torch.cat([torch.full((1, 4), -1.0), x[0, 0, :2]]).reshape(1, 1, 3, 4),
        RAMP,
    ),
    ("resample", 15, sampled("constant"), grid(), SHAPE, POINTS),
    ("resample border", 15, sampled("border"), grid(padding_mode="border"), SHAPE, POINTS),
    (
        "resample reflection",
        15,
        sampled("reflection"),
        grid(padding_mode="reflection", align_corners=True),
        SHAPE,
        POINTS,
    ),
    ("resample symmetric", 15, sampled("symmetric"), grid(padding_mode="reflection"), SHAPE, POINTS),
    (
        "resample nearest",
        15,
        sampled("border", sampling_mode="nearest"),
        grid(mode="nearest", padding_mode="border"),
        SHAPE,
        POINTS,
    ),
    (
        "resample pixels, with a padding value",
        15,
        sampled("constant", coordinates_mode="unnormalized", padding_value=9.0),
        lambda x, y: torch.tensor([[[[x[0, c, 1, 2], 9.0, (x[0, c, 0, 0] + x[0, c, 0, 1]) / 2]] for c in (0, 1)]]),
        SHAPE,
        np.array([[[[2, 1], [7, 7], [0.5, 0]]]], np.float32),
    ),
    (
        "resize_bilinear STRICT_ALIGN_CORNERS",
        15,
        resized("STRICT_ALIGN_CORNERS"),
        interpolated(align_corners=True),
        SHAPE,
    ),
    ("resize_bilinear UNALIGN_CORNERS", 15, resized("UNALIGN_CORNERS"), interpolated(align_corners=False), SHAPE),
    ("resize_bilinear DEFAULT", 15, resized("DEFAULT", 1, 6), at([0, 1 / 3, 2 / 3, 1, 1, 1]), (1, 1, 1, 2)),
    (
        "resize_bilinear OFFSET_CORNERS",
        15,
        resized("OFFSET_CORNERS", 1, 6),
        at([1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12]),
        (1, 1, 1, 2),
    ),
    ("resize_bilinear ALIGN_CORNERS to one", 15, resized("ALIGN_CORNERS", 1, 1), at([2]), (1, 1, 1, 5)),
    (
        "resize_nearest_neighbor",
        15,
        lambda x: mb.resize_nearest_neighbor(x=x, target_size_height=7, target_size_width=3),
        interpolated("nearest"),
        SHAPE,
    ),
    (
        "resize_17 (coremltools' own example)",
        17,
        lambda x: mb.resize(x=x, shape=[1, 1, 3, 2], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR"),
        lambda x: x[:, :, [0, 1, 1]][..., [0, 0]],
        (1, 1, 2, 1),
    ),
    (
        "resize_17 nearest, exact",
        17,
        lambda x: mb.resize(
            x=x,
            shape=[7, 3],
            resized_dims=np.uint32(2),
            interpolation_mode="NEAREST_NEIGHBOR",
            sampling_mode="UNALIGN_CORNERS",
        ),
        interpolated("nearest-exact"),
        SHAPE,
    ),
    (
        "upsample_bilinear",
        15,
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=3),
        interpolated(size=(8, 15), align_corners=True),
        SHAPE,
    ),
    (
        "upsample_bilinear fractional",
        15,
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=1.5, scale_factor_width=2.5, align_corners=False),
        interpolated(size=(6, 12), align_corners=False),
        SHAPE,
    ),
    (
        "upsample_bilinear_16 without half pixels",
        16,
        lambda x: mb.upsample_bilinear(
            x=x, scale_factor_height=1, scale_factor_width=3, align_corners=False, half_pixel_centers=False
        ),
        at([0, 1 / 3, 2 / 3, 1, 1, 1]),
        (1, 1, 2, 2),
    ),
    (
        "upsample_nearest_neighbor",
        15,
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2.5, scale_factor_width=3.0),
        interpolated("nearest", size=(10, 15)),
        SHAPE,
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
