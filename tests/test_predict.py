import coremltools as ct
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import converter
from converter.errors import ConverterError, EvaluationError
from converter.predict import answer

LABELS = ["cat", "dog", "newt", "owl"]


@pytest.fixture(scope="module")
def china(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "china.png"
    Image.fromarray(load_sample_image("china.jpg")).save(path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier of 24 x 32 pictures, and the same network on an array."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 22 * 30, 4)).eval()
    traced = torch.jit.trace(torch.nn.Sequential(net, torch.nn.Softmax(-1)), torch.zeros(1, 3, 24, 32))
    folder = tmp_path_factory.mktemp("models")
    image = ct.ImageType("image", (1, 3, 24, 32), scale=1 / 255)
    options = {"convert_to": "neuralnetwork", "skip_model_load": True}
    classifier = ct.convert(traced, inputs=[image], classifier_config=ct.ClassifierConfig(LABELS), **options)
    classifier.save(str(folder / "classifier.mlmodel"))
    array = ct.convert(traced, inputs=[ct.TensorType("x", (1, 3, 24, 32))], **options)
    array.save(str(folder / "array.mlmodel"))
    return folder


def test_the_top_classes_are_printed_best_first(saved, china):
    lines = list(answer(saved / "classifier.mlmodel", {"image": china}, 3))
    ranked = [line.split()[-1] for line in lines if line.startswith("  ")]
    assert len(ranked) == 3
    assert lines[0] == f"classLabel: {ranked[0]}"
    shares = [float(line.split()[0]) for line in lines if line.startswith("  ")]
    assert shares == sorted(shares, reverse=True)


def test_a_picture_is_scaled_and_cropped_and_the_only_input_needs_no_name(saved, china, tmp_path):
    model = converter.load_model(saved / "classifier.mlmodel")
    photo = Image.open(china)  # 640 x 427: 36 x 24 when it covers 32 x 24
    fitted = photo.resize((35, 24), Image.Resampling.BILINEAR).crop((2, 0, 34, 24))
    expected = model.predict({"image": fitted})["classLabel"]
    assert next(answer(saved / "classifier.mlmodel", {"": china}, 1)) == f"classLabel: {expected}"
    photo.convert("RGBA").save(tmp_path / "alpha.png")
    assert next(answer(saved / "classifier.mlmodel", {"": tmp_path / "alpha.png"}, 1)) == f"classLabel: {expected}"


def test_arrays_come_from_npy_and_npz(saved, tmp_path):
    x = np.random.default_rng(0).random((1, 3, 24, 32), np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x, other=x)
    (from_npy,) = answer(saved / "array.mlmodel", {"": tmp_path / "x.npy"}, 5)
    (from_npz,) = answer(saved / "array.mlmodel", {"x": tmp_path / "x.npz"}, 5)
    assert from_npy == from_npz
    assert "float32 [1 x 4]" in from_npy


@pytest.mark.parametrize(("model", "name"), [("classifier", "bad.png"), ("array", "bad.npy"), ("array", "bad.npz")])
def test_a_file_that_holds_no_input_is_refused(saved, model, name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(ConverterError, match=r"bad\.np|bad\.png"):
        list(answer(saved / f"{model}.mlmodel", {"": tmp_path / name}, 5))


def test_an_unknown_input_names_those_there_are(saved, china):
    with pytest.raises(EvaluationError, match="no input 'picture'") as refused:
        list(answer(saved / "classifier.mlmodel", {"picture": china}, 5))
    assert "image" in refused.value.fix


def test_a_forgotten_input_is_asked_for(saved):
    with pytest.raises(EvaluationError, match="without its input image") as refused:
        list(answer(saved / "classifier.mlmodel", {}, 5))
    assert "--input image=FILE" in refused.value.fix


def test_an_array_of_another_name_is_refused(saved, tmp_path):
    np.savez(tmp_path / "y.npz", y=np.zeros(3), z=np.zeros(3))
    with pytest.raises(EvaluationError, match="holds y, z, none of them called x"):
        list(answer(saved / "array.mlmodel", {"x": tmp_path / "y.npz"}, 5))
