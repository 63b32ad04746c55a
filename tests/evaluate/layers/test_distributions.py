"""The numbers are random: their shape, distribution and repetition are held, against the distributions' moments."""

import numpy as np
import pytest

SHAPE = [100, 200]
LIKE = np.zeros(SHAPE, np.float32)
DYNAMIC = np.array(SHAPE, np.float32)
NORMAL = {"mean": 2, "stdDev": 0.5, "seed": 7}
UNIFORM = {"minVal": -1, "maxVal": 3, "seed": 7}
BERNOULLI = {"prob": 0.3, "seed": 7}


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "mean", "deviation"),
    [
        ("randomNormalLike", [LIKE], NORMAL, 2, 0.5),
        ("randomNormalStatic", [], NORMAL | {"outputShape": SHAPE}, 2, 0.5),
        ("randomNormalDynamic", [DYNAMIC], NORMAL, 2, 0.5),
        ("randomUniformLike", [LIKE], UNIFORM, 1, 4 / 12**0.5),
        ("randomUniformStatic", [], UNIFORM | {"outputShape": SHAPE}, 1, 4 / 12**0.5),
        ("randomUniformDynamic", [DYNAMIC], UNIFORM, 1, 4 / 12**0.5),
        ("randomBernoulliLike", [LIKE], BERNOULLI, 0.3, 0.21**0.5),
        ("randomBernoulliStatic", [], BERNOULLI | {"outputShape": SHAPE}, 0.3, 0.21**0.5),
        ("randomBernoulliDynamic", [DYNAMIC], BERNOULLI, 0.3, 0.21**0.5),
    ],
)
def test_distribution(answer, kind, inputs, fields, mean, deviation):
    drawn = answer(kind, inputs, fields)
    assert drawn.shape == tuple(SHAPE)
    assert abs(drawn.mean() - mean) < 0.03
    assert abs(drawn.std() - deviation) < 0.03
    np.testing.assert_array_equal(drawn, answer(kind, inputs, fields))
    assert (drawn != answer(kind, inputs, fields | {"seed": 8})).any()


LOGITS = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]], np.float32))


@pytest.mark.parametrize(
    ("x", "fields", "expected"),
    [
        (LOGITS, {"isLogits": True}, np.exp(LOGITS)),
        (np.exp(LOGITS), {}, np.exp(LOGITS)),
        (LOGITS, {"isLogits": True, "temperature": 0.5}, np.exp(2 * LOGITS) / np.exp(2 * LOGITS).sum(1, keepdims=True)),
    ],
)
def test_categories_are_drawn_by_their_probability(answer, x, fields, expected):
    drawn = answer("categoricalDistribution", [x], {"numSamples": 5000} | fields)
    assert drawn.shape == (2, 5000)
    shares = np.stack([(drawn == category).mean(1) for category in range(3)], 1)
    np.testing.assert_allclose(shares, expected, atol=0.03)
