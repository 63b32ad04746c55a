"""Against torch's normalizations."""

import numpy as np
import pytest
import torch
from torch.nn import functional


def x(*shape):
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


X = 3 * x(2, 4, 5, 6) + 1
GAMMA, BETA, MEAN, VAR = x(4), x(1, 4)[0], x(2, 4)[0], x(3, 4)[0].abs() + 0.1
AFFINE = {"channels": 4, "gamma": GAMMA.numpy(), "beta": BETA.numpy()}
STATISTICS = AFFINE | {"mean": MEAN.numpy(), "variance": VAR.numpy()}


def normalized(x, axes, epsilon):
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + epsilon).sqrt()


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("batchnorm", STATISTICS, functional.batch_norm(X, MEAN, VAR, GAMMA, BETA)),
        ("batchnorm", STATISTICS | {"epsilon": 0.1}, functional.batch_norm(X, MEAN, VAR, GAMMA, BETA, eps=0.1)),
        (
            "batchnorm",
            STATISTICS | {"computeMeanVar": True},
            functional.batch_norm(X, None, None, GAMMA, BETA, training=True),
        ),
        (
            "batchnorm",
            AFFINE | {"computeMeanVar": True, "instanceNormalization": True, "epsilon": 0.01},
            functional.instance_norm(X, weight=GAMMA, bias=BETA, eps=0.01),
        ),
        ("mvn", {}, X - X.mean((2, 3), keepdim=True)),
        ("mvn", {"normalizeVariance": True}, normalized(X, (2, 3), 1e-6)),
        ("mvn", {"normalizeVariance": True, "epsilon": 0.5}, normalized(X, (2, 3), 0.5)),
        ("mvn", {"normalizeVariance": True, "acrossChannels": True}, normalized(X, (1, 2, 3), 1e-6)),
        ("l2normalize", {"epsilon": 0.1}, X / (X.square().sum((1, 2, 3), keepdim=True) + 0.1).sqrt()),
        (
            "lrn",
            {"alpha": 0.5, "beta": 0.75, "localSize": 3, "k": 2},
            functional.local_response_norm(X, 3, 0.5, 0.75, 2),
        ),
        ("lrn", {"alpha": 0.5, "beta": 2, "localSize": 1}, X / (1 + 0.5 * X.square()) ** 2),
        (
            "layerNormalization",
            {"normalizedShape": [5, 6], "eps": 1e-3, "gamma": x(5, 6).numpy(), "beta": x(6, 5).reshape(5, 6).numpy()},
            functional.layer_norm(X, (5, 6), x(5, 6), x(6, 5).reshape(5, 6), 1e-3),
        ),
    ],
)
def test_normalization(same, kind, fields, expected):
    same(kind, [X.numpy()], fields, expected.numpy())


def test_rank_three_is_one_instance(same):
    expected = functional.batch_norm(X[:1], MEAN, VAR, GAMMA, BETA)[0]
    same("batchnorm", [X[0].numpy()], STATISTICS, expected.numpy())
    same("mvn", [X[0].numpy()], {"normalizeVariance": True}, normalized(X[0], (1, 2), 1e-6).numpy())


def test_a_batchnorm_needs_statistics(answer):
    with pytest.raises(Exception, match="neither computeMeanVar nor mean and variance"):
        answer("batchnorm", [X.numpy()], AFFINE)
