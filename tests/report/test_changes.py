from dataclasses import replace

import pytest

from converter.model import BuildRecord
from converter.report import render_report
from converter.report.changes import changes


def said(record, previous):
    return {
        (change.file, change.what): (change.before, change.after, change.difference, change.verdict)
        for some in changes(record, previous).by_model.values()
        for change in some
    }


def test_what_changed_between_two_releases(whole, before):
    package = "mobilenet_v2.mlpackage.zip"
    assert said(whole, before) == {
        (package, "size"): ("7.6 MB", "7.1 MB", "−6.1 %", "better"),
        (package, "accuracy"): ("97.00 %", "98.06 %", "+1.06 points", "better"),
        (package, "PSNR"): ("49.5 dB", "58.0 dB", "+8.5 dB", "better"),
        (package, "operations"): ("139", "103", "clip −35, conv −1", ""),
        (package, "prediction, CPU"): ("6.1 ms", "4.31 ms", "−29.3 %", "better"),
    }
    found = changes(whole, before)
    assert (found.since, found.removed) == ("0a1b2c3", ("mobilenet_v1",))
    assert found.added == ("a_network_with_a_rather_long_name_such_as_teams_give_them_v2", "tokens")


def test_the_other_way_round_it_is_worse(whole, before):
    verdicts = {key[1]: verdict for key, (*_, verdict) in said(before, whole).items()}
    assert verdicts.pop("operations") == ""
    assert set(verdicts.values()) == {"worse"}
    assert len(verdicts) == 4


def test_the_same_release_has_no_changes(whole):
    assert not changes(whole, whole).some
    assert "None: the same models" in render_report(whole, whole)


@pytest.mark.parametrize(("passed_now", "words"), [(True, ("failed", "passed")), (False, ("passed", "failed"))])
def test_a_model_that_fails_or_passes_anew_is_a_change(whole, mobilenet, passed_now, words):
    failed = replace(mobilenet, error="no such file", attempts=(), artifacts=())
    old, new = (failed, mobilenet) if passed_now else (mobilenet, failed)
    found = said(replace(whole, models=(new,)), replace(whole, models=(old,)))
    assert found["mobilenet_v2", "result"][:2] == words


def test_files_that_come_and_go_are_changes(whole, mobilenet):
    one = replace(mobilenet, attempts=mobilenet.attempts[:1], artifacts=mobilenet.artifacts[:1])
    more, fewer = replace(whole, models=(mobilenet,)), replace(whole, models=(one,))
    assert said(more, fewer)["mobilenet_v2.mlpackage.zip", "file"][:2] == ("none", "new")
    assert said(fewer, more)["mobilenet_v2.mlpackage.zip", "file"][:2] == ("there", "gone")


def test_times_of_different_machines_are_not_compared(whole, before):
    (check,) = before.checks
    elsewhere = replace(before, checks=(replace(check, machine="macOS 26.1, Apple M4"),))
    assert not [what for _, what in said(whole, elsewhere) if what.startswith("prediction")]


def test_a_first_release_has_everything_added(whole):
    nothing = BuildRecord(manifest="models.yml", commit="", models=(), seconds=0)
    assert changes(whole, nothing).added == tuple(model.name for model in whole.models)
