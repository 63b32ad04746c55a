"""A small classifier after MobileNetV2, as coremltools writes it in both formats, and ways to break it in one place."""

import shutil

import coremltools as ct
import pytest
import torch
from torch import nn
from torch.nn import functional

from converter import check_file
from converter.evaluate.proto import Model_pb2

LABELS = ["cat", "dog", "owl", "fox", "hen"]


def block(inputs, outputs, stride):
    wide = 4 * inputs
    return nn.Sequential(
        nn.Conv2d(inputs, wide, 1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU6(),
        nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU6(),
        nn.Conv2d(wide, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Small(nn.Module):
    """[1, 3, 32, 32] -> 5 probabilities; the head takes 2 x 2 places, so that another image size does not fit."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6())
        self.down, self.kept = block(8, 12, 2), block(12, 12, 1)
        self.head = nn.Linear(12 * 4, len(LABELS))

    def forward(self, x):
        x = self.down(self.stem(x))
        x = x + self.kept(x)
        return torch.softmax(self.head(functional.avg_pool2d(x, 4).flatten(1)), 1)


@pytest.fixture(scope="session")
def small(convert):
    """Format -> path."""
    image = ct.ImageType(name="image", shape=(1, 3, 32, 32), scale=1 / 255, bias=[-0.5, -0.25, -0.125])
    labels = ct.ClassifierConfig(LABELS)
    return {to: convert(Small(), [image], to=to, classifier_config=labels) for to in ("mlprogram", "neuralnetwork")}


def model_file(path):
    return path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path


@pytest.fixture
def faults_of(tmp_path):
    """The faults of a copy of a file, after a change to its specification and one to its folder."""

    def check(path, change=lambda spec: None, folder=lambda path: None):
        copy = tmp_path / f"broken{path.suffix}"
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
        spec = Model_pb2.Model.FromString(model_file(copy).read_bytes())
        change(spec)
        model_file(copy).write_bytes(spec.SerializeToString())
        folder(copy)
        return check_file(copy)

    return check
