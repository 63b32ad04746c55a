from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.errors import SourceError
from converter.model import Classifier, ImageInput, Interface, Normalization, Output, TensorInput
from converter.validate.labelled import labelled

IMAGE = ImageInput(
    name="image", color="RGB", size=(8, 10), normalization=Normalization(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
)
PAIR = TensorInput(name="x", shape=(2,), dtype="float32")


def interface(spec, labels=()):
    classifier = Classifier(labels=labels) if labels else None
    return Interface(inputs=(spec,), outputs=(Output(name="y"),), classifier=classifier)


@pytest.mark.parametrize("labels", [np.array([1, 0, 1]), np.array(["dog", "cat", "dog"])])
def test_a_labelled_set_has_indices_or_names(tmp_path: Path, labels):
    np.savez(tmp_path / "held.npz", x=np.zeros((3, 2), np.float32), labels=labels)
    found = labelled(interface(PAIR, labels=("cat", "dog")), tmp_path / "held.npz")
    assert [sample.label for sample in found] == ["dog", "cat", "dog"]


def test_a_labelled_set_is_a_folder_of_pictures_per_class(tmp_path: Path):
    for name in ("dog/b.png", "cat/a.jpg", "cat/notes.txt", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / name) if "txt" not in name else (tmp_path / name).write_text("")
    found = labelled(interface(IMAGE, labels=("cat", "dog")), tmp_path)
    assert [(sample.name, sample.label) for sample in found] == [("cat/a.jpg", "cat"), ("dog/b.png", "dog")]


def test_a_model_without_labels_has_its_classes_numbered(tmp_path: Path):
    np.savez(tmp_path / "held.npz", x=np.zeros((2, 2), np.float32), labels=[4, 0])
    assert [sample.label for sample in labelled(interface(PAIR), tmp_path / "held.npz")] == ["4", "0"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([0, 1]), r"`labels` is int64 \[2\] for 3 samples"),
        (np.array([0.0, 1.0, 1.0]), "`labels` is float64"),
        (np.array([0, 1, 2]), "label 2 is outside the model's 2 classes"),
        (np.array([0, -1, 1]), "label -1 is outside"),
        (np.array(["cat", "cow", "dog"]), "label 'cow' is none of the model's 2 labels"),
        (None, "holds the arrays x; the model takes x, labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels, words):
    arrays = {"x": np.zeros((3, 2), np.float32)} | ({} if labels is None else {"labels": labels})
    np.savez(tmp_path / "held.npz", **arrays)
    with pytest.raises(SourceError, match=words):
        labelled(interface(PAIR, labels=("cat", "dog")), tmp_path / "held.npz")


def test_an_empty_labelled_set_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="the labelled set is empty"):
        labelled(interface(IMAGE, labels=("cat", "dog")), tmp_path)
