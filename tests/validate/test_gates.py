import math

import pytest

from converter.model import Output, OutputMetrics
from converter.validate.gates import Gates, accuracy_gates, failures, output_gates

SCORES = Output(name="scores")


def measured(**values):
    return OutputMetrics(
        **{
            "output": "classLabelProbs",
            "on": "before softmax",
            "psnr_db": 100.0,
            "max_abs_error": 0.01,
            "cosine": 1.0,
            "top1_agreement": 1.0,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("gates", "precision", "output", "limit_db"),
    [
        (Gates(), "float32", SCORES, 90.0),
        (Gates(), "float16", SCORES, 35.0),
        (Gates(psnr_db=50), "float32", SCORES, 50),
        (Gates(psnr_db=50), "float16", SCORES, 50),
        (Gates(), "float32", Output(name="half", dtype="float16"), 35.0),
        (Gates(), "float32", Output(name="picture", color="RGB"), 48.0),
        (Gates(), "float16", Output(name="picture", color="RGB"), 35.0),
    ],
)
def test_the_psnr_limit_follows_from_precision_and_output(gates, precision, output, limit_db):
    assert gates.psnr_limit_db(precision, output) == limit_db


@pytest.mark.parametrize(
    ("metrics", "gates", "failed"),
    [
        (measured(), Gates(), []),
        (measured(psnr_db=math.inf), Gates(), []),
        (measured(psnr_db=89.9), Gates(), ["psnr_db"]),
        (measured(psnr_db=-math.inf), Gates(), ["psnr_db"]),
        (measured(psnr_db=math.nan), Gates(), ["psnr_db"]),
        (measured(max_abs_error=0.01), Gates(max_abs_error=0.01), []),
        (measured(max_abs_error=0.02), Gates(max_abs_error=0.01), ["max_abs_error"]),
        (measured(max_abs_error=math.nan), Gates(max_abs_error=0.01), ["max_abs_error"]),
        (measured(top1_agreement=0.75), Gates(), ["top1"]),
        (measured(top1_agreement=0.75), Gates(top1=0.7), []),
        (measured(top1_agreement=None), Gates(), []),
        (measured(psnr_db=10, top1_agreement=0.0), Gates(max_abs_error=1e-3), ["psnr_db", "max_abs_error", "top1"]),
    ],
)
def test_gates_hold_or_fail(metrics, gates, failed):
    assert [gate.name for gate in output_gates(metrics, gates, 90.0) if not gate.passed] == failed


@pytest.mark.parametrize(
    ("correct", "reference_correct", "gates", "failed"),
    [
        (353, 353, Gates(min_accuracy=0.98, max_accuracy_drop=0.002), []),
        (
            352,
            353,
            Gates(min_accuracy=0.975, max_accuracy_drop=0.002),
            ["max_accuracy_drop"],
        ),  # 1 of 360 is 0.28 points
        (354, 353, Gates(max_accuracy_drop=0.0), []),
        (350, 350, Gates(min_accuracy=0.98), ["min_accuracy"]),
        (0, 360, Gates(), []),
    ],
)
def test_accuracy_gates_hold_or_fail(correct, reference_correct, gates, failed):
    found = accuracy_gates(correct, reference_correct, 360, gates)
    assert [gate.name for gate in found if not gate.passed] == failed


def test_a_failed_gate_says_by_how_much():
    gates = list(output_gates(measured(psnr_db=34.1, top1_agreement=0.5), Gates(), 35.0))
    assert failures(gates) == (
        "psnr_db of classLabelProbs (before softmax) is 34.1 dB, at least 35 dB is asked for: 0.9 dB too low; "
        "top1 of classLabelProbs is 0.5, at least 1 is asked for: 0.5 too low"
    )


def test_a_gate_of_a_candidate_with_nan_says_so():
    gates = list(
        output_gates(measured(psnr_db=-math.inf), Gates(), 35.0, problem="3 NaN or infinite values for seed 0")
    )
    assert "is -inf dB" in failures(gates)
    assert "3 NaN or infinite values for seed 0" in failures(gates)
