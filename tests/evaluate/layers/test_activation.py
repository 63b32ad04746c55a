"""Against torch's modules, and the formulas of NeuralNetwork.proto where torch has none."""

import numpy as np
import pytest
import torch
from torch.nn import functional

X = torch.from_numpy(np.random.default_rng(0).uniform(-4, 4, (2, 3, 2, 5)).astype(np.float32))
ALPHA = torch.tensor([0.1, 0.25, 2.0])
BETA = torch.tensor([0.5, 1.0, 3.0])
BY_CHANNEL = (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"linear": {"alpha": 2, "beta": -1}}, 2 * X - 1),
        ({"ReLU": {}}, functional.relu(X)),
        ({"leakyReLU": {"alpha": 0.3}}, functional.leaky_relu(X, 0.3)),
        ({"thresholdedReLU": {"alpha": 1.5}}, functional.threshold(X, 1.5, 0)),
        ({"PReLU": {"alpha": ALPHA.numpy()}}, functional.prelu(X, ALPHA)),
        ({"PReLU": {"alpha": ALPHA[:1].numpy()}}, functional.prelu(X, ALPHA[:1])),
        ({"tanh": {}}, X.tanh()),
        ({"scaledTanh": {"alpha": 1.5, "beta": 0.5}}, 1.5 * (0.5 * X).tanh()),
        ({"sigmoid": {}}, X.sigmoid()),
        ({"sigmoidHard": {"alpha": 0.2, "beta": 0.5}}, (0.2 * X + 0.5).clamp(0, 1)),
        ({"ELU": {"alpha": 0.7}}, functional.elu(X, 0.7)),
        ({"softsign": {}}, functional.softsign(X)),
        ({"softplus": {}}, functional.softplus(X)),
        (
            {"parametricSoftplus": {"alpha": ALPHA.numpy(), "beta": BETA.numpy()}},
            ALPHA.view(BY_CHANNEL) * (1 + (BETA.view(BY_CHANNEL) * X).exp()).log(),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_activation(same, fields, expected):
    same("activation", [X.numpy()], fields, expected.numpy())


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("clampedReLU", {"alpha": 0.2, "beta": 1.5}, torch.minimum(torch.tensor(1.5), functional.leaky_relu(X, 0.2))),
        ("clampedReLU", {"alpha": -2, "beta": 3}, torch.where(X >= 0, X, -2 * X).clamp(max=3)),
        ("gelu", {}, functional.gelu(X)),
        ("gelu", {"mode": "TANH_APPROXIMATION"}, functional.gelu(X, approximate="tanh")),
        ("gelu", {"mode": "SIGMOID_APPROXIMATION"}, X * torch.sigmoid(1.702 * X)),
        ("softmax", {}, X.softmax(1)),
        ("softmaxND", {"axis": 2}, X.softmax(2)),
        ("softmaxND", {"axis": -1}, X.softmax(3)),
        ("softmaxND", {}, X.softmax(0)),
    ],
)
def test_other_activations(same, kind, fields, expected):
    same(kind, [X.numpy()], fields, expected.numpy())


def test_softplus_does_not_overflow(answer):
    assert answer("activation", [np.array([1000.0, -1000.0])], {"softplus": {}}).tolist() == [1000.0, 0.0]


def test_an_activation_needs_a_function(answer):
    with pytest.raises(Exception, match="no activation function"):
        answer("activation", [X.numpy()], {})
