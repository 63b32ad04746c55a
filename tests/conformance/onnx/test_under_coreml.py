"""The run of onnx's cases under Core ML, on a handful of them and with a stand-in for Core ML."""

import sys
from pathlib import Path

import pytest

from tests.conformance.onnx import cases, under_coreml

STAND_IN = Path(__file__).parents[2] / "validate" / "stand_in"


@pytest.fixture(scope="module")
def tally():
    """`different` is what the stand-in spoils, and what it does not survive."""
    wanted = ["test_abs", "test_and2d", "test_equal", "test_equal_string", "test_sign", "test_neg"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        patch.setenv("STAND_IN_PYTHON", sys.executable)
        patch.setenv("STAND_IN_FAULTS", '{"test_sign.mlpackage": "nan", "test_neg.mlpackage": "abort"}')
        return under_coreml.run([cases.cases()[name] for name in wanted], timeout_s=120)


def test_cases_pass_differ_or_are_not_lowered(tally):
    assert tally.passed == ["test_abs", "test_and2d", "test_equal"]
    assert list(tally.different) == ["test_sign", "test_neg"]
    assert list(tally.not_lowered) == ["test_equal_string"]
    assert str(tally) == "3 passed, 2 different, 1 not lowered"


def test_what_differs_is_said(tally):
    assert "nan location mismatch" in tally.different["test_sign"]
    assert "SIGABRT" in tally.different["test_neg"]


@pytest.mark.parametrize(
    ("known", "failed", "said"),
    [
        ({"seen_on": ""}, False, "nothing of this fails the run"),
        ({"seen_on": "a Mac"}, True, "DIFFERENT test_sign: "),
        ({"seen_on": "a Mac", "differences": {"test_sign": "why", "test_neg": "so"}}, False, "known: so"),
        ({"seen_on": "a Mac", "differences": {"test_sign": "why"}}, True, "known: why"),
        (
            {"seen_on": "a Mac", "differences": {"test_sign": "why", "test_neg": "so", "test_abs": "not so"}},
            True,
            "test_abs is listed as different and passes",
        ),
    ],
)
def test_a_difference_fails_unless_it_is_listed_or_nobody_has_seen_a_run(tally, known, failed, said):
    lines, verdict = under_coreml.verdict(tally, known)
    assert verdict is failed
    assert said in "\n".join(lines)


def test_a_run_without_predictions_fails():
    assert under_coreml.verdict(under_coreml.Tally(not_lowered={"test_equal_string": "no strings"}), {"seen_on": ""})[1]


def test_a_sample_goes_by_the_cases_own_names():
    names = [f"test_{index}" for index in range(2000)]
    sampled = [name for name in names if cases.is_sampled(name, 10)]
    assert 150 < len(sampled) < 250
    assert [name for name in names if cases.is_sampled(name, 1)] == names
