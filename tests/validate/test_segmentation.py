import numpy as np
import pytest

from converter.errors import ValidationError
from converter.validate.segmentation import Overlaps, label_map, resized

ONCE = np.ones((1, 1))


def by_hand(predictions, masks, ignore):
    """Pixel by pixel."""
    both, either = {}, {}
    for prediction, mask in zip(predictions, masks, strict=True):
        for given, expected in zip(prediction.ravel().tolist(), mask.ravel().tolist(), strict=True):
            if expected != ignore:
                for label in {given, expected} - {-1}:
                    either[label] = either.get(label, 0) + 1
                    both[label] = both.get(label, 0) + (given == expected)
    return sum(both[label] / either[label] for label in either) / len(either)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignore", [None, 255, 2])
def test_mean_iou_is_that_of_counting_pixel_by_pixel(seed, ignore):
    random = np.random.default_rng(seed)
    masks = [random.integers(0, 4, (5, 7)) for _ in range(6)]
    if ignore == 255:
        masks[0][2:4] = 255
    given = [
        np.where(random.random((5, 7)) < 0.7, np.where(m == 255, 0, m), random.integers(-1, 6, (5, 7))) for m in masks
    ]
    whole = Overlaps(given, masks, ignore)
    assert whole.mean_iou(np.ones((1, 6)))[0] == pytest.approx(by_hand(given, masks, ignore))
    twice = [0, 3, 3, 5]
    weights = np.bincount(twice, minlength=6)[None]
    again = by_hand([given[i] for i in twice], [masks[i] for i in twice], ignore)
    assert whole.mean_iou(weights)[0] == pytest.approx(again)


def test_a_worked_example():
    mask = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    given = np.array([[0, 0, 0, 1], [0, 0, 0, 1]])
    # background 4 of 6, object 2 of 4
    assert Overlaps([given], [mask], None).mean_iou(ONCE)[0] == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_a_set_without_a_pixel_that_counts_has_no_mean_iou():
    assert np.isnan(Overlaps([np.zeros((2, 2), int)], [np.full((2, 2), 255)], 255).mean_iou(ONCE)[0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[[[1.0, 0.0]], [[0.5, 0.2]], [[0.0, 3.0]]]]), [[0, 2]]),  # [1, 3, 1, 2]
        (np.array([[[1.0, 0.0]], [[0.5, 0.2]], [[0.0, 3.0]]]), [[0, 2]]),  # [3, 1, 2]
        (np.array([[[3.0, 1.0]]]), [[3, 1]]),  # [1, 1, 2]
        (np.array([[[[3, 1]]]], np.int32), [[3, 1]]),  # [1, 1, 1, 2]
        (np.array([[3, 1]], np.int32), [[3, 1]]),
    ],
)
def test_a_label_map_comes_from_scores_or_from_class_numbers(values, expected):
    np.testing.assert_array_equal(label_map(values), expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0.5, 1.0]]), "holds fractions, where class numbers are expected"),
        (np.zeros((1, 10)), None),
        (np.zeros((2, 3, 4, 4)), r"an output of shape \[2, 3, 4, 4\] is no label map"),
        (np.zeros(7), r"shape \[7\] is no label map"),
    ],
)
def test_another_output_is_no_label_map(values, words):
    if words is None:
        assert label_map(values).shape == (1, 10)
        return
    with pytest.raises(ValidationError, match=words):
        label_map(values)


def test_a_map_is_brought_to_the_masks_size_by_its_nearest_pixels():
    small = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(resized(small, (4, 2)), [[1, 2], [1, 2], [3, 4], [3, 4]])
    np.testing.assert_array_equal(resized(resized(small, (6, 8)), (2, 2)), small)


def test_an_answer_that_is_no_class_is_wrong_and_nothing_more():
    mask = np.array([[0, 1, 1, 1]])
    for strange in (-5, 10_000, 2**31 - 1):
        given = np.array([[0, 1, 1, strange]])
        assert Overlaps([given], [mask], None).mean_iou(ONCE)[0] == pytest.approx((1 + 2 / 3) / 2)
