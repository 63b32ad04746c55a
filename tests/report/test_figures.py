import math

import pytest

from converter.model import Target
from converter.report import figures
from converter.report.figures import Row, rows


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (figures.psnr(118.04), "118.0 dB"),
        (figures.psnr(math.inf), "exact"),
        (figures.psnr(-math.inf), "none"),
        (figures.psnr(math.nan), "none"),
        (figures.share(1.0), "100 %"),
        (figures.share(0.0), "0 %"),
        (figures.share(0.98056), "98.06 %"),
        (figures.share(0.999999), "99.99 %"),
        (figures.share(1e-9), "0.01 %"),
        (figures.share(None), "–"),
        (figures.size(0), "0 B"),
        (figures.size(999), "999 B"),
        (figures.size(1000), "1.0 kB"),
        (figures.size(999_949), "999.9 kB"),
        (figures.size(999_950), "1.0 MB"),
        (figures.size(13_600_000), "13.6 MB"),
        (figures.size(2_500_000_000_000), "2500.0 GB"),
        (figures.seconds(0.04), "0.0 s"),
        (figures.seconds(12.34), "12.3 s"),
        (figures.number(0.00123456), "0.001235"),
    ],
)
def test_numbers_read_the_same_everywhere(given, shown):
    assert given == shown


@pytest.mark.parametrize("ios", [13, 14, 15, 16, 17, 18, 26])
def test_every_deployment_target_has_its_systems(ios):
    target = Target(format="mlpackage", deployment_target=f"iOS{ios}", compute_precision="float16")
    assert figures.runs_on(target).startswith(f"iOS {ios}, macOS ")


def test_every_attempt_and_every_failure_has_a_row(run):
    found = rows(run.models)
    assert [(row.model, row.route, row.format, row.result) for row in found] == [
        ("birds", "direct", "mlmodel", "passed"),
        ("birds", "onnx", "mlmodel", "passed"),
        ("birds", "direct", "mlpackage", "passed"),
        ("birds", "onnx", "mlpackage", "passed"),
        ("tokens", "direct", "mlpackage", "left"),
        ("tokens", "onnx", "mlpackage", "passed"),
        ("broken", "direct", "mlmodel", "FAILED"),
        ("lost", "–", "–", "FAILED"),
    ]
    # A route that was left is told, but nothing is wrong with the model.
    assert [row.passed for row in found] == [True] * 6 + [False] * 2
    assert found[0][3:6] == ("13.6 MB", "118.0 dB", "100 %")


def test_every_column_has_its_side():
    assert len(Row.JUSTIFY) == len(Row._fields)
