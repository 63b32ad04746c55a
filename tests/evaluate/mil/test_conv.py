import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

RANDOM = np.random.default_rng(1)


def weights(*shape):
    return (RANDOM.standard_normal(shape) / 4).astype(np.float16).astype(np.float32)


W1, W2, W3 = weights(4, 3, 3), weights(4, 3, 3, 2), weights(4, 3, 2, 3, 2)
GROUPED, DEPTHWISE, BIAS = weights(4, 2, 3, 3), weights(8, 1, 3, 3), weights(4)
T1, T2, TG, TBIAS = weights(3, 4, 3), weights(3, 4, 3, 3), weights(4, 3, 3, 3), weights(6)
w = torch.from_numpy
Q4 = RANDOM.integers(0, 16, (4, 3, 3, 2)).astype(np.uint8)
SCALES, OFFSETS = np.float32([0.25, 0.5, 0.125, 1]), np.float32([-1, 0, -0.5, -8])


def quantized(**more):
    return lambda x: mb.conv_quantized(x=x, weight=Q4, quantization_type="linear", nbits=4, **more)


def dequantized(scale, offset):
    return w(Q4 * np.float32(scale).reshape(-1, 1, 1, 1) + np.float32(offset).reshape(-1, 1, 1, 1))


def same(x, weight, stride, lower=False):
    """TensorFlow's SAME padding, by its definition."""
    pads = []
    for size, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total - total // 2, total // 2] if lower else [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), w(weight), stride=stride)


CASES = [
    ("conv1d", 15, lambda x: mb.conv(x=x, weight=W1), lambda x: F.conv1d(x, w(W1)), (2, 3, 8)),
    (
        "conv2d bias",
        15,
        lambda x: mb.conv(x=x, weight=W2, bias=BIAS),
        lambda x: F.conv2d(x, w(W2), w(BIAS)),
        (1, 3, 7, 6),
    ),
    ("conv3d", 15, lambda x: mb.conv(x=x, weight=W3), lambda x: F.conv3d(x, w(W3)), (1, 3, 4, 5, 6)),
    (
        "conv strides and dilations",
        15,
        lambda x: mb.conv(x=x, weight=W2, strides=[2, 1], dilations=[1, 2]),
        lambda x: F.conv2d(x, w(W2), stride=(2, 1), dilation=(1, 2)),
        (1, 3, 9, 8),
    ),
    (
        "conv custom pad, uneven",
        15,
        lambda x: mb.conv(x=x, weight=W2, pad_type="custom", pad=[1, 2, 0, 3]),
        lambda x: F.conv2d(F.pad(x, (0, 3, 1, 2)), w(W2)),
        (1, 3, 7, 6),
    ),
    (
        "conv custom pad, even",
        15,
        lambda x: mb.conv(x=x, weight=W2, pad_type="custom", pad=[1, 1, 2, 2]),
        lambda x: F.conv2d(x, w(W2), padding=(1, 2)),
        (1, 3, 7, 6),
    ),
    (
        "conv_quantized by channel",
        15,
        quantized(quant_scale=SCALES, quant_bias=OFFSETS, strides=[2, 1]),
        lambda x: F.conv2d(x, dequantized(SCALES, OFFSETS), stride=(2, 1)),
        (1, 3, 7, 6),
    ),
    (
        "conv_quantized of one scale",
        15,
        quantized(quant_scale=np.float32(0.25), quant_bias=np.float32(-2), bias=np.uint8([3, 0, 1, 2])),
        lambda x: F.conv2d(x, dequantized(0.25, -2), torch.tensor([3.0, 0, 1, 2])),
        (1, 3, 7, 6),
    ),
    ("conv same", 15, lambda x: mb.conv(x=x, weight=W2, pad_type="same"), lambda x: same(x, W2, 1), (1, 3, 7, 6)),
    (
        "conv same, stride 2",
        15,
        lambda x: mb.conv(x=x, weight=W2, strides=[2, 2], pad_type="same"),
        lambda x: same(x, W2, 2),
        (1, 3, 8, 7),
    ),
    (
        "conv same_lower, stride 2",
        16,
        lambda x: mb.conv(x=x, weight=W2, strides=[2, 2], pad_type="same_lower"),
        lambda x: same(x, W2, 2, lower=True),
        (1, 3, 8, 7),
    ),
    (
        "conv groups",
        15,
        lambda x: mb.conv(x=x, weight=GROUPED, groups=2),
        lambda x: F.conv2d(x, w(GROUPED), groups=2),
        (1, 4, 6, 6),
    ),
    (
        "conv depthwise",
        15,
        lambda x: mb.conv(x=x, weight=DEPTHWISE, groups=4),
        lambda x: F.conv2d(x, w(DEPTHWISE), groups=4),
        (1, 4, 6, 6),
    ),
    ("conv, computed weight", 17, lambda x, y: mb.conv(x=x, weight=y), F.conv2d, (1, 3, 6, 6), (4, 3, 3, 3)),
    (
        "conv_transpose1d",
        15,
        lambda x: mb.conv_transpose(x=x, weight=T1, strides=[2]),
        lambda x: F.conv_transpose1d(x, w(T1), stride=2),
        (1, 3, 5),
    ),
    (
        "conv_transpose2d",
        15,
        lambda x: mb.conv_transpose(x=x, weight=T2, bias=BIAS, strides=[2, 3], dilations=[2, 1]),
        lambda x: F.conv_transpose2d(x, w(T2), w(BIAS), stride=(2, 3), dilation=(2, 1)),
        (1, 3, 5, 4),
    ),
    (
        "conv_transpose custom pad",
        15,
        lambda x: mb.conv_transpose(x=x, weight=T2, strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: F.conv_transpose2d(x, w(T2), stride=2, padding=1),
        (1, 3, 5, 4),
    ),
    (
        "conv_transpose output_shape",
        15,
        lambda x: mb.conv_transpose(
            x=x, weight=T2, strides=[2, 2], pad_type="custom", pad=[1, 0, 1, 0], output_shape=[1, 4, 10, 8]
        ),
        lambda x: F.conv_transpose2d(x, w(T2), stride=2, padding=1, output_padding=1),
        (1, 3, 5, 4),
    ),
    (
        "conv_transpose same, which is the gradient of conv same",
        15,
        lambda x: mb.conv_transpose(x=x, weight=T2, strides=[2, 2], pad_type="same"),
        lambda x: torch.autograd.functional.vjp(lambda y: same(y, T2, 2), torch.zeros(1, 4, 10, 8), x)[1],
        (1, 3, 5, 4),
    ),
    (
        "conv_transpose groups",
        15,
        lambda x: mb.conv_transpose(x=x, weight=TG, bias=TBIAS, groups=2),
        lambda x: F.conv_transpose2d(x, w(TG), w(TBIAS), groups=2),
        (1, 4, 5, 4),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
