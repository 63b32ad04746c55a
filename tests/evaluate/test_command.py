import numpy as np
import pytest

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.command import predict


def test_the_top_classes_are_printed_best_first(classifier, china, tmp_path):
    china.save(tmp_path / "photo.png")
    lines = predict(classifier[0], {"image": tmp_path / "photo.png"}, 3)
    answer = load_model(classifier[0]).predict({"image": china})
    best = answer["classLabel"]
    assert f"classLabel: {best}" in lines
    ranked = [line.split()[-1] for line in lines if line.startswith("  ")]
    assert len(ranked) == 3
    assert ranked[0] == best


def test_a_picture_is_converted_to_the_model_s_mode_but_not_scaled(classifier, china, tmp_path):
    china.convert("RGBA").save(tmp_path / "photo.png")
    assert predict(classifier[0], {"": tmp_path / "photo.png"}, 1)
    china.resize((64, 48)).save(tmp_path / "large.png")
    with pytest.raises(EvaluationError, match="needs an image of 32 x 24 pixels"):
        predict(classifier[0], {"": tmp_path / "large.png"}, 1)


def test_arrays_come_from_npy_and_npz(package, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    from_npy = predict(package, {"": tmp_path / "x.npy"}, 5)
    assert from_npy == predict(package, {"x": tmp_path / "x.npz"}, 5)
    assert from_npy[0] == "y: float32 [1, 8]"


@pytest.mark.parametrize("name", ["bad.png", "bad.npy", "bad.npz"])
def test_a_file_that_holds_no_input_is_refused(name, package, tmp_path):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(EvaluationError, match="cannot be read as the input 'x'"):
        predict(package, {"x": tmp_path / name}, 5)
