"""What a record keeps for the report, held to numpy's own histogram and to counts made by hand."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Normalization,
    Output,
    Reference,
    Sample,
    ShownSample,
    Validation,
)
from converter.validate import shown


def plot(expected, given):
    return shown.plot("y", "values", [np.asarray(expected)], [np.asarray(given)])


def test_errors_are_counted_in_quarters_of_a_decade():
    random = np.random.default_rng(0)
    expected = [random.normal(0, 3, 500), random.normal(0, 90, 300)]
    given = [v + np.abs(v).max() * 10.0 ** random.uniform(-7, -0.1, v.shape) for v in expected]
    shares = np.concatenate([np.abs(g - e) / np.abs(e).max() for e, g in zip(expected, given, strict=True)])
    edges = 10.0 ** np.arange(-8, 0.01, 0.25)
    assert list(shown.plot("y", "values", expected, given).errors) == np.histogram(shares, edges)[0].tolist()


@pytest.mark.parametrize(
    ("expected", "given", "equal", "non_finite", "first", "last"),
    [
        ([1.0, 2.0], [1.0, 2.0], 2, 0, 0, 0),
        ([1.0, 2.0], [1.0, 2.0 + 1e-12], 1, 0, 1, 0),
        ([1.0, 2.0], [1.0, 50.0], 1, 0, 0, 1),
        ([0.0, 0.0], [0.0, 1e-9], 1, 0, 0, 1),
        ([1.0, 2.0, 3.0], [np.nan, np.inf, 3.0], 1, 2, 0, 0),
        ([], [], 0, 0, 0, 0),
    ],
)
def test_what_is_no_error_between_the_decades_is_counted_apart(expected, given, equal, non_finite, first, last):
    drawn = plot(expected, given)
    assert (drawn.values, drawn.equal, drawn.non_finite) == (len(expected), equal, non_finite)
    assert (drawn.errors[0], drawn.errors[-1], sum(drawn.errors)) == (first, last, first + last)


def test_equal_values_lie_on_the_diagonal_from_end_to_end():
    values = np.linspace(-5, 3, 1000)
    drawn = plot(values, values)
    assert (drawn.low, drawn.high) == (-5, 3)
    assert drawn.cells == " ".join(f"{index},{index}" for index in range(100))


def test_an_outlier_is_drawn_however_many_values_are_right():
    expected = np.linspace(0, 1, 5000)
    given = np.clip(expected + np.random.default_rng(0).uniform(-0.2, 0.2, 5000), 0, 1)
    given[0] = 1.0
    cells = plot(expected, given).cells.split()
    assert len(cells) == 160
    assert "0,99" in cells
    assert any(x == y for x, y in (cell.split(",") for cell in cells))  # and what is right is not hidden by it


def test_a_candidate_far_off_does_not_hide_the_references_range():
    drawn = plot([0.0, 1.0], [0.0, 1e30])
    assert (drawn.low, drawn.high) == (0, 2)
    assert drawn.cells == "0,0 50,99"


def test_arrays_of_several_sizes_are_drawn_together():
    drawn = shown.plot("y", "values", [np.ones((1, 2)), np.zeros((3, 1))], [np.ones((1, 2)), np.zeros((3, 1))])
    assert (drawn.values, drawn.equal, drawn.cells) == (5, 5, "0,0 99,99")


def test_a_ranking_has_the_first_classes_of_both_in_the_references_order():
    expected = np.array([[0.30, 0.20, 0.15, 0.12, 0.10, 0.08, 0.05]])
    given = np.array([0.01, 0.20, 0.15, 0.12, 0.10, 0.08, 0.34])
    ranked = shown.ranking("a.jpg", expected, given, list("abcdefg"), "different")
    assert ranked.labels == ("a", "b", "c", "d", "e", "g")
    assert (ranked.reference[0], ranked.candidate[0]) == (0.30, 0.01)


@pytest.mark.parametrize(
    ("names", "agreements", "expected"),
    [
        (["seed 0", "seed 1", "a", "b", "c", "d", "e"], ["same"] * 7, [2, 3, 4, 5]),
        (["seed 0", "seed 1", "a"], ["same"] * 3, [0, 1, 2]),
        (["a", "b", "c", "d", "e", "seed 0"], [*["same"] * 4, "near tie", "different"], [0, 1, 4, 5]),
    ],
)
def test_disagreement_is_shown_first_then_what_is_real(names, agreements, expected):
    assert shown.chosen([Sample(name=name, inputs={}) for name in names], agreements) == expected


def reference(size, names=("a.jpg", "seed 0")):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    samples = tuple(Sample(name=name, inputs={"image": pixels}) for name in names)
    return Reference(
        samples=samples, outputs=(), labelled=(), labelled_scores=None, engine="torch", seconds=0.0
    ), Interface(
        inputs=(
            ImageInput(
                name="image", color="RGB", size=size, normalization=Normalization(scale=1, mean=(0,) * 3, std=(1,) * 3)
            ),
        ),
        outputs=(Output(name="scores"),),
        classifier=Classifier(labels=("a", "b")),
    )


@pytest.mark.parametrize(
    ("size", "kind", "shown_size"),
    [((8, 6), "PNG", (6, 8)), ((300, 200), "JPEG", (85, 128)), ((65, 30), "JPEG", (30, 65))],
)
def test_a_picture_is_small_and_whole(size, kind, shown_size):
    given, interface = reference(size)
    first, second = shown.shown_samples(given, interface, [])
    head, _, data = first.picture.partition(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (head, picture.format, picture.size) == (f"data:image/{kind.lower()}", kind, shown_size)
        if kind == "PNG":
            assert np.array_equal(np.asarray(picture), given.samples[0].inputs["image"])
    assert len(first.picture) < 8000
    assert (first.name, first.size, second.name) == ("a.jpg", size, "seed 0")


def test_pictures_that_are_not_to_be_shown_are_left_out():
    given, interface = reference((8, 8))
    assert shown.shown_samples(given, interface, [], pictures=False) == ()
    ranked = Validation(
        engine="stand-in",
        metrics=(),
        gates=(),
        accuracy=None,
        reference_accuracy=None,
        seconds=0,
        rankings=(shown.ranking("a.jpg", np.ones(2), np.ones(2), "ab", "same"),),
    )
    assert shown.shown_samples(given, interface, [ranked], pictures=False) == (ShownSample(name="a.jpg", picture=""),)


def test_a_model_without_pictures_shows_the_samples_that_are_ranked():
    given, interface = reference((8, 8))
    tensors = Interface(inputs=(), outputs=interface.outputs)
    assert shown.shown_samples(given, tensors, []) == ()
