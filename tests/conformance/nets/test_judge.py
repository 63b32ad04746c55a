"""A sample of what `script/conformance nets` does, and what it makes of results."""

import math

import numpy as np
import pytest

from tests.conformance.nets.judge import Result, judge, nets, psnr_db
from tests.conformance.nets.run import summary, verdict

SAMPLE = [
    ("bert-flexible", "torchscript"),
    ("llama", "dynamo"),
    ("lstm-tagger", "torchscript"),
    ("stft", "torchscript"),
]


@pytest.mark.parametrize(("name", "exporter"), SAMPLE)
def test_a_net_answers_as_onnxruntime_does(name, exporter, tmp_path):
    result = judge(nets()[name], exporter, tmp_path)
    assert result.outcome == "passed", result.reason
    assert result.nodes > 0


def test_every_classification_model_of_torchvision_is_a_net():
    assert sum(net.group == "classification" for net in nets().values()) == 80


def test_psnr_is_of_the_largest_and_the_mean_square():
    reference = np.array([[3.0, -10.0]], np.float32)
    assert psnr_db(reference + 0.1, reference) == pytest.approx(40, abs=1e-3)
    assert psnr_db(np.full_like(reference, np.nan), reference) == -math.inf
    assert psnr_db(reference.T, reference) == -math.inf
    assert psnr_db(np.array([1, 2]), np.array([1, 3])) == -math.inf


def a(net, outcome, reason="", exporter="dynamo"):
    return Result(
        net=net, exporter=exporter, group="text", outcome=outcome, reason=reason, float32_db=120.0, float16_db=50.0
    )


def test_a_run_fails_by_what_is_not_listed_and_by_what_is_listed_and_passes():
    results = [
        a("x", "passed"),
        a("y", "low", "float16 20.0 dB"),
        a("z", "refused", "no"),
        a("t", "not exported", "it"),
    ]
    assert list(verdict(results, {"z dynamo": "reason"})) == ["low y dynamo: float16 20.0 dB"]
    complaints = list(verdict(results, {"x dynamo": "r", "y dynamo": "r", "z dynamo": "r"}))
    assert complaints == ["x dynamo is listed as failing and passed: take it from the list"]


def test_the_summary_counts_and_gives_reasons():
    results = [a("x", "passed"), a("z", "refused", "no | way"), a("t", "not exported", "torch's words")]
    text = summary(results, {"z dynamo": "Core ML has none"})
    assert "| text | dynamo | 3 | 1 | 1 | 120.0 dB | 50.0 dB |" in text
    assert "| z | dynamo | refused: no / way | Core ML has none |" in text
    assert "| t | dynamo | torch's words |" in text
