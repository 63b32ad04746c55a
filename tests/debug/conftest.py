import os

os.environ.setdefault("TQDM_DISABLE", "1")

import pytest
import torch

from converter.debug import Case, look
from converter.model import Interface, Metadata, Output, Source, Target, TensorInput
from converter.validate.gates import Gates
from converter.validate.reference import reference
from converter.validate.samples import samples


class Net(torch.nn.Module):
    """Every operation that is broken somewhere below, one after the other."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(inplace=True)
        )
        self.pool = torch.nn.AvgPool2d(3, 2, 1)
        self.block = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.LeakyReLU(0.1))
        self.up = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.norm = torch.nn.LayerNorm(8)
        self.query = torch.nn.Linear(8, 8)
        self.mlp = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 8))
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.pool(x)
        y = y + self.block(y)
        y = self.up(y)
        tokens = self.norm(y.flatten(2).transpose(1, 2)[:, :8])  # [1, 8, 8]
        weights = torch.softmax(torch.matmul(self.query(tokens), tokens.transpose(1, 2)) * 0.35, -1)
        tokens = tokens + torch.matmul(weights, tokens)
        tokens = tokens + self.mlp(tokens)
        return self.head(tokens.mean(1))


@pytest.fixture
def make_case():
    def make(module=None, shape=(1, 3, 8, 8), onnx_file=None, **gates):
        if module is None and onnx_file is None:
            torch.manual_seed(0)
            module = Net().eval()
        interface = Interface(
            inputs=(TensorInput(name="x", shape=shape, dtype="float32"),), outputs=(Output(name="y"),)
        )
        source = Source(
            name="net",
            place="models.yml:2:5 net",
            description="a small net",
            interface=interface,
            metadata=Metadata(),
            files=(),
            module=module,
            onnx_file=onnx_file,
            example=() if onnx_file else (torch.zeros(shape),),
        )
        return Case(source, reference(source, samples(interface, seeds=2)), Gates(**gates))

    return make


def target(precision="float32", format="mlpackage", **more):
    release = {"mlpackage": "iOS16", "mlmodel": "iOS14"}[format]
    return Target(format=format, deployment_target=release, compute_precision=precision, **more)


@pytest.fixture
def found(make_case, tmp_path):
    """Look at the net, or another case, by a route and in a precision."""

    def run(route, precision="float32", *, case=None, format="mlpackage", **more):
        return look(case or make_case(), route, target(precision, format), tmp_path, **more)

    return run
