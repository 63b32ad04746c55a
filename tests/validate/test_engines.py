import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from converter.errors import EvaluationError, ManifestError
from converter.model import Output
from converter.validate.engines import ask, engine


def test_core_ml_needs_macos(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ManifestError, match="the engine coreml needs macOS") as raised:
        engine("coreml")
    assert "--engine reference" in raised.value.fix


def test_an_unknown_engine_is_refused():
    with pytest.raises(ManifestError, match="no engine is called 'neural'"):
        engine("neural")


def test_a_job_that_checks_imports_neither_torch_nor_the_manifests_libraries():
    """On macOS coremltools, numpy and Pillow are all there is."""
    code = (
        "import sys, converter.validate.dist, converter.validate;"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'pydantic', 'yaml', 'coremltools') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Saved:
    def __init__(self, answered):
        self.answered = answered

    def activation_input(self, output):
        return None

    def predict(self, inputs, *, outputs=None):
        self.given = inputs
        return self.answered


def test_pictures_are_given_as_pil_and_probabilities_come_in_the_labels_order(source):
    labels = source.interface.classifier.labels
    saved = Saved(
        {"classLabel": "class 4", "classLabelProbs": {label: i / 45 for i, label in reversed([*enumerate(labels)])}}
    )
    answer = ask(saved, source.interface, {"image": np.zeros((32, 32, 3), np.uint8)})
    assert isinstance(saved.given["image"], Image.Image)
    np.testing.assert_allclose(answer.values["scores"], np.arange(10) / 45, rtol=1e-6)
    assert answer.label == "class 4"


@pytest.mark.parametrize(
    ("color", "picture", "first_pixel"),
    [
        ("RGB", Image.new("RGBA", (4, 2), (10, 20, 30, 255)), [10, 20, 30]),
        ("BGR", Image.new("RGB", (4, 2), (10, 20, 30)), [30, 20, 10]),
        ("GRAYSCALE", Image.new("L", (4, 2), 77), [77]),
    ],
)
def test_image_outputs_are_read_in_the_outputs_own_colours(source, color, picture, first_pixel):
    interface = replace(source.interface, classifier=None, outputs=(Output(name="styled", color=color),))
    answer = ask(Saved({"styled": picture}), interface, {"image": np.zeros((32, 32, 3), np.uint8)})
    assert answer.values["styled"].shape == (1, len(first_pixel), 2, 4)
    assert answer.values["styled"][0, :, 0, 0].tolist() == first_pixel


def test_a_missing_output_is_an_error(source):
    with pytest.raises(EvaluationError, match="no output classLabel; it has classLabelProbs"):
        ask(Saved({"classLabelProbs": {}}), source.interface, {"image": np.zeros((32, 32, 3), np.uint8)})
