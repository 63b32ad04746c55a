import json
from pathlib import Path

import numpy as np
import pytest

from converter.validate.intervals import mcnemar, paired_p, percentiles, resampled, wilson

EXPECTED = json.loads((Path(__file__).parent / "oracles/expected.json").read_text())


@pytest.mark.parametrize("case", EXPECTED["wilson"], ids=lambda case: f"{case['right']} of {case['count']}")
def test_the_interval_of_a_share_is_scipys(case):
    assert wilson(case["right"], case["count"]) == pytest.approx(case["expected"], abs=1e-12)


@pytest.mark.parametrize("case", EXPECTED["mcnemar"], ids=lambda case: f"{case['lost']} lost, {case['won']} won")
def test_the_paired_test_of_shares_is_statsmodels(case):
    lost, won = case["lost"], case["won"]
    reference = np.array([True] * lost + [False] * won + [True] * 11 + [False] * 3)
    candidate = np.array([False] * lost + [True] * won + [True] * 11 + [False] * 3)
    assert mcnemar(reference, candidate) == pytest.approx(case["expected"], rel=1e-9, abs=1e-300)


def test_the_bootstrap_draws_the_same_sets_every_time_and_each_as_large_as_the_whole():
    drawn = resampled(40)
    np.testing.assert_array_equal(drawn, resampled(40))
    assert (drawn.sum(axis=1) == 40).all()
    assert len(np.unique(drawn, axis=0)) > 900


def test_the_bootstraps_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = percentiles(resampled(400) @ values / 400)
    error = values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.3 * error)


def test_a_figure_that_chance_left_out_of_a_drawn_set_does_not_spoil_the_interval():
    assert percentiles(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)


def test_equal_figures_are_no_difference():
    drawn = np.random.default_rng(2).random(1000)
    assert paired_p(drawn, drawn) == 1.0


@pytest.mark.parametrize(("shift", "significant"), [(-1.0, True), (1.0, True), (0.05, False)])
def test_the_paired_bootstrap_tells_a_shift_from_noise(shift, significant):
    random = np.random.default_rng(3)
    noise = random.normal(0, 1, 100)
    drawn = resampled(100) / 100
    assert (paired_p(drawn @ (noise * 0), drawn @ (noise - noise.mean() + shift)) < 0.05) == significant
