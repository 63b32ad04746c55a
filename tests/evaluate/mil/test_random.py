"""Random ops: their shape, their moments, and that a seed repeats them."""

import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

SHAPE = [40, 50]


def moments(values):
    """Mean and standard deviation, coarse enough for 2000 samples."""
    return [mb.round(x=mb.mul(x=mb.reduce_mean(x=part), y=4.0)) for part in (values, mb.square(x=values))]


def expected(mean, square):
    return lambda *_: [torch.tensor(float(round(value * 4))) for value in (mean, square)]


CASES = [
    (
        "random_uniform",
        15,
        lambda: moments(mb.random_uniform(shape=SHAPE, low=-1.0, high=3.0, seed=1)),
        expected(1, 4 / 3 + 1),
    ),
    (
        "random_normal",
        15,
        lambda: moments(mb.random_normal(shape=SHAPE, mean=2.0, stddev=0.5, seed=2)),
        expected(2, 4.25),
    ),
    (
        "random_bernoulli",
        15,
        lambda: moments(mb.random_bernoulli(shape=SHAPE, prob=0.25, seed=3)),
        expected(0.25, 0.25),
    ),
    (
        "random_categorical, of which one is certain",
        15,
        lambda x: mb.random_categorical(x=x, mode="probs", size=5, seed=4),
        lambda x: torch.tensor([[2.0] * 5, [0.0] * 5]),
        np.array([[0, 0, 1], [1, 0, 0]], np.float32),
    ),
    (
        "a seed repeats",
        15,
        lambda: mb.sub(x=mb.random_normal(shape=SHAPE, seed=5), y=mb.random_normal(shape=SHAPE, seed=5)),
        lambda: torch.zeros(SHAPE),
    ),
]


def test_an_op_answers_with_the_right_moments(case, precision, compare):
    compare(case, precision)
