import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

WEIGHT = (np.random.default_rng(2).standard_normal((5, 4)) / 4).astype(np.float16).astype(np.float32)
BIAS = np.arange(5, dtype=np.float32)
w, b = torch.from_numpy(WEIGHT), torch.from_numpy(BIAS)


def product(**transposed):
    return lambda x, y: mb.matmul(x=x, y=y, **transposed)


CASES = [
    ("linear", 15, lambda x: mb.linear(x=x, weight=WEIGHT, bias=BIAS), lambda x: F.linear(x, w, b), (2, 3, 4)),
    ("linear without bias", 15, lambda x: mb.linear(x=x, weight=WEIGHT), lambda x: F.linear(x, w), (3, 4)),
    ("matmul", 15, product(), torch.matmul, (3, 4), (4, 5)),
    ("matmul batches broadcast", 15, product(), torch.matmul, (2, 1, 3, 4), (5, 4, 2)),
    ("matmul transposed x", 15, product(transpose_x=True), lambda x, y: x.mT @ y, (2, 4, 3), (2, 4, 5)),
    ("matmul transposed y", 15, product(transpose_y=True), lambda x, y: x @ y.mT, (2, 3, 4), (2, 5, 4)),
    (
        "matmul of integers and floats",
        17,
        lambda x: mb.matmul(x=x, y=np.arange(12, dtype=np.int32).reshape(4, 3)),
        lambda x: x @ torch.arange(12).reshape(4, 3).float(),
        (2, 4),
    ),
    (
        "matmul of integers and constant floats, which gives integers",
        17,
        lambda x: mb.matmul(x=mb.cast(x=x, dtype="int32"), y=np.arange(12, dtype=np.float16).reshape(4, 3)),
        lambda x: x.int() @ torch.arange(12, dtype=torch.int32).reshape(4, 3),
        np.arange(8.0).reshape(2, 4),
    ),
    (
        "linear of integer weights",
        17,
        lambda x: mb.linear(x=x, weight=np.arange(12, dtype=np.int32).reshape(3, 4), bias=np.arange(3, dtype=np.int32)),
        lambda x: F.linear(x, torch.arange(12.0).reshape(3, 4), torch.arange(3.0)),
        (2, 4),
    ),
    (
        "einsum",
        15,
        lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"),
        lambda x, y: torch.einsum("nchw,nwhu->nchu", x, y),
        (2, 3, 4, 5),
        (2, 5, 4, 6),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
