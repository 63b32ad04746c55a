from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.errors import SourceError
from converter.model import Classifier, ImageInput, Interface, LabelledTask, Normalization, Output, TensorInput
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


SEGMENTATION = LabelledTask(kind="segmentation")
DETECTION = LabelledTask(kind="detection", boxes="b", scores="s", classes="c")


def written(folder: Path, text: str, **pictures) -> Path:
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    (folder / "set.csv").write_text(text)
    return folder / "set.csv"


def picture(width=20, height=16, mode="RGB", colour=0):
    return Image.new(mode, (width, height), colour)


@pytest.mark.parametrize(
    "text",
    [
        "picture,label\na.png,dog\nb.png,cat\n",
        "label , Picture\n1,a.png\n0,b.png\n",  # in any order, and by their indices
        '\ufeffpicture,label,note\r\n"a.png",dog,"one, two"\r\n\r\nb.png,cat,\r\n',  # as a spreadsheet writes it
    ],
)
def test_a_labelled_set_is_a_csv_of_pictures_and_labels(tmp_path: Path, text):
    path = written(tmp_path, text, a=picture(), b=picture())
    found = labelled(interface(IMAGE, labels=("cat", "dog")), path)
    assert [(sample.name, sample.label) for sample in found] == [("a.png", "dog"), ("b.png", "cat")]


def test_a_label_that_reads_as_a_number_is_first_of_all_a_name(tmp_path: Path):
    path = written(tmp_path, "picture,label\na.png,1\n", a=picture())
    assert labelled(interface(IMAGE, labels=("2", "1", "0")), path)[0].label == "1"


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        ("picture,class\na.png,dog\n", LabelledTask(), "the columns label are missing"),
        ("picture,label,label\na.png,dog,cat\n", LabelledTask(), "two columns have the same name"),
        ("picture,label\n", LabelledTask(), "it has no line but the first"),
        ("", LabelledTask(), "the columns picture, label are missing"),
        ("picture,label\na.png\n", LabelledTask(), "line 2 has 1 cells, not 2"),
        (
            "picture,label\na.png,\n,dog\n",
            LabelledTask(),
            "line 2: the label is missing\n  line 3: no picture is named",
        ),
        ("picture,label\na.png,cow\n", LabelledTask(), "line 2: label 'cow' is none of the model's 2 labels"),
        ("picture,label\na.png,7\n", LabelledTask(), "label 7 is outside the model's 2 classes"),
        ("picture,label\nc.png,dog\n", LabelledTask(), "line 2: c.png cannot be read as a picture"),
        ("picture,label\na.png,dog\na.png,cat\n", LabelledTask(), "a.png stands in the lines 2, 3"),
        ("picture,mask\na.png,a.png\n", SEGMENTATION, "the mask a.png holds colours"),
        ("picture,mask\na.png,small.png\n", SEGMENTATION, "the mask small.png has 3 × 2 pixels, its picture 16 × 20"),
        ("picture,mask\na.png,none.png\n", SEGMENTATION, "the mask none.png cannot be read"),
        ("picture,mask\na.png,empty.png\n", SEGMENTATION, "no sample of the labelled set has a pixel that counts"),
        ("picture,label,x1,y1,x2,y2\na.png,,,,,\n", DETECTION, "no sample of the labelled set has a box"),
        ("picture,label,x1,y1,x2,y2\na.png,dog,1,2,3,4\n", DETECTION, "line 2: the label 'dog' is no class number"),
        ("picture,label,x1,y1,x2,y2\na.png,1,1,2,3,\n", DETECTION, "line 2: 1, 2, 3,  are not four numbers"),
        ("picture,label,x1,y1,x2,y2\na.png,1,3,2,1,4\n", DETECTION, r"line 2: \(3, 2\) to \(1, 4\) is no box"),
        ("picture,label,x1,y1,x2,y2\na.png,1,1,2,inf,4\n", DETECTION, "is no box"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text, task, words):
    pictures = {"a": picture(), "small": picture(2, 3, "L"), "empty": picture(mode="L", colour=255)}
    with pytest.raises(SourceError, match=words):
        labelled(interface(IMAGE, labels=("cat", "dog")), written(tmp_path, text, **pictures), task)


def test_everything_that_is_wrong_with_a_csv_is_said_at_once_but_no_more_than_one_reads(tmp_path: Path):
    path = written(tmp_path, "picture,label\n" + ",\n" * 3 + "a.png,\n" * 9)
    with pytest.raises(SourceError) as refused:
        labelled(interface(IMAGE, labels=("cat", "dog")), path)
    assert refused.value.problem.count("line") == 5
    assert refused.value.problem.endswith("and 4 more")


def test_masks_are_class_numbers_and_go_where_their_picture_goes(tmp_path: Path):
    pixels = np.zeros((16, 20), np.uint8)
    pixels[:, 10:] = 3
    indexed = Image.fromarray(pixels).convert("P")
    indexed.putdata(pixels.ravel().tolist())
    path = written(tmp_path, "picture,mask\na.png,m.png\n", a=picture(), m=indexed)
    mask = labelled(interface(IMAGE), path, SEGMENTATION)[0].truth["mask"]
    np.testing.assert_array_equal(mask, np.repeat([[0] * 5 + [3] * 5], 8, axis=0))


def test_boxes_of_one_picture_stand_in_several_lines_and_some_pictures_have_none(tmp_path: Path):
    text = "picture,label,x1,y1,x2,y2\na.png,3,0,0,10,8\nb.png,,,,,\na.png,1,2,4,20,16\n"
    found = labelled(interface(IMAGE), written(tmp_path, text, a=picture(), b=picture()), DETECTION)
    assert [sample.truth["classes"].tolist() for sample in found] == [[3, 1], []]
    assert found[0].truth["boxes"].tolist() == [[0, 0, 5, 4], [1, 2, 10, 8]]  # half the size


def test_arrays_hold_masks_or_boxes_too(tmp_path: Path):
    pixels = np.zeros((2, 8, 10, 3), np.uint8)
    np.savez(tmp_path / "masks.npz", image=pixels, masks=np.arange(2)[:, None, None] + np.zeros((2, 8, 10), int))
    found = labelled(interface(IMAGE), tmp_path / "masks.npz", SEGMENTATION)
    assert [sample.truth["mask"].max() for sample in found] == [0, 1]
    boxes = {"boxes": np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3.0]]), "labels": [4, 5, 6], "samples": [1, 0, 1]}
    np.savez(tmp_path / "boxes.npz", image=pixels, **boxes)
    found = labelled(interface(IMAGE), tmp_path / "boxes.npz", DETECTION)
    assert [sample.truth["classes"].tolist() for sample in found] == [[5], [4, 6]]
    assert found[1].truth["boxes"].tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]


@pytest.mark.parametrize(
    ("arrays", "task", "words"),
    [
        ({"masks": np.zeros((2, 8, 10))}, SEGMENTATION, r"`masks` is float64 \[2, 8, 10\] for 2 samples"),
        ({"masks": np.zeros((3, 8, 10), int)}, SEGMENTATION, "for 2 samples"),
        ({"boxes": np.zeros((1, 4)), "labels": [1], "samples": [2]}, DETECTION, "these are no boxes of 2 samples"),
        ({"boxes": np.zeros((1, 5)), "labels": [1], "samples": [0]}, DETECTION, "these are no boxes"),
        ({"boxes": np.zeros((2, 4)), "labels": [1.5, 1], "samples": [0, 0]}, DETECTION, "these are no boxes"),
        ({"labels": [0, 1]}, DETECTION, "the model takes image, boxes, labels, samples"),
    ],
)
def test_arrays_of_another_task_are_refused(tmp_path: Path, arrays, task, words):
    np.savez(tmp_path / "held.npz", image=np.zeros((2, 8, 10, 3), np.uint8), **arrays)
    with pytest.raises(SourceError, match=words):
        labelled(interface(IMAGE), tmp_path / "held.npz", task)


@pytest.mark.parametrize("number", [-1, 10_000, 65_535])
def test_what_is_no_class_number_is_refused_unless_it_is_not_to_count(tmp_path: Path, number):
    masks = np.zeros((1, 8, 10), np.int32)
    masks[0, 3] = number
    np.savez(tmp_path / "held.npz", image=np.zeros((1, 8, 10, 3), np.uint8), masks=masks)
    with pytest.raises(SourceError, match=rf"the mask of held\.npz holds {number}, which is no class") as refused:
        labelled(interface(IMAGE), tmp_path / "held.npz", SEGMENTATION)
    assert f"`ignore: {number}`" in refused.value.fix
    task = LabelledTask(kind="segmentation", ignore=number)
    assert labelled(interface(IMAGE), tmp_path / "held.npz", task)[0].truth["mask"].min() == min(number, 0)


def test_a_folder_of_pictures_per_class_is_for_classifiers(tmp_path: Path):
    with pytest.raises(SourceError, match="says nothing of a segmentation"):
        labelled(interface(IMAGE), tmp_path, SEGMENTATION)
