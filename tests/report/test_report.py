import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from converter.model import Accuracy, BuildRecord, Gate
from converter.package.record import read_record, to_json
from converter.report import render_card, render_report

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """Equal to the committed file; UPDATE_GOLDEN=1 writes it anew, to be read before it is committed."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_report_is_the_golden_one(run):
    assert_golden("report.md", render_report(run))


def test_a_classifiers_card_is_the_golden_one(classifier):
    assert_golden("birds.md", render_card(classifier))


def test_a_tensor_models_card_is_the_golden_one(rescued):
    assert_golden("tokens.md", render_card(rescued))


def test_a_card_does_not_depend_on_times_or_the_commit(classifier):
    later = replace(
        classifier,
        seconds={"load": 99.0},
        commit="def",
        attempts=tuple(
            replace(a, conversion=replace(a.conversion, seconds=77.0), validation=replace(a.validation, seconds=66.0))
            for a in classifier.attempts
        ),
    )
    assert render_card(later) == render_card(classifier)


def test_a_failing_gate_says_by_how_much(run):
    assert (
        "FAILED: psnr\\_db of classLabelProbs is 62.5 dB, at least 90 dB is asked for: 27.5 dB too low"
        in render_report(run)
    )


def test_a_record_read_back_from_the_folder_gives_the_same_report(run, tmp_path):
    (tmp_path / "build.json").write_text(to_json(run), encoding="utf-8")
    assert render_report(read_record(tmp_path)) == render_report(run)


def test_an_empty_run_has_a_report():
    assert "0 of 0 models passed" in render_report(BuildRecord(manifest="m.yml", commit="", models=(), seconds=0.0))


def test_tables_keep_their_columns(run, classifier):
    """Every line of a table has as many cells as its head, whatever the user's text holds."""
    nasty = replace(classifier, metadata=replace(classifier.metadata, additional={"a|b": "c|`d`\n| e"}))
    for text in (render_report(run), render_card(nasty)):
        head = 0
        for line in text.splitlines():
            cells = line.replace("\\|", "").count("|")
            if not line.startswith("|"):
                head = 0
            elif not head:
                head = cells
            assert not head or cells == head, line


@pytest.mark.parametrize("value", [-math.inf, math.inf, math.nan])
def test_values_that_are_no_numbers_are_readable(classifier, value):
    first = classifier.attempts[0]
    (metrics,) = first.validation.metrics
    spoiled = replace(first, validation=replace(first.validation, metrics=(replace(metrics, psnr_db=value),)))
    text = render_report(
        BuildRecord(manifest="m", commit="", models=(replace(classifier, attempts=(spoiled,)),), seconds=1)
    )
    assert ("exact" if value == math.inf else "none") in text
    assert "nan" not in text


def with_accuracies(record, **more):
    """The record with a labelled set's figures on each attempt that was checked."""
    iou = Accuracy(
        metric="mean_iou", samples=20, value=0.897, interval=(0.87, 0.91), reference=0.9,
        reference_interval=(0.88, 0.92), p_value=0.3,
        words="mean IoU is 89.7 % (95 % CI 87.0 to 91.0) on 20 samples, the source's is 90.0 %",
    )  # fmt: skip
    attempts = [
        replace(a, validation=replace(a.validation, accuracies=(iou,), **more)) if a.validation else a
        for a in record.attempts
    ]
    return replace(record, attempts=tuple(attempts))


def test_the_figures_of_a_labelled_set_are_in_report_and_card(classifier, run):
    record = with_accuracies(classifier, accuracy=None)
    told = "mean IoU is 89.7 % (95 % CI 87.0 to 91.0) on 20 samples, the source's is 90.0 %"
    report, card = render_report(replace(run, models=(record,))), render_card(record)
    assert f"- On the labelled set, {told}." in report
    assert "| mean IoU 89.70 % |" in report
    assert report.count(told) == sum(a.validation is not None for a in record.attempts)
    for attempt in record.attempts:
        assert f"On the labelled set, `{attempt.conversion.path.name}" in card
    assert f"\n\n- {told}\n" in card


@pytest.mark.parametrize(
    ("name", "measured", "shown"),
    [
        ("min_top5", 0.25, "25.00 %"),
        ("max_map_drop", -0.0028, "−0.28 %"),
        ("max_mean_iou_drop", 0.0, "0 %"),
        ("baseline psnr_db", 96.3, "96.3 dB"),
        ("baseline map50", 0.5, "50.00 %"),
        ("max_abs_error", 0.25, "0.25"),
        ("activation_error", 1e-6, "1e-06"),
    ],
)
def test_a_gates_number_is_shown_in_its_unit(classifier, run, name, measured, shown):
    gate = Gate(name=name, limit=measured, measured=measured, passed=True, words="")
    report = render_report(replace(run, models=(with_accuracies(classifier, gates=(gate,)),)))
    assert f"| `{name}` | {shown} | {shown} | holds |" in report
