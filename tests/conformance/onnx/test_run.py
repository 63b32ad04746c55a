"""The run of onnx's cases: what counts as passed, and what fails a run."""

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest

from tests.conformance.onnx import cases, run
from tests.conformance.onnx.cases import Result, difference, is_sampled


def judged(name):
    return run.judged(name)


def test_a_case_passes_through_the_whole_way():
    assert judged("test_relu") == Result(name="test_relu", kind="node", outcome="passed")


def test_inputs_that_the_lowering_declares_constant_become_constants_and_no_others():
    assert judged("test_reduce_max_keepdims_random").baked == ("axes",)


def test_a_case_whose_answers_are_wrong_is_different(tmp_path):
    case = cases.cases()["test_relu"]
    [(inputs, outputs)] = case.data_sets
    wrong = replace(case, data_sets=[(inputs, [outputs[0] + 1])])
    result = cases.judge(wrong, tmp_path)
    assert result.outcome == "different"
    assert "Max absolute difference" in result.reason


def test_a_case_without_a_lowering_is_refused_with_the_reason():
    result = judged("test_ai_onnx_ml_tree_ensemble_single_tree")
    assert result.outcome == "refused"
    assert result.reason


@pytest.mark.parametrize(
    ("right", "answer", "said"),
    [
        (np.array([0], np.uint8), np.array([256], np.int32), "Mismatched"),
        (np.array([2**32], np.int64), np.array([0], np.int32), "Mismatched"),
        (np.array([2**63], np.uint64), np.array([2**31 - 1], np.int32), "Mismatched"),
        (np.array([1, 2], np.int64), np.array([1, 2], np.int32), ""),
        (np.float32(3), np.array([3], np.float32), ""),
        (np.array([np.nan], np.float32), np.array([0], np.float32), "nan location"),
        (np.array([65520], np.float16), np.array([65520], np.float32), ""),
        (np.zeros((2, 1), np.float32), np.zeros(2, np.float32), "shape"),
        (np.array([True]), np.array([1], np.int32), ""),
    ],
)
def test_numbers_are_compared_as_numbers(right, answer, said):
    found = difference([right], [answer], rtol=1e-3, atol=1e-7)
    assert (said in found) if said else found == ""


LISTED = {re.compile("test_a.*"): "why"}


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("test_a", "passed", "take it from the list"),
        ("test_a", "constant", "take it from the list"),
        ("test_a", "refused", ""),
        ("test_b", "passed", ""),
        ("test_b", "crashed", "crashed test_b"),
        ("test_b", "different", "different test_b"),
    ],
)
def test_what_is_not_listed_must_pass_and_what_is_listed_must_not(name, outcome, said):
    complaints = list(run.verdict([Result(name=name, kind="node", outcome=outcome)], LISTED))
    assert (said in complaints[0]) if said else complaints == []


def test_the_figures_count_what_was_left_to_run_apart():
    outcomes = ["passed", "passed", "constant", "refused", "different"]
    results = [Result(name=f"test_{i}", kind="node", outcome=o, fixed=i == 0) for i, o in enumerate(outcomes)]
    assert "| node | 5 | 2 | 1 | 1 | 1 | 1 |" in run.summary(results, {})
    assert f"onnx {onnx.__version__}" in run.sentence(results)
    assert "2 of 5 for operators and 0 of 0" in run.sentence(results)


@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
def test_every_listed_case_exists_and_says_why(format):
    names = list(cases.cases())
    for pattern, reason in run.known(format=format).items():
        assert any(pattern.fullmatch(name) for name in names), pattern.pattern
        assert len(reason.split()) > 2


@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
def test_a_sample_of_all_cases_is_as_listed(format):
    """One case in 20 here; `script/conformance onnx` runs all."""
    results = run.run([name for name in cases.cases() if is_sampled(name, 20)], jobs=2, format=format)
    assert list(run.verdict(results, run.known(format=format))) == []
    assert sum(result.outcome == "passed" for result in results) > 60


@pytest.mark.parametrize(("name", "fixed"), [("test_relu", False), ("test_if", False), ("test_shape", True)])
@pytest.mark.parametrize("format", ["mlpackage", "mlmodel"])
def test_an_answer_that_no_input_decides_is_known_as_such(name, fixed, format):
    assert run.judged(name, format).fixed == fixed
