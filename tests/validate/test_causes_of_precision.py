"""Files that are right in float32 and not in half precision: an overflow is named with its operation."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from converter.convert import convert
from converter.manifest.schema import ValidationOptions
from converter.model import Target
from converter.validate import validate
from converter.validate.reference import reference
from converter.validate.samples import samples

HALF = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16")


class Squares(nn.Module):
    """Scaled by the length of something long: in float16 its square is infinite, and the scores become 0."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        scores = self.net(x)
        return scores * 1000 / (scores * 300).square().sum(1, keepdim=True).sqrt()


class Cancels(nn.Module):
    """A large number added and taken away: float16 keeps one in two of what is left, and nothing is infinite."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return (self.net(x) + 4096).relu() - 4096


@pytest.mark.parametrize("seeds", [4, 30])
@pytest.mark.parametrize(
    ("network", "name", "words"),
    [
        (Squares, "float16 overflow", "beyond float16's 65504"),
        (Cancels, "float16 precision", "without anything infinite"),
    ],
)
def test_what_only_half_precision_spoils_is_named(source, tmp_path, network, name, words, seeds):
    source = replace(source, module=network(source.module).eval(), example=(torch.zeros(1, 3, 32, 32),))
    asked = reference(source, samples(source.interface, seeds=seeds))
    made = convert(source, "direct", HALF, tmp_path / "small.mlpackage")
    validation = validate(source, asked, made, ValidationOptions())
    assert not validation.passed
    (cause,) = validation.causes
    assert cause.name == name
    assert words in cause.words
    assert cause.explained > 35 > cause.measured
