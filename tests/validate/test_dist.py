import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converter.errors import ManifestError, OutputError, SourceError, ValidationError
from converter.manifest.schema import ValidationOptions
from converter.model import (
    Attachments,
    Attempt,
    BuildRecord,
    Conversion,
    Metadata,
    ModelRecord,
    Target,
    Validation,
    ValidationRecord,
)
from converter.package.checksums import artifact
from converter.package.record import read_record, to_json
from converter.plain import from_plain
from converter.report.checked import words
from converter.validate import dist as dist_module
from converter.validate import reference_of, store, validate
from converter.validate.apart import Limits
from converter.validate.dist import validate_dist, validation_record, write_validation
from converter.validate.references import read_references, write_references

LIMITS = Limits(timeout_s=60)
PASSED = Validation(engine="", metrics=(), gates=(), accuracy=None, reference_accuracy=None, seconds=0.0)


def conversion(path: Path, precision="float32") -> Conversion:
    target = Target(format=path.suffix[1:], deployment_target="iOS16", compute_precision=precision)
    return Conversion(route="direct", target=target, path=path, seconds=1.0, versions={})


def record(name: str, artifacts=(), error="") -> ModelRecord:
    return ModelRecord(
        name=name,
        place="",
        source="",
        source_files=(),
        attempts=(),
        artifacts=artifacts,
        interface=None,
        metadata=Metadata(),
        notes=(),
        error=error,
        exit_code=0,
        seconds={},
    )


@pytest.fixture
def finished(source, stand_in, tmp_path: Path, monkeypatch):
    """A dist folder with one model in two files, as the pipeline leaves it, checked by a stand-in."""
    monkeypatch.setattr("converter.validate.engine", lambda name: stand_in())
    monkeypatch.setattr(dist_module, "engine_called", lambda name: stand_in())
    monkeypatch.setattr("converter.validate._check", lambda path: None)  # it is no model that would be checked
    held = tmp_path / "held.npz"
    np.savez(held, image=np.zeros((3, 32, 32, 3), np.uint8), labels=[0, 1, 2])
    options = ValidationOptions(
        seeds=6, labelled={"path": "held.npz", "max_accuracy_drop": 0.0}, compute_units_required=["ALL"]
    )
    folder = tmp_path / "dist" / "small"
    folder.mkdir(parents=True)
    reference = reference_of(source, Attachments(labelled=held), seeds=options.seeds)
    attempts = []
    for path, precision in ((folder / "small.mlmodel", "float32"), (folder / "small.mlpackage", "float16")):
        made = conversion(path, precision)
        validation = validate(source, reference, made, options)
        attempts.append(Attempt(route="direct", format=path.suffix[1:], conversion=made, validation=validation))
    (folder / "small.mlmodel").write_bytes(b"a network")
    (folder / "small.mlpackage").mkdir()
    (folder / "small.mlpackage" / "Manifest.json").write_text("{}")
    shutil.make_archive(str(folder / "small.mlpackage"), "zip", folder, "small.mlpackage")
    shutil.rmtree(folder / "small.mlpackage")
    artifacts = store(reference, source, attempts, folder)
    entries = [
        *artifacts,
        *(artifact(folder / name, folder.parent) for name in ("small.mlmodel", "small.mlpackage.zip")),
    ]
    models = (record("small", artifacts=tuple(entries)), record("other", error="it failed"))
    (tmp_path / "dist" / "build.json").write_text(
        to_json(BuildRecord(manifest="models.yml", commit="", models=models, seconds=1.0))
    )
    return SimpleNamespace(dist=tmp_path / "dist", folder=folder, attempts=attempts, artifacts=artifacts)


def checked(finished):
    return validate_dist(finished.dist, "reference", limits=LIMITS)


def test_every_attempts_answers_are_stored_and_nothing_else_is_left(finished):
    (artifact,) = finished.artifacts
    assert (artifact.path, artifact.published) == ("small/small.references.npz", False)
    stored = read_references(finished.folder / "small.references.npz")
    assert [candidate.file for candidate in stored.candidates] == ["small.mlmodel", "small.mlpackage"]
    assert stored.compute_units_required == ("ALL",)
    assert all(len(candidate.answers.samples) == 9 for candidate in stored.candidates)
    assert sorted(path.name for path in finished.folder.iterdir()) == [
        "small.mlmodel",
        "small.mlpackage.zip",
        "small.references.npz",
    ]


def test_some_of_the_labelled_set_are_compared_value_by_value(finished):
    stored = read_references(finished.folder / "small.references.npz").reference
    assert [s.name for s in stored.samples] == [f"seed {i}" for i in range(6)] + [f"held.npz[{i}]" for i in range(3)]
    assert len(stored.labelled) == 3


def test_validations_hold_the_manifests_gates(finished):
    assert all(attempt.passed for attempt in finished.attempts)
    for attempt, limit_db in zip(finished.attempts, (90, 35), strict=True):
        gates = {gate.name: gate.limit for gate in attempt.validation.gates}
        assert gates["psnr_db"] == limit_db
        assert gates["max_accuracy_drop"] == 0.0


def test_a_finished_folder_is_checked_again(finished):
    results = list(checked(finished))
    assert [result.file for result in results] == ["small/small.mlmodel", "small/small.mlpackage.zip"]
    assert all(result.passed for result in results)
    verdict, first, five = words(results[0]).splitlines()
    assert verdict == "small.mlmodel: passed 4 gates on stand-in"
    assert first.startswith("  labelled set: top-1 accuracy is 33.3 % (95 % CI 6.1 to 79.2) on 3 samples")
    assert "top-5 accuracy" in five


def test_a_part_without_models_has_nothing_to_check_but_one_whose_models_failed_does(finished):
    record_ = read_record(finished.dist)
    part = replace(record_, models=(), shard="3/4")
    (finished.dist / "build.json").write_text(to_json(part))
    assert list(checked(finished)) == []
    for faulty in (replace(part, shard=""), replace(part, models=record_.models[1:])):
        (finished.dist / "build.json").write_text(to_json(faulty))
        with pytest.raises(ValidationError, match="nothing to check"):
            checked(finished)


def test_a_worse_answer_fails_with_its_numbers(finished, stand_in, monkeypatch):
    monkeypatch.setattr(dist_module, "engine_called", lambda name: stand_in(spoil=lambda scores: -scores))
    for result in checked(finished):
        assert not result.passed
        assert "FAILED on stand-in: psnr_db of classLabelProbs" in words(result)
        assert "dB too low" in words(result)


@pytest.mark.parametrize(
    ("name", "said", "count"),
    [
        ("small.mlmodel", "small.mlmodel is not the file that was built", 1),
        ("small.mlpackage.zip", "small.mlpackage.zip is not the file that was built", 1),
        ("small.references.npz", "small.references.npz is not the file that was built", 1),
    ],
)
def test_a_file_that_is_not_the_one_built_fails(finished, name, said, count):
    with (finished.folder / name).open("ab") as file:
        file.write(b"more")
    failed = [result for result in checked(finished) if not result.passed]
    assert len(failed) == count
    assert said in words(failed[0])


def test_a_missing_file_fails_and_the_others_are_checked(finished):
    (finished.folder / "small.mlmodel").unlink()
    first, second = checked(finished)
    assert "small/small.mlmodel is missing" in words(first)
    assert second.passed


@pytest.mark.parametrize("content", [None, "", "[]", '{"models": [{}]}'])
def test_a_folder_without_a_record_is_refused(tmp_path: Path, content):
    if content is not None:
        (tmp_path / "build.json").write_text(content)
    with pytest.raises(OutputError, match=r"holds no build\.json|build\.json cannot be read"):
        validate_dist(tmp_path, "reference", limits=LIMITS)


def rewritten(finished, **changes):
    """The folder's record with other fields in its first model."""
    read = read_record(finished.dist)
    models = (replace(read.models[0], **changes), *read.models[1:])
    (finished.dist / "build.json").write_text(to_json(replace(read, models=models)))


def test_a_folder_without_a_complete_model_is_an_error_not_a_pass(finished):
    rewritten(finished, error="it failed, too")
    with pytest.raises(ValidationError, match=r"no model in .* is complete"):
        checked(finished)


def test_a_model_file_without_a_reference_fails(finished):
    attempt = Attempt(
        route="onnx", format="mlmodel", conversion=conversion(finished.folder / "small-onnx.mlmodel"), validation=PASSED
    )
    rewritten(finished, attempts=(*finished.attempts, attempt))
    assert [result.passed for result in checked(finished)] == [True, True, False]
    assert "small.references.npz does not tell what small/small-onnx.mlmodel" in list(checked(finished))[-1].error


def test_references_that_tell_of_no_file_fail(finished):
    path = finished.folder / "small.references.npz"
    write_references(path, replace(read_references(path), candidates=()))
    rewritten(finished, artifacts=(artifact(path, finished.dist, published=False),))
    (result,) = checked(finished)
    assert "tells of no file, so nothing was checked" in result.error


def test_a_file_beside_the_models_that_is_missing_or_changed_fails(finished):
    labels = finished.folder / "small.labels.txt"
    labels.write_text("class 0\n")
    rewritten(finished, artifacts=(*read_record(finished.dist).models[0].artifacts, artifact(labels, finished.dist)))
    assert [result.passed for result in checked(finished)] == [True, True]
    labels.write_text("class 1\n")
    assert "small.labels.txt is not the file that was built" in list(checked(finished))[-1].error
    labels.unlink()
    assert "small.labels.txt is missing" in list(checked(finished))[-1].error


def test_an_answer_that_nobody_thought_of_is_a_failure_of_its_file_alone(finished, monkeypatch):
    once = iter([ZeroDivisionError("oh")])
    judge = dist_module.judge

    def judged(*arguments, **settings):
        for error in once:
            raise error
        return judge(*arguments, **settings)

    monkeypatch.setattr(dist_module, "judge", judged)
    first, second = checked(finished)
    assert first.error == "internal error: ZeroDivisionError: oh"
    assert second.passed


def test_the_record_comes_back_from_its_file(finished, tmp_path: Path):
    record = validation_record(finished.dist, "reference", tuple(checked(finished)), 1.5)
    write_validation(tmp_path / "validation.json", record)
    assert from_plain(ValidationRecord, json.loads((tmp_path / "validation.json").read_text())) == record
    assert record.passed
    assert set(record.versions) == {"python", "coremltools", "numpy", "pillow"}
    assert [file.sha256 for file in record.files] == [
        entry.sha256 for entry in read_record(finished.dist).models[0].artifacts[1:]
    ]
    assert not replace(record, files=()).passed
    with pytest.raises(OutputError, match="cannot be written"):
        write_validation(tmp_path / "nowhere" / "validation.json", record)


def test_core_ml_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ManifestError, match="needs macOS"):
        validate_dist(tmp_path, "coreml", limits=LIMITS)


def test_compute_units_are_refused_where_the_engine_knows_none(tmp_path: Path):
    with pytest.raises(ManifestError, match="the engine reference knows no compute units"):
        validate_dist(tmp_path, "reference", compute_units=("ALL",), limits=LIMITS)


def test_samples_that_do_not_fit_name_the_model(source, tmp_path: Path):
    np.savez(tmp_path / "bad.npz", pixels=np.zeros(3))
    with pytest.raises(SourceError, match=r"models\.yml:1:1 small > validate > .*bad\.npz"):
        reference_of(source, Attachments(samples=(tmp_path / "bad.npz",)), seeds=4)
