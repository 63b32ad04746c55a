"""The examples of docs/evaluator.md do what they show."""

import doctest
import shutil
from pathlib import Path

import coremltools as ct
import numpy as np
import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs/evaluator.md"


class Overflowing(torch.nn.Module):
    def forward(self, x):
        squared = x * x
        again = squared * squared
        return torch.sigmoid(again - again)


class Total(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


class Pictures(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 5, stride=4)

    def forward(self, x):
        return torch.softmax(self.convolution(x).mean((2, 3)), 1)


@pytest.fixture
def models(convert, tmp_path, monkeypatch):
    """The packages that the page names, in the current folder."""
    y = [ct.TensorType(name="y")]
    made = {
        "linear": convert(torch.nn.Linear(64, 8), [ct.TensorType(name="x", shape=(1, 64))], outputs=y),
        "pictures": convert(
            Pictures(),
            [ct.ImageType(name="image", shape=(1, 3, 24, 32), scale=1 / 255)],
            classifier_config=ct.ClassifierConfig(["cat", "dog", "owl", "fox"]),
        ),
        "total": convert(
            Total(),
            [ct.TensorType(name="x", shape=(3,))],
            outputs=y,
            states=[ct.StateType(ct.TensorType(shape=(3,), dtype=np.float16), name="total")],
            target=ct.target.iOS18,
            precision=ct.precision.FLOAT16,
        ),
        "overflow": convert(
            Overflowing(), [ct.TensorType(name="x", shape=(1, 4))], outputs=y, precision=ct.precision.FLOAT16
        ),
    }
    for name, path in made.items():
        shutil.copytree(path, tmp_path / f"{name}.mlpackage")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("models")
def test_the_examples_give_what_the_page_shows():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 15
    assert failed == 0
