import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

INTEGERS = np.arange(24, dtype=np.int32).reshape(2, 3, 4)


def sliced(begin, end, **more):
    return lambda x: mb.slice_by_index(x=x, begin=begin, end=end, **more)


def depth_to_space(x, block):
    n, c, h, w = x.shape
    out = torch.zeros(n, c // block**2, h * block, w * block)
    for row in range(block):
        for column in range(block):
            first = (row * block + column) * (c // block**2)
            out[:, :, row::block, column::block] = x[:, first : first + c // block**2]
    return out


def space_to_batch(x, rows, columns):
    return torch.cat([x[:, :, r::rows, c::columns] for r in range(rows) for c in range(columns)])


def updated(x, update):
    x = x.clone()
    x[:, 1:3, ::2] = update
    return x


CASES = [
    (
        "batch_to_space",
        15,
        lambda x: mb.batch_to_space(x=x, block_shape=[2, 2], crops=np.array([[0, 1], [1, 0]])),
        lambda x: F.pixel_shuffle(x.reshape(4, 1, 2, 3, 3).permute(1, 2, 0, 3, 4).reshape(1, 8, 3, 3), 2)[
            :, :, :-1, 1:
        ],
        (4, 2, 3, 3),
    ),
    (
        "depth_to_space",
        15,
        lambda x: mb.depth_to_space(x=x, block_size=2),
        lambda x: depth_to_space(x, 2),
        (1, 12, 2, 3),
    ),
    ("expand_dims", 15, lambda x: mb.expand_dims(x=x, axes=[0, -1]), lambda x: x[None, ..., None], (2, 3)),
    ("expand_dims inner", 15, lambda x: mb.expand_dims(x=x, axes=[1, 2]), lambda x: x[:, None, None], (2, 3)),
    (
        "pixel_shuffle",
        15,
        lambda x: mb.pixel_shuffle(x=x, upscale_factor=2),
        lambda x: F.pixel_shuffle(x, 2),
        (1, 8, 2, 3),
    ),
    (
        "pixel_unshuffle",
        16,
        lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)),
        lambda x: F.pixel_unshuffle(x, 2),
        (1, 2, 4, 6),
    ),
    ("reshape", 15, lambda x: mb.reshape(x=x, shape=[3, -1]), lambda x: x.reshape(3, -1), (2, 3, 4)),
    ("reshape with 0", 15, lambda x: mb.reshape(x=x, shape=[0, 4, -1]), lambda x: x.reshape(2, 4, 3), (2, 3, 4)),
    (
        "reshape_17 with 0, counted from the right",
        17,
        lambda x: mb.reshape(x=x, shape=[1, 0, -1, 0]),
        lambda x: x.reshape(1, 1, 2, 50),
        (2, 50),
    ),
    (
        "reshape_like",
        16,
        lambda x, y, z: mb.reshape_like(x=x, ref_tensors=(y, z), begins=(0, 1), ends=(2, 0), end_masks=(False, True)),
        lambda x, y, z: x.reshape(2, 3, 5, 6),
        (6, 30),
        (2, 3, 4),
        (1, 5, 6),
    ),
    ("reverse", 15, lambda x: mb.reverse(x=x, axes=[-1, 0]), lambda x: x.flip(0, 2), (2, 3, 4)),
    ("reverse all", 15, lambda x: mb.reverse(x=x), lambda x: x.flip(0, 1), (2, 3)),
    (
        "reverse_sequence",
        15,
        lambda x: mb.reverse_sequence(x=x, lengths=[2, 4], seq_axis=1, batch_axis=0),
        lambda x: torch.stack([x[0, [1, 0, 2, 3]], x[1, [3, 2, 1, 0]]]),
        (2, 4, 3),
    ),
    ("slice_by_index", 15, sliced([0, 1, 0], [2, 3, 4], stride=[1, 1, 2]), lambda x: x[0:2, 1:3, 0:4:2], (2, 3, 4)),
    ("slice_by_index negative", 15, sliced([0, -2, -3], [2, 3, -1]), lambda x: x[:, 1:3, 1:3], (2, 3, 4)),
    (
        "slice_by_index masks",
        15,
        sliced([1, 1, 1], [1, 1, 1], begin_mask=[True, False, False], end_mask=[False, True, True]),
        lambda x: x[:1, 1:, 1:],
        (2, 3, 4),
    ),
    (
        "slice_by_index backwards",
        15,
        sliced([0, 2, 0], [0, 0, 0], stride=[1, -1, -2], begin_mask=[True, False, True], end_mask=[True] * 3),
        lambda x: x.flip(1, 2)[:, :, ::2],
        (2, 3, 4),
    ),
    (
        "slice_by_index squeeze",
        15,
        sliced([-1, 0, 2], [0, 3, 0], squeeze_mask=[True, False, True]),
        lambda x: x[-1, :, 2],
        (2, 3, 4),
    ),
    ("slice_by_index integers", 15, sliced([0, 1, 0], [2, 3, 4]), lambda x: x[:, 1:3], INTEGERS),
    (
        "slice_by_size",
        15,
        lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[-1, 2, 1]),
        lambda x: x[:, 1:3, 2:3],
        (2, 3, 4),
    ),
    (
        "slice_update",
        18,
        lambda x, y: mb.slice_update(x=x, update=y, begin=[0, 1, 0], end=[2, 3, 4], stride=[1, 1, 2]),
        updated,
        (2, 3, 4),
        (2, 2, 2),
    ),
    (
        "sliding_windows",
        15,
        lambda x: mb.sliding_windows(x=x, axis=1, size=3, stride=2),
        lambda x: torch.stack([x[:, 0:3], x[:, 2:5], x[:, 4:7]], 1),
        (2, 7, 2),
    ),
    (
        "space_to_batch",
        15,
        lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=np.array([[1, 0], [0, 1]])),
        lambda x: space_to_batch(F.pad(x, (0, 1, 1, 0)), 2, 3),
        (2, 2, 3, 5),
    ),
    (
        "space_to_depth",
        15,
        lambda x: mb.space_to_depth(x=x, block_size=2),
        lambda x: torch.cat([x[:, :, r::2, c::2] for r in (0, 1) for c in (0, 1)], 1),
        (1, 3, 4, 6),
    ),
    ("squeeze", 15, lambda x: mb.squeeze(x=x, axes=[0, -1]), lambda x: x[0, :, :, 0], (1, 3, 1, 1)),
    ("squeeze all", 15, lambda x: mb.squeeze(x=x), torch.squeeze, (1, 3, 1, 2)),
    ("transpose", 15, lambda x: mb.transpose(x=x, perm=[2, 0, 1]), lambda x: x.permute(2, 0, 1), (2, 3, 4)),
    ("transpose negative", 15, lambda x: mb.transpose(x=x, perm=[-1, 0, -2]), lambda x: x.permute(2, 0, 1), (2, 3, 4)),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
