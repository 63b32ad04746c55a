import pytest

from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.labels import check_labels


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["cat", "dog", "cat"], "(cat)"),
        ([1, 2, 1], "(1)"),
        ([["cat"], ["cat"]], "(['cat'])"),  # what a damaged program names as classes may be lists
        ([1, "1"], "(1)"),
    ],
)
def test_labels_of_any_kind_that_stand_twice_are_found(labels, words):
    faults = Faults("m.mlmodel")
    check_labels(labels, len(labels), faults)
    (fault,) = faults.found
    assert f"more than once {words}" in fault.problem
