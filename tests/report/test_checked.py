from dataclasses import replace

import pytest

from converter.model import CheckedFile, Placement, Times, ValidationRecord
from converter.report.checked import passed_files, total, words
from converter.report.figures import duration


@pytest.fixture
def good(classifier):
    return CheckedFile(
        model="birds",
        file="birds/birds.mlpackage.zip",
        sha256="",
        engine="Core ML (macOS 15.1, Apple M1)",
        validation=classifier.attempts[0].validation,
    )


@pytest.fixture
def bad(failed, good):
    return replace(good, validation=failed.attempts[0].validation)


def places(*devices):
    return tuple(Placement(op_type="conv", name="y", preferred=device) for device in devices)


GATE = "psnr_db of classLabelProbs is 62.5 dB, at least 90 dB is asked for: 27.5 dB too low"


@pytest.mark.parametrize(
    ("which", "changes", "said"),
    [
        ("good", {}, "birds.mlpackage: passed 2 gates on Core ML (macOS 15.1, Apple M1), CPU_ONLY"),
        ("good", {"engine": "the reference evaluator"}, "birds.mlpackage: passed 2 gates on the reference evaluator"),
        (
            "good",
            {"compute_units": "ALL", "required": False},
            "birds.mlpackage: passed 2 gates on Core ML (macOS 15.1, Apple M1), ALL (for information)",
        ),
        ("bad", {}, f"birds.mlpackage: FAILED on Core ML (macOS 15.1, Apple M1), CPU_ONLY: {GATE}"),
        (
            "bad",
            {"compute_units": "ALL", "required": False},
            f"birds.mlpackage: not passed on Core ML (macOS 15.1, Apple M1), ALL (for information): {GATE}",
        ),
        (
            "bad",
            {"at_fault": "the device", "compute_units": "CPU_AND_NE"},
            f"birds.mlpackage: FAILED on Core ML (macOS 15.1, Apple M1), CPU_AND_NE: {GATE}\n"
            "  at fault: the device; the reference evaluator keeps every gate with this file",
        ),
        (
            "good",
            {"validation": None, "error": "no answer within 600 s"},
            "birds.mlpackage: FAILED on Core ML (macOS 15.1, Apple M1), CPU_ONLY: no answer within 600 s",
        ),
        (
            "good",
            {
                "times": Times(load_s=12.345, predict_s=0.012345, predictions=7),
                "placements": places(None, "CPU", "Neural Engine", "Neural Engine", "Neural Engine", "CPU"),
            },
            "birds.mlpackage: passed 2 gates on Core ML (macOS 15.1, Apple M1), CPU_ONLY\n"
            "  loaded in 12.3 s, predicts in 12.3 ms (median of 7, on this machine)\n"
            "  Core ML would rather use, by number of operations: Neural Engine 3, CPU 2, not said 1",
        ),
    ],
)
def test_a_checked_file_in_words(good, bad, which, changes, said):
    assert words(replace({"good": good, "bad": bad}[which], **changes)) == said


def test_whose_fault_it_is_is_said_with_how_far_core_ml_is_from_the_evaluator(bad):
    said = words(replace(bad, at_fault="the conversion", drift=bad.validation.metrics))
    assert said.endswith(
        "\n  at fault: the conversion; the reference evaluator does not keep the gates with this file either "
        "(PSNR between Core ML and it: 62.5 dB)"
    )


def test_a_file_passes_with_all_that_is_required_of_it(good, bad):
    told = {
        "a": (good, replace(bad, compute_units="ALL", required=False)),
        "b": (good, replace(bad, compute_units="ALL")),
        "c": (good, replace(good, compute_units="ALL", required=False)),
    }
    files = tuple(replace(checked, file=name) for name, checks in told.items() for checked in checks)
    record = ValidationRecord(engine="coreml", machine="a Mac", versions={}, commit="", files=files, seconds=1.0)
    assert passed_files(record) == (2, 3)
    assert total(record, "dist") == (
        "dist: 2 of 3 files passed on coreml (a Mac); for information, 1 of 2 checks on other compute units did"
    )
    required = replace(record, files=tuple(file for file in files if file.required))
    assert total(required, "dist") == "dist: 2 of 3 files passed on coreml (a Mac)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0000012, "0.0012 ms"), (0.0345678, "34.6 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (12.345, "12.3 s")],
)
def test_durations_have_three_digits_that_mean_something(seconds, shown):
    assert duration(seconds) == shown
