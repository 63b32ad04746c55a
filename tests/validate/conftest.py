"""A small classifier whose pictures give different answers, and a stand-in for a saved model of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

from converter.model import Classifier, ImageInput, Interface, Metadata, Normalization, Output, Resize, Source
from converter.validate.engines import Engine
from converter.validate.reference import normalized
from converter.validate.samples import samples

# Time is no property of what is tested here, and the machine may be busy.
settings.register_profile("validate", deadline=None)
settings.load_profile("validate")

LABELS = tuple(f"class {index}" for index in range(10))
IMAGENET = Normalization(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
IMAGE = ImageInput(
    name="image",
    color="RGB",
    size=(32, 32),
    normalization=IMAGENET,
    resize=Resize(shorter_side=36, interpolation="bilinear"),
)


def _calibrated() -> nn.Module:
    """Weights are seeded; BatchNorm statistics and the head are set on pictures, or all would answer the same."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    head = nn.Linear(128, 10)
    interface = Interface(inputs=(IMAGE,), outputs=(Output(name="scores"),))
    pixels = torch.cat([torch.from_numpy(normalized(interface, s.inputs)[0]) for s in samples(interface, seeds=32)])
    body.train()
    for _ in range(60):
        body(pixels)
    body.eval()
    with torch.no_grad():
        features = body(pixels)
        scores = head(features)
        head.weight *= 8 / scores.std()
        head.bias -= head(features).mean(0)
    return nn.Sequential(body, head).eval()


@pytest.fixture(scope="session")
def net() -> nn.Module:
    return _calibrated()


@pytest.fixture
def source(net: nn.Module) -> Source:
    return Source(
        name="small",
        place="models.yml:1:1 small",
        description="a small net",
        interface=Interface(
            inputs=(IMAGE,),
            outputs=(Output(name="scores"),),
            classifier=Classifier(labels=LABELS, activation="softmax"),
        ),
        metadata=Metadata(),
        files=(),
        module=net,
    )


class StandIn:
    """Answers as a saved classifier of `net` would, with mistakes on request; reaches its scores unless told not to."""

    def __init__(self, source: Source, *, reaches=True, labels=LABELS, spoil=lambda scores: scores, see=None) -> None:
        self.source, self.reaches, self.labels, self.spoil = source, reaches, labels, spoil
        self.see = see or (lambda pixels: normalized(source.interface, {"image": pixels})[0])

    def activation_input(self, output):
        return ("inner", "softmax") if self.reaches and output == "classLabelProbs" else None

    def predict(self, inputs, *, outputs=None):
        pixels = np.asarray(inputs["image"])
        with torch.no_grad():
            scores = self.spoil(self.source.module(torch.from_numpy(np.ascontiguousarray(self.see(pixels)))))
        probabilities = torch.softmax(scores.double(), -1)[0].numpy()
        answered = {
            "classLabelProbs": dict(zip(self.labels, probabilities.tolist(), strict=True)),
            "classLabel": self.labels[int(probabilities.argmax())],
            "inner": scores.numpy(),
        }
        return {name: answered[name] for name in outputs or answered}


@pytest.fixture
def stand_in(source: Source) -> Callable[..., Engine]:
    def build(**mistakes) -> Engine:
        def load(path: Path) -> StandIn:
            return StandIn(source, **mistakes)

        return Engine(name="stand-in", load=load)

    return build


@pytest.fixture
def with_interface(source: Source) -> Callable[..., Source]:
    def build(**changes) -> Source:
        return replace(source, interface=replace(source.interface, **changes))

    return build
