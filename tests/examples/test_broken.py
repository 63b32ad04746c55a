"""Six models, each wrong in its own way, through the pipeline: each cause has its name, and right ones have none."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from converter.debug import debug, lines
from converter.errors import shared_exit_code
from converter.manifest.read import read_manifest
from converter.pipeline import build

CAUSES = {
    "float16_overflow": "float16 overflow",
    "averaged_std": "averaged std",
    "sorted_labels": "sorted labels",
    "bgr": "BGR",
    "double_softmax": "double softmax",
    "wrong_crop": "wrong crop",
}


@pytest.fixture(scope="module")
def folder(examples):
    return examples / "broken"


def built(manifest, tmp):
    """Every model's record, by name."""
    records = {}
    for model in read_manifest(manifest).models:
        place = tmp / model.name
        place.mkdir()
        records[model.name] = build(model, place, tmp / "cache", lambda said: None)
    return records


@pytest.fixture(scope="module")
def records(folder, tmp_path_factory):
    return built(folder / "models.yml", tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize("name", CAUSES)
def test_each_broken_model_is_told_its_own_cause_and_no_other(records, name):
    found = [[cause.name for cause in attempt.validation.causes] for attempt in records[name].attempts]
    assert found
    assert all(names == [CAUSES[name]] for names in found)


@pytest.mark.parametrize("name", CAUSES)
def test_the_error_text_says_the_cause_and_what_to_do(records, name):
    (cause, *_) = records[name].attempts[0].validation.causes
    assert f"cause: {CAUSES[name]}: {cause.words}\n  fix: {cause.fix}" in records[name].error
    assert cause.explained > cause.measured


def test_the_run_fails_as_models_that_do_not_answer_as_their_source(records):
    assert shared_exit_code(record.exit_code for record in records.values()) == 5


def test_the_readme_shows_what_is_said_of_each(records, folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    for name, cause in CAUSES.items():
        assert f"cause: {cause}: " in text
        said = records[name].attempts[0].validation.causes[0].words
        assert said.split(":")[0] in text


@pytest.mark.parametrize("name", CAUSES)
def test_debug_names_the_cause_and_reports_no_bug_of_the_conversion(folder, tmp_path, name):
    for found in debug(read_manifest(folder / "models.yml"), name, cache=tmp_path, say=lambda said: None):
        assert [cause.name for cause in found.causes] == [CAUSES[name]]
        told = "\n".join(lines(found))
        assert f"cause: {CAUSES[name]}: {found.causes[0].words}" in told
        assert "report" not in told


def test_an_overflow_is_named_with_the_operation_where_it_begins(records):
    (cause,) = records["float16_overflow"].attempts[0].validation.causes
    assert 'reduce_sum "' in cause.words
    assert "float32_ops: [reduce_sum, ...]" in cause.fix


def test_the_crop_that_is_proposed_is_about_the_one_of_the_training(records):
    (cause,) = {a.validation.causes for a in records["wrong_crop"].attempts}.pop()
    proposed = int(cause.fix.partition("resize: ")[2].partition("`")[0])
    assert abs(proposed - 36) <= 3
    assert cause.unit == ""


@pytest.fixture(scope="module")
def right_file(folder, tmp_path_factory):
    """The conversion script without a mistake."""
    sys.path.insert(0, str(folder))
    try:
        import make
        from safetensors.torch import load_file

        network = make.build(softmax=True)
        network.load_state_dict(load_file(folder / "shapes.safetensors"))
        path = tmp_path_factory.mktemp("right") / "right.mlpackage"
        make.convert(make.Exact(network)).save(str(path))
        return path
    finally:
        sys.path.remove(str(folder))
        for name in ("make", "model"):
            sys.modules.pop(name, None)


def test_the_same_models_unbroken_pass_without_a_cause(folder, right_file, tmp_path):
    """As given, and as converted here: that a file is right, and not where it comes from, is what counts."""
    root = tmp_path / "root"
    shutil.copytree(folder, root)
    shutil.copytree(right_file, root / "right.mlpackage")
    manifest = yaml.safe_load((folder / "models.yml").read_text(encoding="utf-8"))
    source = manifest["models"][0]["source"]
    manifest["models"] = [
        {"name": "given", "source": source, "formats": [{"mlpackage": {"file": "right.mlpackage"}}]},
        {
            "name": "converted",
            "source": source,
            "formats": [{"mlpackage": {"compute_precision": "float32"}}, "mlmodel"],
            "route": "direct",
        },
    ]
    (root / "models.yml").write_text(yaml.safe_dump(manifest))
    for record in built(root / "models.yml", tmp_path).values():
        assert record.passed, record.error
        assert [attempt.validation.causes for attempt in record.attempts] == [()] * len(record.attempts)


def test_the_folder_is_small(folder):
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 700_000


def test_the_held_out_pictures_are_no_squares_and_five_of_each_label(folder):
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(path.name for path in (folder / "heldout").iterdir()) == sorted(labels)
    for label in labels:
        pictures = sorted((folder / "heldout" / label).iterdir())
        assert len(pictures) == 5
        for path in pictures:
            with Image.open(path) as picture:
                assert sorted(picture.size) == [48, 64]


def test_the_labels_are_in_no_alphabet(folder):
    labels = Path(folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert labels != sorted(labels)
