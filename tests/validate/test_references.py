import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converter.errors import ValidationError
from converter.model import Range, Resize, TensorInput
from converter.validate import references as module
from converter.validate.check import answers, judge
from converter.validate.gates import Gates
from converter.validate.reference import reference
from converter.validate.references import Candidate, References, read_references, write_references
from converter.validate.samples import samples


@pytest.fixture
def kept(source, stand_in):
    image = source.interface.inputs[0]
    flexible = replace(
        image,
        enumerated=((32, 32), (48, 40)),
        ranges=(Range(lower=8, upper=64, default=32), Range(lower=8, upper=64, default=32)),
        resize=Resize(shorter_side=36, interpolation="bilinear"),
    )
    tensor = TensorInput(name="unused", shape=(1, Range(lower=1, upper=4, default=2)), dtype="int32")
    labelled = [replace(s, label="class 3") for s in samples(source.interface, seeds=5)]
    asked = reference(source, samples(source.interface, seeds=3), labelled)
    given = [answers(Path("small"), asked, source.interface, stand_in(reaches=reaches)) for reaches in (True, False)]
    return References(
        model="small",
        interface=replace(source.interface, inputs=(flexible, tensor)),
        gates=Gates(psnr_db=50, min_accuracy=0.1),
        compute_units_required=("CPU_AND_NE", "ALL"),
        reference=asked,
        candidates=(
            Candidate(file="small-direct.mlmodel", precision="float32", answers=given[0]),
            Candidate(file="small-direct.mlpackage", precision="float16", answers=given[1]),
        ),
    )


def test_what_is_written_is_read_back(kept, tmp_path: Path):
    write_references(tmp_path / "r.npz", kept)
    found = read_references(tmp_path / "r.npz")
    assert (found.model, found.interface, found.gates) == (kept.model, kept.interface, kept.gates)
    assert found.compute_units_required == ("CPU_AND_NE", "ALL")
    for one, two in zip(kept.reference.samples, found.reference.samples, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.inputs["image"], two.inputs["image"])
    for one, two in zip(kept.reference.outputs, found.reference.outputs, strict=True):
        np.testing.assert_array_equal(one["scores"], two["scores"])
    assert [sample.label for sample in found.reference.labelled] == ["class 3"] * 5
    np.testing.assert_array_equal(found.reference.labelled_scores, kept.reference.labelled_scores)
    for one, two in zip(kept.candidates, found.candidates, strict=True):
        assert (one.file, one.precision, one.answers.engine) == (two.file, two.precision, two.answers.engine)
        assert one.answers.labelled == two.answers.labelled
        for before, after in zip(one.answers.samples, two.answers.samples, strict=True):
            assert (before.label, before.activation) == (after.label, after.activation)
            np.testing.assert_array_equal(before.values["scores"], after.values["scores"])
            assert (before.scores is None) == (after.scores is None)


def test_writing_twice_and_writing_what_was_read_give_the_same_bytes(kept, tmp_path: Path):
    one, two, three = (tmp_path / name for name in ("1.npz", "2.npz", "3.npz"))
    write_references(one, kept)
    write_references(two, kept)
    write_references(three, read_references(one))
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()


def test_the_stored_answers_are_judged_as_the_fresh_ones_were(kept, source, tmp_path: Path):
    write_references(tmp_path / "r.npz", kept)
    found = read_references(tmp_path / "r.npz")
    for one, two in zip(kept.candidates, found.candidates, strict=True):
        fresh, stored = (
            judge(c.answers, r.reference, interface=source.interface, precision=c.precision, gates=r.gates)
            for c, r in ((one, kept), (two, found))
        )
        assert fresh.gates == stored.gates
        assert fresh.metrics == stored.metrics


def test_numpy_alone_reads_it(kept, tmp_path: Path):
    write_references(tmp_path / "r.npz", kept)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["inputs/0/image"], kept.reference.samples[0].inputs["image"])
        assert b'"model": "small"' in arrays["check.json"]


def test_a_large_labelled_set_stays_out(kept, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "LABELLED_LIMIT_BYTES", 100)
    write_references(tmp_path / "r.npz", kept)
    found = read_references(tmp_path / "r.npz")
    assert found.reference.labelled == ()
    assert found.reference.labelled_scores is None
    given = replace(found.candidates[0].answers, labelled=())
    validation = judge(
        given, found.reference, interface=found.interface, precision="float32", gates=Gates(min_accuracy=0.9)
    )
    assert "accuracy is not checked here: the labelled set was too large" in " ".join(validation.notes)


def test_scalars_keep_their_shape(kept, tmp_path: Path):
    outputs = tuple({"scores": np.array(index, np.int32)} for index in range(3))
    write_references(tmp_path / "r.npz", replace(kept, reference=replace(kept.reference, outputs=outputs)))
    assert read_references(tmp_path / "r.npz").reference.outputs[2]["scores"].shape == ()


def rewrite(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, old in members.items():
            archive.writestr(entry, content if entry == name else old)


def test_a_file_of_before_there_were_required_compute_units_is_read(kept, tmp_path: Path):
    path = tmp_path / "r.npz"
    write_references(path, kept)
    with zipfile.ZipFile(path) as archive:
        described = json.loads(archive.read("check.json"))
    del described["compute_units_required"]
    rewrite(path, "check.json", json.dumps(described).encode())
    assert read_references(path).compute_units_required == ()
    rewrite(path, "check.json", json.dumps({**described, "compute_units_required": ["TPU"]}).encode())
    with pytest.raises(ValidationError, match="'TPU' is none of"):
        read_references(path)


def test_a_file_of_an_earlier_release_is_read(kept, tmp_path: Path):
    """It knew no tasks, no predictions, and five gates."""
    path = tmp_path / "r.npz"
    write_references(path, kept)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    described = json.loads(members["check.json"])
    del described["task"]
    five = ("psnr_db", "top1", "max_abs_error", "min_accuracy", "max_accuracy_drop")
    described["gates"] = {name: described["gates"][name] for name in five}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if not name.startswith(("truth/", "predictions/")) and "/labelled/" not in name:
                archive.writestr(name, json.dumps(described) if name == "check.json" else content)
    found = read_references(path)
    assert (found.gates, found.reference.task.kind) == (kept.gates, "classification")
    for old, new in zip(found.candidates, kept.candidates, strict=True):
        before, after = (
            judge(c.answers, r.reference, interface=r.interface, precision=c.precision, gates=r.gates)
            for c, r in ((old, found), (new, kept))
        )
        assert before.gates == after.gates
        assert before.accuracy == after.accuracy
        assert [accuracy.metric for accuracy in before.accuracies] == ["top1"]
        assert [accuracy.metric for accuracy in after.accuracies] == ["top1", "top5"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"nothing"), "not a zip file"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: rewrite(path, "check.json", b"{}"), "version"),
        (lambda path: rewrite(path, "check.json", b'{"version": 99}'), "version 99, this release reads 1"),
        (lambda path: rewrite(path, "inputs/0/image.npy", b"x"), "cannot be read"),
    ],
)
def test_a_broken_file_is_a_clear_error(kept, tmp_path: Path, spoil, words):
    path = tmp_path / "r.npz"
    write_references(path, kept)
    spoil(path)
    with pytest.raises(ValidationError, match=words) as raised:
        read_references(path)
    assert raised.value.fix
