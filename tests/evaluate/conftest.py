import shutil

import coremltools as ct
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

LABELS = ["cat", "dog", "owl", "fox"]


class Scores(torch.nn.Module):
    """[1, C, 24, 32] -> 4 softmax scores, strongly dependent on colour and place."""

    def __init__(self, channels):
        super().__init__()
        torch.manual_seed(3)
        self.conv = torch.nn.Conv2d(channels, 4, 5, stride=4)

    def forward(self, x):
        return torch.softmax(self.conv(x).mean((2, 3)), 1)


def example(shape):
    """The default shape of one that may be flexible."""
    shape = shape.shapes[0] if isinstance(shape, ct.EnumeratedShapes) else shape
    return [size.default if isinstance(size, ct.RangeDim) else size for size in shape.shape]


@pytest.fixture(scope="session")
def china():
    """scikit-learn's bundled photograph at 32 x 24 pixels."""
    return Image.fromarray(load_sample_image("china.jpg")).resize((32, 24))


@pytest.fixture(scope="session")
def convert(tmp_path_factory):
    """Trace and convert a module, save it, give its path."""

    def make(module, inputs, *, to="mlprogram", target=ct.target.iOS16, precision=ct.precision.FLOAT32, **more):
        shapes = [torch.zeros(example(kind.shape)) for kind in inputs]
        traced = torch.jit.trace(module.eval(), shapes, check_trace=False)
        if to == "mlprogram":
            more["compute_precision"] = precision
        else:
            target = ct.target.iOS14
        model = ct.convert(
            traced, inputs=inputs, convert_to=to, minimum_deployment_target=target, skip_model_load=True, **more
        )
        path = tmp_path_factory.mktemp("models") / ("m.mlpackage" if to == "mlprogram" else "m.mlmodel")
        model.save(str(path))
        return path

    return make


@pytest.fixture(scope="session", params=["mlprogram", "neuralnetwork"])
def classifier(request, convert):
    """A picture classifier, as path and torch module; its pixels are scaled to 0..1, minus a mean."""
    module = Scores(3)
    image = ct.ImageType(name="image", shape=(1, 3, 24, 32), scale=1 / 255, bias=[-0.5, -0.25, -0.125])
    path = convert(module, [image], to=request.param, classifier_config=ct.ClassifierConfig(LABELS))
    return path, module


@pytest.fixture
def package(convert, tmp_path):
    """A small .mlpackage with a weight file, to be damaged; input x [1, 64], output y [1, 8]."""
    torch.manual_seed(0)
    path = convert(torch.nn.Linear(64, 8), [ct.TensorType(name="x", shape=(1, 64))], outputs=[ct.TensorType(name="y")])
    shutil.copytree(path, tmp_path / "damaged.mlpackage")
    return tmp_path / "damaged.mlpackage"


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
