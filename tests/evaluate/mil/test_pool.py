import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb


def pooled(op, kernel, strides=None, **more):
    """MIL's op with the given parameters."""
    return lambda x: getattr(mb, op)(x=x, kernel_sizes=kernel, strides=strides or [1] * len(kernel), **more)


def custom(pad):
    return {"pad_type": "custom", "pad": pad}


VALID, SAME = {"pad_type": "valid"}, {"pad_type": "same"}
SHAPE = (1, 2, 7, 8)

CASES = [
    ("max 1d", 15, pooled("max_pool", [3], [2], **VALID), lambda x: F.max_pool1d(x, 3, 2), (1, 2, 9)),
    ("max 2d", 15, pooled("max_pool", [3, 2], [2, 1], **VALID), lambda x: F.max_pool2d(x, (3, 2), (2, 1)), SHAPE),
    ("max 3d", 15, pooled("max_pool", [2, 2, 2], **VALID), lambda x: F.max_pool3d(x, 2, 1), (1, 2, 3, 4, 5)),
    ("max pad", 15, pooled("max_pool", [3, 3], [2, 2], **custom([1] * 4)), lambda x: F.max_pool2d(x, 3, 2, 1), SHAPE),
    (
        "max uneven pad",
        15,
        pooled("max_pool", [3, 3], [2, 2], **custom([0, 1, 2, 0])),
        lambda x: F.max_pool2d(F.pad(x, (2, 0, 0, 1), value=-torch.inf), 3, 2),
        SHAPE,
    ),
    (
        "max ceil",
        15,
        pooled("max_pool", [3, 3], [2, 2], ceil_mode=True, **VALID),
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
        (1, 2, 6, 8),
    ),
    (
        "max ceil pad",
        15,
        pooled("max_pool", [3, 3], [2, 2], ceil_mode=True, **custom([1] * 4)),
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        (1, 2, 6, 9),
    ),
    (
        "max ceil pad, whose last window would begin in the pad",
        15,
        pooled("max_pool", [2, 2], [2, 2], ceil_mode=True, **custom([1] * 4)),
        lambda x: F.max_pool2d(x, 2, 2, 1, ceil_mode=True),
        (1, 2, 5, 6),
    ),
    (
        "max same",
        15,
        pooled("max_pool", [2, 2], [2, 2], **SAME),
        lambda x: F.max_pool2d(F.pad(x, (0, 0, 0, 1), value=-torch.inf), 2, 2),
        SHAPE,
    ),
    (
        "max same_lower",
        16,
        pooled("max_pool", [2, 2], [2, 2], pad_type="same_lower"),
        lambda x: F.max_pool2d(F.pad(x, (0, 0, 1, 0), value=-torch.inf), 2, 2),
        SHAPE,
    ),
    ("avg 1d", 15, pooled("avg_pool", [3], [2], **VALID), lambda x: F.avg_pool1d(x, 3, 2), (1, 2, 9)),
    ("avg 2d", 15, pooled("avg_pool", [3, 2], **VALID), lambda x: F.avg_pool2d(x, (3, 2), 1), SHAPE),
    ("avg 3d", 15, pooled("avg_pool", [2, 2, 2], **VALID), lambda x: F.avg_pool3d(x, 2, 1), (1, 2, 3, 4, 5)),
    ("avg pad", 15, pooled("avg_pool", [3, 3], [2, 2], **custom([1] * 4)), lambda x: F.avg_pool2d(x, 3, 2, 1), SHAPE),
    (
        "avg pad not counted",
        15,
        pooled("avg_pool", [3, 3], [2, 2], exclude_padding_from_average=True, **custom([1] * 4)),
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        SHAPE,
    ),
    (
        "avg ceil pad",
        15,
        pooled("avg_pool", [3, 3], [2, 2], ceil_mode=True, **custom([1] * 4)),
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
        (1, 2, 6, 9),
    ),
    (
        "avg ceil pad not counted",
        15,
        pooled("avg_pool", [3, 3], [2, 2], ceil_mode=True, exclude_padding_from_average=True, **custom([1] * 4)),
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        (1, 2, 6, 9),
    ),
    ("l2", 15, pooled("l2_pool", [2, 2], [2, 2], **VALID), lambda x: F.lp_pool2d(x, 2, 2, 2), (1, 2, 6, 8)),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
