import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converter.errors import ManifestError, OutputError, SourceError
from converter.manifest.schema import ValidationOptions
from converter.model import Attachments, Attempt, BuildRecord, Conversion, Metadata, ModelRecord, Target
from converter.package.checksums import artifact
from converter.package.record import to_json
from converter.validate import dist as dist_module
from converter.validate import reference_of, store, validate
from converter.validate.dist import validate_dist
from converter.validate.references import read_references


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
    held = tmp_path / "held.npz"
    np.savez(held, image=np.zeros((3, 32, 32, 3), np.uint8), labels=[0, 1, 2])
    options = ValidationOptions(seeds=6, labelled={"path": "held.npz", "max_accuracy_drop": 0.0})
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


def test_every_attempts_answers_are_stored_and_nothing_else_is_left(finished):
    (artifact,) = finished.artifacts
    assert (artifact.path, artifact.published) == ("small/small.references.npz", False)
    stored = read_references(finished.folder / "small.references.npz")
    assert [candidate.file for candidate in stored.candidates] == ["small.mlmodel", "small.mlpackage"]
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
    results = list(validate_dist(finished.dist, "reference"))
    assert [result.file for result in results] == ["small.mlmodel", "small.mlpackage"]
    assert all(result.passed for result in results)
    assert results[0].words == "small.mlmodel: passed 4 gates on stand-in"


def test_a_worse_answer_fails_with_its_numbers(finished, stand_in, monkeypatch):
    monkeypatch.setattr(dist_module, "engine_called", lambda name: stand_in(spoil=lambda scores: -scores))
    for result in validate_dist(finished.dist, "reference"):
        assert not result.passed
        assert "FAILED on stand-in: psnr_db of classLabelProbs" in result.words
        assert "dB too low" in result.words


@pytest.mark.parametrize(
    ("name", "words", "count"),
    [
        ("small.mlmodel", "small.mlmodel is not the file that was built", 1),
        ("small.mlpackage.zip", "small.mlpackage.zip is not the file that was built", 1),
        ("small.references.npz", "small.references.npz is not the file that was built", 1),
    ],
)
def test_a_file_that_is_not_the_one_built_fails(finished, name, words, count):
    with (finished.folder / name).open("ab") as file:
        file.write(b"more")
    failed = [result for result in validate_dist(finished.dist, "reference") if not result.passed]
    assert len(failed) == count
    assert words in failed[0].words


def test_a_missing_file_fails_and_the_others_are_checked(finished):
    (finished.folder / "small.mlmodel").unlink()
    first, second = validate_dist(finished.dist, "reference")
    assert "small/small.mlmodel is missing" in first.words
    assert second.passed


@pytest.mark.parametrize("content", [None, "", "[]", '{"models": [{}]}'])
def test_a_folder_without_a_record_is_refused(tmp_path: Path, content):
    if content is not None:
        (tmp_path / "build.json").write_text(content)
    with pytest.raises(OutputError, match=r"holds no build\.json|build\.json cannot be read"):
        validate_dist(tmp_path, "reference")


def test_core_ml_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ManifestError, match="needs macOS"):
        validate_dist(tmp_path, "coreml")


def test_samples_that_do_not_fit_name_the_model(source, tmp_path: Path):
    np.savez(tmp_path / "bad.npz", pixels=np.zeros(3))
    with pytest.raises(SourceError, match=r"models\.yml:1:1 small > validate > .*bad\.npz"):
        reference_of(source, Attachments(samples=(tmp_path / "bad.npz",)), seeds=4)
