import numpy as np
import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Builder as mb

X = np.linspace(-6, 6, 24, dtype=np.float32).reshape(1, 3, 4, 2)
PER_CHANNEL = np.array([0.25, 0.5, 2], np.float32)


def slope(x):
    return torch.from_numpy(PER_CHANNEL)[:, None, None] * x


CASES = [
    (
        "clamped_relu",
        15,
        lambda x: mb.clamped_relu(x=x, alpha=0.5, beta=2.0),
        lambda x: torch.where(x >= 0, x, 0.5 * x).clamp(max=2),
        X,
    ),
    ("elu", 15, lambda x: mb.elu(x=x, alpha=0.5), lambda x: F.elu(x, 0.5), X),
    ("gelu exact", 15, lambda x: mb.gelu(x=x), lambda x: x / 2 * (1 + torch.erf(x / 2**0.5)), X),
    (
        "gelu tanh",
        15,
        lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        X,
    ),
    (
        "gelu sigmoid",
        15,
        lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
        lambda x: x * torch.sigmoid(1.702 * x),
        X,
    ),
    ("leaky_relu", 15, lambda x: mb.leaky_relu(x=x, alpha=0.125), lambda x: F.leaky_relu(x, 0.125), X),
    ("linear_activation", 15, lambda x: mb.linear_activation(x=x, alpha=2.0, beta=1.0), lambda x: 2 * x + 1, X),
    ("prelu", 15, lambda x: mb.prelu(x=x, alpha=PER_CHANNEL), lambda x: torch.where(x > 0, x, slope(x)), X),
    ("relu", 15, lambda x: mb.relu(x=x), torch.relu, X),
    ("relu6", 15, lambda x: mb.relu6(x=x), F.relu6, 2 * X),
    (
        "scaled_tanh",
        15,
        lambda x: mb.scaled_tanh(x=x, alpha=2.0, beta=0.5),
        lambda x: 2 * torch.tanh(x / 2),
        X,
    ),
    ("sigmoid", 15, lambda x: mb.sigmoid(x=x), torch.sigmoid, X),
    (
        "sigmoid_hard",
        15,
        lambda x: mb.sigmoid_hard(x=x, alpha=0.25, beta=0.5),
        lambda x: (x / 4 + 0.5).clamp(0, 1),
        X,
    ),
    ("silu", 15, lambda x: mb.silu(x=x), F.silu, X),
    ("softmax", 15, lambda x: mb.softmax(x=x), lambda x: x.softmax(-1), X),
    ("softmax axis 1", 15, lambda x: mb.softmax(x=x, axis=1), lambda x: x.softmax(1), X),
    ("softplus", 15, lambda x: mb.softplus(x=x), lambda x: torch.log1p(torch.exp(x)), X),
    (
        "softplus_parametric",
        15,
        lambda x: mb.softplus_parametric(x=x, alpha=PER_CHANNEL, beta=PER_CHANNEL),
        lambda x: slope(torch.log1p(torch.exp(slope(x)))),
        X,
    ),
    ("softsign", 15, lambda x: mb.softsign(x=x), F.softsign, X),
    (
        "thresholded_relu",
        15,
        lambda x: mb.thresholded_relu(x=x, alpha=1.0),
        lambda x: torch.where(x >= 1, x, 0),
        np.array([0.5, 1, 1.5], np.float32),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
