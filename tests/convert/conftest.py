import os

os.environ.setdefault("TQDM_DISABLE", "1")

import pytest

from converter.model import (
    Classifier,
    ImageInput,
    Interface,
    Metadata,
    Normalization,
    Output,
    Resize,
    Source,
    SourceFile,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def image():
    return ImageInput(
        name="image",
        color="RGB",
        size=(12, 16),
        normalization=Normalization(scale=1 / 255, mean=MEAN, std=STD),
        resize=Resize(shorter_side=14, interpolation="bilinear"),
        description="A photo",
    )


@pytest.fixture
def classifier():
    return Classifier(labels=("cat", "dog", "newt"), activation="softmax")


@pytest.fixture
def net():
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()


@pytest.fixture
def make_source(net):
    import torch

    def make(*inputs, classifier=None, module=net, example=None, **more):
        interface = Interface(inputs=inputs, outputs=(Output(name="scores"),), classifier=classifier)
        return Source(
            name="net",
            place="models.yml:2:5 net",
            description="a net",
            interface=interface,
            metadata=Metadata(author="A", license="MIT", version="1", additional={"key": "value"}),
            files=(SourceFile(origin="net.pth", sha256="0" * 64, size_bytes=1),),
            module=module,
            example=example or (torch.zeros(1, inputs[0].channels, *inputs[0].size),),
            **more,
        )

    return make
