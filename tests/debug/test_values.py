"""How far two values are apart, and which layouts are the same value."""

import numpy as np
import pytest

from converter.debug.values import Value, distance, nearest

R = np.random.default_rng(0)
X = R.standard_normal((2, 3, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "other",
    [
        X,
        X[None],
        X.reshape(2, 3, 1, 4),
        X.transpose(1, 0, 2),
        X.transpose(2, 1, 0)[:, None],
        X.reshape(6, 4),
        X.ravel(),
    ],
)
def test_another_layout_is_the_same_value(other):
    assert nearest(X, other).psnr_db == np.inf


def test_another_order_of_the_axes_is_a_mistake_where_the_shape_tells_nothing():
    square = R.standard_normal((4, 4))
    assert nearest(square, square.T).psnr_db < 10
    assert nearest(square, square[None]).psnr_db == np.inf


@pytest.mark.parametrize(
    ("reference", "candidate", "db", "problem"),
    [
        ([1.0, 2.0], [1.0, 2.0], np.inf, ""),
        ([2.0, -2.0], [2.2, -1.8], 20.0, ""),
        ([1.0, 1e5], [1.0, np.inf], -np.inf, "1 of 2 values are infinite: beyond float16's 65504"),
        ([1.0, 2.0], [np.inf, np.nan], -np.inf, "1 of 2 values are infinite; 1 of 2 values are NaN"),
        ([1.0, 1e5], [1.0, 65504.0], 12.3, "1 of 2 values are cut off at float16's 65504"),
        ([3e-8, 2e-8], [0.0, 0.0], 1.4, "2 of 2 values became zero: below float16's 6e-08"),
        ([1.0, -np.inf], [1.0, -65504.0], np.inf, ""),
        ([1.0, np.finfo(np.float32).min], [1.0, -65504.0], np.inf, ""),
        ([True, False], [1, 0], np.inf, ""),
        ([], [], np.inf, ""),
    ],
)
def test_a_distance_is_a_signal_to_noise_ratio_with_what_float16_did(reference, candidate, db, problem):
    found = distance(np.array(reference), np.array(candidate))
    assert found.psnr_db == (db if np.isinf(db) else pytest.approx(db, abs=0.1))
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


@pytest.mark.parametrize(
    ("array", "weak"),
    [
        (np.zeros((3, 3)), True),
        (np.array(5.0), True),
        (np.array([1.0, 2.0]), False),
        (np.array([True, False]), False),
        (np.array([-np.inf, -np.inf]), True),
        (np.array([0, 255], np.uint8), False),
    ],
)
def test_a_value_that_is_one_number_all_over_tells_nothing(array, weak):
    assert Value("op", "name", array).is_weak == weak
