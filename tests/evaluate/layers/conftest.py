import numpy as np
import pytest
import torch
from google.protobuf import json_format

from converter.evaluate.layers import Network
from converter.evaluate.proto import Model_pb2


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: used by coremltools' own tests")


def _numbers(value):
    """Arrays among the fields stand for WeightParams."""
    if isinstance(value, np.ndarray):
        return {"floatValue": value.astype(np.float32).ravel().tolist()}
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session")
def model():
    """A model from (type, inputs, outputs, fields as the proto spells them) for each layer, and its inputs' names."""

    def build(layers, inputs, outputs=("y",), rank5=False):
        spec = Model_pb2.Model(specificationVersion=5)
        network = spec.neuralNetwork
        network.SetInParent()
        network.arrayInputShapeMapping = 0 if rank5 else 1
        network.imageInputShapeMapping = 0 if rank5 else 1
        for name in inputs:
            spec.description.input.add(name=name).type.multiArrayType.SetInParent()
        for name in outputs:
            spec.description.output.add(name=name).type.multiArrayType.SetInParent()
        for index, (kind, takes, gives, fields) in enumerate(layers):
            layer = network.layers.add(name=f"layer{index}", input=takes, output=gives)
            getattr(layer, kind).SetInParent()
            json_format.ParseDict(_numbers(fields), getattr(layer, kind))
        return spec

    return build


@pytest.fixture(scope="session")
def answer(model):
    """One layer's answer (a list, if there are several outputs) to the given arrays."""

    def run(kind, inputs, fields=None, outputs=1):
        takes = [f"x{index}" for index in range(len(inputs))]
        gives = [f"y{index}" for index in range(outputs)]
        network = Network(model([(kind, takes, gives, fields or {})], takes, gives))
        tensors = {name: torch.from_numpy(np.asarray(x)) for name, x in zip(takes, inputs, strict=True)}
        values = network.run(tensors, gives)
        answers = [values[name].numpy() for name in gives]
        return answers[0] if outputs == 1 else answers

    return run


@pytest.fixture(scope="session")
def same(answer):
    """Assert that a layer gives the expected arrays: shape, type and values to float32's accuracy."""

    def check(kind, inputs, fields, *expected):
        answers = answer(kind, inputs, fields, len(expected))
        for got, wanted in zip(answers if len(expected) > 1 else [answers], expected, strict=True):
            wanted = np.asarray(wanted)
            assert got.dtype == np.float32
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)

    return check
