"""Packages with several functions, as coremltools' save_multifunction writes them."""

import coremltools as ct
import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import describe, load_model


class Scaled(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        torch.manual_seed(7)
        self.shared = torch.nn.Linear(64, 8)

    def forward(self, x):
        return self.shared(x) * self.factor


@pytest.fixture(scope="module")
def package(convert, tmp_path_factory):
    """Two functions, half and double, which share a weight; double is the default."""
    described = ct.utils.MultiFunctionDescriptor()
    for name, factor in (("half", 0.5), ("double", 2.0)):
        path = convert(
            Scaled(factor),
            [ct.TensorType(name=f"x_{name}", shape=(1, 64))],
            outputs=[ct.TensorType(name=f"y_{name}")],
            target=ct.target.iOS18,
        )
        described.add_function(str(path), "main", name)
    described.default_function_name = "double"
    path = tmp_path_factory.mktemp("functions") / "several.mlpackage"
    ct.utils.save_multifunction(described, str(path))
    return path


@pytest.mark.parametrize(("asked", "name", "factor"), [("half", "half", 0.5), (None, "double", 2.0)])
def test_each_function_has_its_own_inputs_and_answers(asked, name, factor, package):
    x = torch.linspace(-1, 1, 64)[None]
    answer = load_model(package, function=asked).predict({f"x_{name}": x})
    with torch.no_grad():
        np.testing.assert_allclose(answer[f"y_{name}"], Scaled(factor)(x).numpy(), atol=1e-5)


def test_a_function_that_is_not_there_is_refused_with_those_that_are(package):
    with pytest.raises(EvaluationError, match="no function 'third'") as caught:
        load_model(package, function="third")
    assert "half" in caught.value.fix
    assert "double" in caught.value.fix


def test_a_model_of_one_function_knows_main_only(classifier):
    load_model(classifier[0], function="main")
    with pytest.raises(EvaluationError, match="no function 'other'"):
        load_model(classifier[0], function="other")


def test_the_functions_are_described_the_default_first(package, classifier):
    described = describe(package)
    assert described.functions == ("double", "half")
    assert [feature.name for feature in described.inputs] == ["x_double"]
    assert "functions: double, half (default double)" in str(described)
    assert describe(classifier[0]).functions == ()
