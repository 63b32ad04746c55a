"""What is asked on which compute unit, and what follows from the answers; Core ML's own part is exchanged."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converter.errors import EvaluationError, TimeLimitError
from converter.model import CheckedFile, Interface, Output, Placement, Reference, Sample, TensorInput, Times
from converter.validate import units as module
from converter.validate.apart import Limits, Told
from converter.validate.check import Answers
from converter.validate.engines import Answer, Engine
from converter.validate.gates import Gates
from converter.validate.references import Candidate, References
from converter.validate.units import Asked, UnderCoreML

RIGHT = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
TIMES = Times(load_s=0.5, predict_s=0.001, predictions=10)
PLACEMENTS = (Placement(op_type="add", name="y", preferred="CPU", supported=("CPU",), cost=1.0),)


def answers(*values):
    return Answers(engine="", samples=tuple(Answer(values={"y": value}) for value in values))


def asked(*, required=(), evaluated=RIGHT, name="net"):
    reference = Reference(
        samples=(Sample(name="one", inputs={"x": RIGHT}), Sample(name="two", inputs={"x": -RIGHT})),
        outputs=({"y": RIGHT}, {"y": -RIGHT}),
        labelled=(),
        labelled_scores=None,
        engine="numpy",
        seconds=0.0,
    )
    references = References(
        model=name,
        interface=Interface(
            inputs=(TensorInput(name="x", shape=(2, 3), dtype="float32"),), outputs=(Output(name="y"),)
        ),
        gates=Gates(),
        reference=reference,
        candidates=(),
        compute_units_required=required,
    )
    return Asked(
        checked=CheckedFile(model=name, file=f"{name}/{name}.mlmodel", sha256="", engine="Core ML (a Mac)"),
        saved=Path(f"{name}.mlmodel"),
        stored=Path(f"{name}.references.npz"),
        references=references,
        candidate=Candidate(file=f"{name}.mlmodel", precision="float32", answers=answers(evaluated, -evaluated)),
    )


def hang(words="no answer within 120 s"):
    error = EvaluationError(words)
    error.__cause__ = TimeLimitError(words)
    return error


@pytest.fixture
def core_ml(monkeypatch):
    """Answers rightly but where `ends` has something else for (file, compute units); `calls` is what it was asked."""
    told = Told(answers=answers(RIGHT, -RIGHT), times=TIMES, placements=PLACEMENTS)
    mac = SimpleNamespace(ends={}, calls=[], limits={})

    def ask_apart(saved, stored, engine, limits):
        mac.calls.append((saved.stem, engine.load))
        mac.limits[mac.calls[-1]] = limits
        end = mac.ends.get(mac.calls[-1], told)
        if isinstance(end, Exception):
            raise end
        return end

    monkeypatch.setattr(module, "ask_apart", ask_apart)
    monkeypatch.setattr(module, "engine_called", lambda name, units="": Engine(name="Core ML (a Mac)", load=units))
    return mac


@pytest.mark.parametrize(
    ("chosen", "required", "expected"),
    [
        ((), (), {"CPU_ONLY": True, "CPU_AND_GPU": False, "CPU_AND_NE": False, "ALL": False}),
        (("CPU_ONLY",), (), {"CPU_ONLY": True}),
        (("ALL", "CPU_AND_GPU"), (), {"CPU_ONLY": True, "CPU_AND_GPU": False, "ALL": False}),
        (("CPU_ONLY",), ("CPU_AND_NE",), {"CPU_ONLY": True, "CPU_AND_NE": True}),
        ((), ("ALL", "CPU_ONLY"), {"CPU_ONLY": True, "CPU_AND_GPU": False, "CPU_AND_NE": False, "ALL": True}),
    ],
)
def test_the_cpu_and_what_the_manifest_requires_decide_and_are_always_asked(core_ml, chosen, required, expected):
    files = list(UnderCoreML(chosen, Limits(timeout_s=600))(asked(required=required)))
    assert {file.compute_units: file.required for file in files} == expected
    assert [units for _, units in core_ml.calls] == list(expected)
    for file in files:
        assert file.passed
        assert (file.times, file.placements, file.at_fault) == (TIMES, PLACEMENTS, "")
        assert file.drift[0].psnr_db == np.inf


def test_information_has_a_fifth_of_the_time_and_all_of_the_memory(core_ml):
    list(UnderCoreML((), Limits(timeout_s=600, memory_bytes=7))(asked(required=("ALL",))))
    assert {units: limits.timeout_s for (_, units), limits in core_ml.limits.items()} == {
        "CPU_ONLY": 600,
        "CPU_AND_GPU": 120,
        "CPU_AND_NE": 120,
        "ALL": 600,
    }
    assert {limits.memory_bytes for limits in core_ml.limits.values()} == {7}


def checks(mac, names, **options):
    """Every file's words by name and compute units."""
    under = UnderCoreML(("CPU_ONLY", "CPU_AND_NE"), Limits(timeout_s=600))
    return {(f.model, f.compute_units): f.error for name in names for f in under(asked(name=name, **options))}


def test_after_two_hangs_in_a_row_a_unit_that_is_information_is_asked_no_more(core_ml):
    core_ml.ends = {(name, "CPU_AND_NE"): hang() for name in "abcd"}
    said = checks(core_ml, "abcd")
    assert [said[name, "CPU_AND_NE"] for name in "ab"] == ["no answer within 120 s"] * 2
    skipped = "not asked: CPU_AND_NE hung for 2 files one after the other, and is information only"
    assert [said[name, "CPU_AND_NE"] for name in "cd"] == [skipped] * 2
    assert [said[name, "CPU_ONLY"] for name in "abcd"] == [""] * 4


def test_an_answer_between_two_hangs_makes_the_first_one_the_files_own(core_ml):
    core_ml.ends = {(name, "CPU_AND_NE"): hang() for name in "ac"}
    said = checks(core_ml, "abcd")
    assert [bool(said[name, "CPU_AND_NE"]) for name in "abcd"] == [True, False, True, False]
    assert not any("not asked" in words for words in said.values())


def test_other_ends_than_hangs_are_seen_for_every_file(core_ml):
    core_ml.ends = {(name, "CPU_AND_NE"): EvaluationError("ended by SIGABRT") for name in "abcd"}
    said = checks(core_ml, "abcd")
    assert [said[name, "CPU_AND_NE"] for name in "abcd"] == ["ended by SIGABRT"] * 4


def test_a_unit_that_is_required_is_asked_however_often_it_hangs(core_ml):
    core_ml.ends = {(name, "CPU_AND_NE"): hang() for name in "abcd"}
    said = checks(core_ml, "abcd", required=("CPU_AND_NE",))
    assert [said[name, "CPU_AND_NE"] for name in "abcd"] == ["no answer within 120 s"] * 4


def test_a_file_that_hangs_on_the_cpu_is_not_asked_for_information(core_ml):
    core_ml.ends = {("a", "CPU_ONLY"): hang("no answer within 600 s")}
    said = checks(core_ml, "ab")
    assert said["a", "CPU_ONLY"] == "no answer within 600 s"
    assert said["a", "CPU_AND_NE"] == "not asked: it hung on CPU_ONLY"
    assert said["b", "CPU_ONLY"] == said["b", "CPU_AND_NE"] == ""


def test_after_a_compute_plan_that_hung_no_other_is_asked_for_on_that_unit(core_ml):
    late = Told(answers=answers(RIGHT, -RIGHT), note="its plan is not known", plan_hung=True)
    core_ml.ends = {("a", "CPU_AND_NE"): late}
    said = checks(core_ml, "abc")
    assert set(said.values()) == {""}
    asked_for = {call: limits.plan_s > 0 for call, limits in core_ml.limits.items()}
    assert [asked_for[name, "CPU_AND_NE"] for name in "abc"] == [True, False, False]
    assert [asked_for[name, "CPU_ONLY"] for name in "abc"] == [True] * 3


def test_what_is_not_known_of_a_file_that_answered_is_a_note(core_ml):
    core_ml.ends = {("net", "CPU_ONLY"): Told(answers=answers(RIGHT, -RIGHT), note="its plan is not known")}
    (file,) = UnderCoreML(("CPU_ONLY",), Limits(timeout_s=600))(asked())
    assert file.passed
    assert file.validation.notes[-1] == "its plan is not known"


def test_errors_do_not_repeat_which_file_and_which_engine(core_ml):
    error = EvaluationError("it hangs", where=("validate", "net.mlmodel on Core ML (a Mac)", "sample one"), fix="wait")
    core_ml.ends = {("net", "CPU_ONLY"): error}
    (file,) = UnderCoreML(("CPU_ONLY",), Limits(timeout_s=600))(asked())
    assert file.error == "sample one: it hangs\n  fix: wait"


OFF = np.float32(0.1)


@pytest.mark.parametrize(
    ("evaluated", "given", "fault"),
    [
        (RIGHT, RIGHT, ""),
        (RIGHT, RIGHT + OFF, "the device"),
        (RIGHT, np.full_like(RIGHT, np.nan), "the device"),
        (RIGHT + OFF, RIGHT + OFF, "the conversion"),
        (RIGHT + OFF, RIGHT + OFF * 1.01, "the conversion"),
        (RIGHT + OFF, RIGHT, ""),  # Core ML passes: there is no fault to be put down
        (RIGHT + OFF, RIGHT - 2 * OFF, ""),  # three answers, each far from the others
    ],
)
def test_the_evaluators_answers_tell_whether_the_conversion_or_the_device_is_at_fault(core_ml, evaluated, given, fault):
    core_ml.ends = {("net", "CPU_ONLY"): Told(answers=answers(given, -given))}
    (file,) = UnderCoreML(("CPU_ONLY",), Limits(timeout_s=600))(asked(evaluated=evaluated))
    assert file.at_fault == fault
    rmse = np.sqrt(np.mean(np.square(given.astype(np.float64) - evaluated)))
    with np.errstate(divide="ignore"):
        expected = -np.inf if np.isnan(rmse) else 20 * np.log10(np.abs(evaluated).max() / rmse)
    assert file.drift[0].psnr_db == pytest.approx(expected)


def test_an_answer_that_cannot_be_compared_keeps_its_times(core_ml):
    core_ml.ends = {("net", "CPU_ONLY"): Told(answers=answers(RIGHT[None], RIGHT[None]), times=TIMES)}
    (file,) = UnderCoreML(("CPU_ONLY",), Limits(timeout_s=600))(asked())
    assert "the source answers with shape [2, 3], the Core ML model with [1, 2, 3]" in file.error
    assert (file.validation, file.drift, file.at_fault, file.times) == (None, (), "", TIMES)


def test_an_answer_that_nobody_thought_of_is_a_failure_of_its_unit_alone(core_ml, monkeypatch):
    judge = module.judge
    once = iter([ZeroDivisionError("oh")])

    def judged(*arguments, **settings):
        for error in once:
            raise error
        return judge(*arguments, **settings)

    monkeypatch.setattr(module, "judge", judged)
    first, second = UnderCoreML(("CPU_ONLY", "ALL"), Limits(timeout_s=600))(asked())
    assert first.error == "internal error: ZeroDivisionError: oh"
    assert second.passed


def test_a_classifier_is_held_against_the_evaluators_probabilities(core_ml, source, stand_in):
    """The evaluator reaches the scores before a softmax, Core ML does not: both are compared after it."""
    from converter.validate.check import answers as ask_all
    from converter.validate.reference import reference
    from converter.validate.samples import samples

    made = reference(source, samples(source.interface, seeds=6), ())
    evaluated, given = (
        ask_all(Path("small"), made, source.interface, stand_in(reaches=reaches)) for reaches in (True, False)
    )
    assert evaluated.samples[0].scores is not None
    one = asked()
    one = replace(
        one,
        references=replace(one.references, interface=source.interface, reference=made),
        candidate=replace(one.candidate, answers=evaluated),
    )
    core_ml.ends = {("net", "CPU_ONLY"): Told(answers=given)}
    (file,) = UnderCoreML(("CPU_ONLY",), Limits(timeout_s=600))(one)
    assert file.passed
    (found,) = file.drift
    assert (found.output, found.on, found.psnr_db) == ("classLabelProbs", "probabilities", np.inf)
    assert found.top1_agreement == 1


def test_limits_without_words_are_four_fifths_of_the_machines_memory(monkeypatch):
    from converter.validate.apart import limits_for

    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 16384, "SC_PHYS_PAGES": 1 << 20}.get)
    assert limits_for(timeout_s=5, memory_limit_gb=None).memory_bytes == 16384 * (1 << 20) * 4 // 5
    assert limits_for(timeout_s=5, memory_limit_gb=1.5).memory_bytes == 1_500_000_000
