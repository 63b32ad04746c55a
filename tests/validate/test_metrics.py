import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from converter.errors import ValidationError
from converter.validate import metrics

finite = arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32))


def a(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("reference", "candidate", "psnr_db"),
    [
        (a(1, 2, 4), a(1, 2, 4), math.inf),
        (a(10, 0), a(9, 1), 20.0),  # peak 10, RMSE 1
        (a(100, 0, 0, 0), a(100, 0, 0, 2), 40.0),  # peak 100, RMSE sqrt(4 / 4) = 1
        (a(-10, 0), a(-9, -1), 20.0),  # the peak is a magnitude
        (a(0, 0), a(0, 0), math.inf),
        (a(0, 0), a(0, 1e-9), -math.inf),
        (a(1, 2), a(1, math.nan), -math.inf),
        (a(1, 2), a(1, math.inf), -math.inf),
        (np.array([1, 2], np.int32), np.array([1, 2], np.float32), math.inf),
        (np.array([10, 0], np.int64), np.array([9, 1], np.int32), 20.0),
        (np.array([True, False]), np.array([1, 0], np.int32), math.inf),
        (np.array([250, 0], np.uint8), np.array([0, 250], np.uint8), 0.0),  # no wrap-around
        (a(1e38, 0), a(0.9e38, 0.1e38), 20.0),  # squares beyond float32
        (np.float32(5).reshape(()), np.float32(5).reshape(()), math.inf),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), math.inf),
    ],
)
def test_psnr_is_what_a_hand_computes(reference, candidate, psnr_db):
    assert metrics.psnr_db(reference, candidate) == pytest.approx(psnr_db, rel=1e-6)


def test_psnr_flattens_instead_of_dividing_by_the_first_axis():
    reference = np.linspace(-1, 1, 1000).reshape(1, 1000)
    assert metrics.psnr_db(reference, reference + 0.1) == pytest.approx(20.0)


@given(finite, st.floats(1e-3, 1e3))
def test_psnr_does_not_depend_on_the_scale(values, factor):
    values = values.astype(np.float64)
    candidate = values + np.linspace(0.5, 1.5, values.size)
    expected = metrics.psnr_db(values, candidate)
    assert metrics.psnr_db(values * factor, candidate * factor) == pytest.approx(expected, abs=1e-6)


@given(finite, finite)
def test_metrics_agree_with_numpy(values, noise):
    count = min(values.size, noise.size)
    reference, candidate = values[:count].astype(np.float64), (values[:count] + noise[:count]).astype(np.float64)
    assert metrics.max_abs_error(reference, candidate) == np.abs(candidate - reference).max()
    assert -1 <= metrics.cosine(reference, candidate) <= 1
    if min(np.linalg.norm(reference), np.linalg.norm(candidate)) > 1e-3:
        expected = reference @ candidate / np.linalg.norm(reference) / np.linalg.norm(candidate)
        assert metrics.cosine(reference, candidate) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("reference", "candidate", "cosine"),
    [
        (a(1, 0), a(5, 0), 1.0),
        (a(1, 0), a(0, 1), 0.0),
        (a(1, 2), a(-1, -2), -1.0),
        (a(0, 0), a(0, 0), 1.0),
        (a(0, 0), a(0, 1), 0.0),
        (a(1e-30, 0), a(1e-30, 0), 1.0),
        (a(1, 2), a(1, math.nan), 0.0),
    ],
)
def test_cosine_is_what_a_hand_computes(reference, candidate, cosine):
    assert metrics.cosine(reference, candidate) == pytest.approx(cosine)


def test_the_largest_error_of_nan_is_infinite():
    assert metrics.max_abs_error(a(1, 2), a(1, math.nan)) == math.inf


@pytest.mark.parametrize("metric", [metrics.psnr_db, metrics.max_abs_error, metrics.cosine])
def test_another_shape_is_an_error(metric):
    with pytest.raises(ValidationError, match=r"shape \[1, 4\].*\[4, 1\]"):
        metric(np.zeros((1, 4)), np.zeros((4, 1)))


@given(finite, st.floats(20, 100))
def test_the_allowed_drift_is_the_rmse_at_the_gate(values, limit_db):
    reference = values.astype(np.float64)
    drift = metrics.allowed_drift(reference, limit_db)
    if np.abs(reference).max() > 1e-3:
        assert metrics.psnr_db(reference, reference + drift) == pytest.approx(limit_db, abs=1e-3)


def test_the_allowed_drift_is_no_larger_than_the_max_abs_error_gate():
    assert metrics.allowed_drift(a(100), 40, 0.25) == 0.25
    assert metrics.allowed_drift(a(100), 40, 5.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reference", "candidate_class", "drift", "agreement"),
    [
        (a(5, 1, 0), 0, 0.1, "same"),
        (a(5, 1, 0), 1, 0.1, "different"),
        (a(5, 4.95, 0), 1, 0.1, "near tie"),
        (a(5, 4.85, 0), 1, 0.1, "different"),
        (a(5, 4.5, 0), 1, 0.5, "different"),  # the margin must be smaller, not equal
        (a(5, 4.95, 0), 2, 0.1, "different"),  # the first two tie, but the candidate names neither
        (a(5, 5, 0), 1, 0.1, "near tie"),
        (a(5, 5, 0), 1, 0.0, "different"),  # a gate that allows no drift excuses nothing
        (a(0, 0), 1, 0.0, "different"),
    ],
)
def test_top1_agrees_by_the_near_tie_rule(reference, candidate_class, drift, agreement):
    assert metrics.top1_agreement(reference, candidate_class, drift) == agreement


def test_a_broken_model_is_not_excused_by_its_own_drift():
    reference = np.array([10.0, 9.0, 0.0])
    broken = np.array([10.0, 14.0, 0.0])
    drift = metrics.allowed_drift(reference, 35)
    assert metrics.max_abs_error(reference, broken) > 1.0 > drift
    assert metrics.top1_agreement(reference, metrics.top(broken, 1)[0], drift) == "different"


@pytest.mark.parametrize(
    ("reference", "candidate", "drift", "agreement"),
    [
        (a(6, 5, 4, 3, 2, 1), a(6, 5, 4, 3, 2, 1), 0, 1.0),
        (a(6, 5, 4, 3, 2, 1), a(2, 3, 4, 5, 6, 1), 0, 1.0),  # the same five in another order
        (a(6, 5, 4, 3, 2, 1), a(6, 5, 4, 3, 1, 2), 0, 0.8),
        (a(6, 5, 4, 3, 2, 1.99), a(6, 5, 4, 3, 1, 2), 0.1, 1.0),
        (a(2, 1), a(1, 2), 0, 1.0),  # fewer than five classes
        (a(2, 1), a(math.nan, 2), 0, 0.0),
    ],
)
def test_top5_agreement_is_the_share_of_shared_classes(reference, candidate, drift, agreement):
    assert metrics.top5_agreement(reference, candidate, drift) == agreement


@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(-100, 100, width=32)))
def test_top_is_a_stable_argsort(scores):
    assert metrics.top(scores, 1) == [int(np.argmax(scores))]
    assert metrics.top(scores, 5) == sorted(range(scores.size), key=lambda i: (-scores[i], i))[:5]
