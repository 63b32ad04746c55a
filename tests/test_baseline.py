import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter.baseline import (
    AllowedDrop,
    Baseline,
    figures,
    figures_of_files,
    held,
    held_files,
    held_record,
    read_baseline,
    updated,
    worse,
    write_baseline,
)
from converter.errors import ManifestError, OutputError
from converter.model import (
    Attempt,
    CheckedFile,
    Conversion,
    Gate,
    Metadata,
    ModelRecord,
    OutputMetrics,
    Target,
    Validation,
)
from converter.validate.accuracy import share

GATE = Gate(name="psnr_db", limit=35, measured=60, passed=True, words="")
FILE = "net/net.mlmodel"


def checked(psnr_db=97.303, top1=1.0, right=352, **more) -> Validation:
    metrics = OutputMetrics(
        output="scores", on="values", psnr_db=psnr_db, max_abs_error=0.1, cosine=1.0, top1_agreement=top1
    )
    answers = np.arange(360)
    accuracies = (share("top1", answers < right, answers < 352),) if right else ()
    said = {"engine": "", "accuracy": None, "reference_accuracy": None, "seconds": 1.0, "gates": (GATE,), **more}
    return Validation(metrics=(metrics,), accuracies=accuracies, **said)


def known(**engines) -> Baseline:
    return Baseline(name="baseline.json", files={FILE: engines or {"reference": figures(checked())}})


def test_a_baseline_keeps_what_was_measured():
    assert figures(checked()) == {
        "psnr_db of scores": 97.3,
        "top1 of scores": 1.0,
        "top1 on the labelled set": 0.977778,
    }


@pytest.mark.parametrize(
    ("now", "failed"),
    [
        (checked(), []),
        (checked(psnr_db=150.0, right=360), []),
        (checked(psnr_db=96.31), []),
        (checked(psnr_db=96.29), ["baseline psnr_db"]),
        (checked(psnr_db=-math.inf), ["baseline psnr_db"]),
        (checked(psnr_db=math.nan), ["baseline psnr_db"]),
        (checked(top1=0.996), []),
        (checked(top1=0.99), ["baseline top1"]),
        (checked(right=351), []),  # 0.28 points of 0.5
        (checked(right=350), ["baseline top1"]),
    ],
)
def test_a_figure_may_fall_by_what_the_file_allows(now, failed):
    after, notes = held(now, known(), "reference", FILE)
    assert [gate.name for gate in after.gates if not gate.passed] == failed
    assert [gate.name for gate in after.gates] == ["psnr_db", "baseline psnr_db", "baseline top1", "baseline top1"]
    assert notes == []


def test_the_user_may_allow_more_or_nothing():
    allowing = replace(known(), allowed_drop=AllowedDrop(psnr_db=10, share=0.01))
    assert held(checked(psnr_db=88, right=349), allowing, "reference", FILE)[0].passed
    strict = replace(known(), allowed_drop=AllowedDrop(psnr_db=0, share=0))
    assert held(checked(), strict, "reference", FILE)[0].passed
    assert not held(checked(right=351), strict, "reference", FILE)[0].passed


def test_a_figure_that_became_worse_says_then_and_now():
    after, _ = held(checked(psnr_db=91.0, right=340), known(), "reference", FILE)
    assert [gate.words for gate in after.gates if not gate.passed] == [
        "psnr_db of scores was 97.30 dB in baseline.json and is 91.00 dB now, 1.00 dB less is allowed; "
        "--update-baseline accepts it",
        "top1 on the labelled set was 97.78 % in baseline.json and is 94.44 % now, 0.50 % less is allowed; "
        "--update-baseline accepts it",
    ]


@pytest.mark.parametrize(
    ("was", "now", "passed"), [(math.inf, 119.5, True), (140, 119.5, True), (math.inf, 118, False)]
)
def test_what_was_exact_need_not_stay_so_beyond_float32s_own_rounding(was, now, passed):
    before = known(reference=figures(checked(psnr_db=was)))
    assert held(checked(psnr_db=now), before, "reference", FILE)[0].passed == passed


def test_figures_of_another_engine_do_not_count():
    before = known(coreml=figures(checked(psnr_db=120)))
    after, notes = held(checked(psnr_db=40), before, "reference", FILE)
    assert after.gates == (GATE,)
    assert notes == [
        "Baseline: net/net.mlmodel has no figures in baseline.json on the reference evaluator yet; --update-baseline "
        "adds what was measured"
    ]


def test_figures_that_are_missing_on_one_side_are_said():
    before = known(reference={"psnr_db of scores": 97.3, "map on the labelled set": 0.4, "top1 of scores": 1.0})
    after, notes = held(checked(), before, "reference", FILE)
    assert after.passed
    assert [note.partition(" in baseline")[0] for note in notes] == [
        "Baseline: net/net.mlmodel has no top1 on the labelled set",
        "Baseline: net/net.mlmodel has map on the labelled set",
    ]


def test_a_file_is_written_as_it_is_read_and_only_what_was_measured_changes(tmp_path: Path):
    path = tmp_path / "baseline.json"
    measured = {"b/b.mlmodel": figures(checked(psnr_db=math.inf)), FILE: figures(checked())}
    allowing = replace(read_baseline(path, may_be_new=True), allowed_drop=AllowedDrop(psnr_db=3))
    write_baseline(path, updated(allowing, "reference", measured))
    first = path.read_bytes()
    write_baseline(path, updated(read_baseline(path), "reference", dict(reversed(measured.items()))))
    assert path.read_bytes() == first
    write_baseline(path, updated(read_baseline(path), "coreml", {FILE: figures(checked(psnr_db=50))}))
    lines = [line for line in path.read_text().splitlines() if line not in first.decode().splitlines()]
    assert [line.strip() for line in lines] == ['"coreml": {', '"psnr_db of scores": 50.0,', "},"]
    found = read_baseline(path)
    assert found.allowed_drop.psnr_db == 3
    assert found.files[FILE]["reference"] == figures(checked())
    assert found.files["b/b.mlmodel"]["reference"]["psnr_db of scores"] == math.inf


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no baseline"),
        ("{", "is no baseline: Expecting property name"),
        ("[]", "is no baseline"),
        ('{"schema": 2}', "schema 2, this release reads 1"),
        ('{"schema": 1, "files": {"a": 3}}', "is no baseline"),
        ('{"schema": 1, "allowed": {}}', r"is no baseline: Baseline with \['allowed'\]"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text, words):
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ManifestError, match=words):
        read_baseline(path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(OutputError, match=r"no/baseline\.json cannot be written: No such file or directory"):
        write_baseline(tmp_path / "no" / "baseline.json", Baseline())


def file(validation, **more) -> CheckedFile:
    said = {"model": "net", "file": f"{FILE}.zip", "sha256": "", "engine": "Core ML (macOS 15.1)", **more}
    return CheckedFile(validation=validation, **said)


def test_files_of_a_folder_are_held_to_it_where_they_have_to_pass():
    files = [file(checked(psnr_db=50)), file(checked(psnr_db=50), required=False), file(None, error="aborted")]
    before = known(coreml={"psnr_db of scores": 97.3})
    after = list(held_files(files, before, "coreml"))
    assert [one.passed for one in after] == [False, True, False]
    assert "top1 of scores" in after[0].validation.notes[0]
    assert after[1:] == files[1:]
    assert list(held_files(files, None, "coreml")) == files


def test_only_what_passed_and_had_to_becomes_a_baseline():
    missed = replace(GATE, passed=False)
    files = [
        file(checked(), file="a/a.mlpackage.zip"),
        file(checked(), file="b/b.mlmodel", required=False),
        file(checked(gates=(missed,)), file="c/c.mlmodel"),
        file(None, file="d/d.mlmodel", error="aborted"),
    ]
    assert list(figures_of_files(files)) == ["a/a.mlpackage"]


def record(*validations, notes=()) -> ModelRecord:
    target = Target(format="mlmodel", deployment_target="iOS13", compute_precision="float32")
    made = Conversion(route="direct", target=target, path=Path("net.mlmodel"), seconds=1, versions={})
    attempts = [Attempt(route="direct", format="mlmodel", conversion=made, validation=v) for v in validations]
    return ModelRecord(
        name="net", place="", source="", source_files=(), attempts=tuple(attempts), artifacts=(), interface=None,
        metadata=Metadata(), notes=notes, error="", exit_code=0, seconds={},
    )  # fmt: skip


def test_a_model_of_an_earlier_run_has_the_gates_of_the_baseline_as_it_is_now():
    earlier = held_record(record(checked(), notes=("of the source",)), known(reference={"psnr_db of scores": 90.0}))
    assert [note.partition(":")[0] for note in earlier.notes] == ["of the source", "Baseline"]
    now = held_record(earlier, known())
    assert now.notes == ("of the source",)
    assert [gate.limit for gate in now.attempts[0].validation.gates if gate.name == "baseline psnr_db"] == [96.3]
    assert held_record(earlier, None) == record(checked(), notes=("of the source",))


def test_a_model_of_an_earlier_run_is_worse_where_one_of_its_files_that_passed_is():
    strict = known(reference={"psnr_db of scores": 120.0})
    left = checked(gates=(replace(GATE, passed=False),))  # a route that failed, and another one was taken
    assert worse(record(checked()), strict)
    assert not worse(record(checked()), known())
    assert not worse(record(left, checked()), known())
    assert not worse(record(left), strict)
    assert not worse(record(checked()), None)


def test_the_file_reads_well(tmp_path: Path):
    write_baseline(tmp_path / "baseline.json", updated(Baseline(name="x"), "reference", {FILE: figures(checked())}))
    assert json.loads((tmp_path / "baseline.json").read_text()) == {
        "schema": 1,
        "allowed_drop": {"psnr_db": 1.0, "share": 0.005},
        "files": {
            "net/net.mlmodel": {
                "reference": {"psnr_db of scores": 97.3, "top1 of scores": 1.0, "top1 on the labelled set": 0.977778}
            }
        },
    }


def test_compute_units_that_are_required_have_figures_of_their_own():
    files = [file(checked()), file(checked(psnr_db=91.0), compute_units="ALL")]
    assert {name: found["psnr_db of scores"] for name, found in figures_of_files(files).items()} == {
        FILE: 97.3,
        f"{FILE} on ALL": 91.0,
    }
