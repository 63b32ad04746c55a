import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

MEAN, VARIANCE = np.array([0.5, -1, 2], np.float32), np.array([1, 0.25, 4], np.float32)
GAMMA, BETA = np.array([2, 1, 0.5], np.float32), np.array([0, 0.5, -1], np.float32)
m, v, g, b = map(torch.from_numpy, (MEAN, VARIANCE, GAMMA, BETA))


def normalized(x, axes, epsilon):
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)


CASES = [
    (
        "local_response_norm of rank 3 (coremltools' own example)",
        15,
        lambda x: mb.local_response_norm(x=x, size=3, alpha=0.0001, beta=0.75, k=1.0),
        lambda x: torch.tensor([[[0.99997497, -6.99143696], [4.99687672, -5.99460602], [-2.99932504, -4.99687672]]]),
        np.array([[[1, -7], [5, -6], [-3, -5]]], np.float32),
    ),
    (
        "batch_norm",
        15,
        lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA, epsilon=0.125),
        lambda x: F.batch_norm(x, m, v, g, b, eps=0.125),
        (2, 3, 4, 4),
    ),
    (
        "batch_norm plain",
        15,
        lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE),
        lambda x: F.batch_norm(x, m, v),
        (2, 3, 5),
    ),
    (
        "instance_norm",
        15,
        lambda x: mb.instance_norm(x=x, gamma=GAMMA, beta=BETA, epsilon=1e-3),
        lambda x: normalized(x, (2, 3), 1e-3) * g[:, None, None] + b[:, None, None],
        (2, 3, 4, 4),
    ),
    (
        "instance_norm of one pixel",
        15,
        lambda x: mb.instance_norm(x=x, gamma=GAMMA, beta=BETA),
        lambda x: b.reshape(1, 3, 1).expand(2, 3, 1),
        (2, 3, 1),
    ),
    (
        "l2_norm",
        15,
        lambda x: mb.l2_norm(x=x, epsilon=0.5),
        lambda x: x / torch.sqrt(x.square().sum((1, 2, 3), keepdim=True) + 0.5),
        (2, 3, 4, 4),
    ),
    (
        "layer_norm",
        15,
        lambda x: mb.layer_norm(x=x, axes=[-1], gamma=GAMMA, beta=BETA, epsilon=1e-3),
        lambda x: normalized(x, -1, 1e-3) * g + b,
        (2, 4, 3),
    ),
    (
        "layer_norm two axes",
        15,
        lambda x: mb.layer_norm(x=x, axes=[1, 2], epsilon=1e-3),
        lambda x: normalized(x, (1, 2), 1e-3),
        (2, 4, 3),
    ),
    (
        "layer_norm of a middle axis",
        15,
        lambda x: mb.layer_norm(x=x, axes=[1], gamma=GAMMA, beta=BETA, epsilon=1e-3),
        lambda x: normalized(x, 1, 1e-3) * g[:, None] + b[:, None],
        (2, 3, 4),
    ),
    (
        "local_response_norm",
        15,
        lambda x: mb.local_response_norm(x=x, size=3, alpha=0.5, beta=0.75, k=2.0),
        lambda x: F.local_response_norm(x, 3, 0.5, 0.75, 2.0),
        (2, 6, 4, 4),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
