"""NaN and infinity, and the operation or layer that made them first."""

import coremltools as ct
import numpy as np
import pytest
import torch

from converter.evaluate import load_model


class Overflowing(torch.nn.Module):
    """x squared twice: 40,000 is within fp16 (65,504), 40,000 squared is not."""

    def forward(self, x):
        squared = x * x
        again = squared * squared
        return torch.sigmoid(again - again)


def converted(convert, **more):
    return convert(Overflowing(), [ct.TensorType(name="x", shape=(1, 4))], outputs=[ct.TensorType(name="y")], **more)


X = {"x": np.array([[1.0, 2.0, 200.0, 3.0]], np.float32)}


def test_the_op_that_overflows_is_named_and_not_those_after_it(convert):
    path = converted(convert, precision=ct.precision.FLOAT16)
    model = load_model(path)
    assert np.isnan(model.predict(X)["y"][0, 2])
    found = model.first_not_finite(X)
    assert (found.nan, found.infinite, found.size) == (0, 1, 4)
    assert found.place.startswith('mul "again')
    assert "is the first that gives 1 infinite of 4 numbers" in str(found)


def test_nothing_is_named_where_everything_is_finite(convert):
    path = converted(convert, precision=ct.precision.FLOAT16)
    assert load_model(path, compute="float32").first_not_finite(X) is None
    assert load_model(path).first_not_finite({"x": np.ones((1, 4), np.float32)}) is None


@pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])
def test_an_input_that_is_not_finite_is_named_itself(to, convert):
    found = load_model(converted(convert, to=to)).first_not_finite({"x": np.array([[1, np.nan, 1, 1]], np.float32)})
    assert (found.place, found.nan) == ("the input 'x'", 1)


def test_a_layer_is_named(convert):
    big = {"x": np.array([[1.0, 2.0, 1e12, 3.0]], np.float32)}
    found = load_model(converted(convert, to="neuralnetwork")).first_not_finite(big)
    assert found.place.startswith('layer "again')
    assert found.infinite == 1


def test_a_pipeline_names_what_its_models_do(convert, tmp_path):
    paths = [converted(convert, to="neuralnetwork")]
    second = convert(
        torch.nn.ReLU(), [ct.TensorType(name="y", shape=(1, 4))], to="neuralnetwork", outputs=[ct.TensorType(name="z")]
    )
    models = [ct.models.MLModel(str(path), skip_model_load=True) for path in (*paths, second)]
    pipeline = ct.utils.make_pipeline(*models, compute_units=ct.ComputeUnit.CPU_ONLY)
    pipeline.save(str(tmp_path / "p.mlmodel"))
    model = load_model(tmp_path / "p.mlmodel")
    assert model.first_not_finite({"x": np.ones((1, 4), np.float32)}) is None
    assert model.first_not_finite({"x": np.full((1, 4), 1e12, np.float32)}).place.startswith('layer "again')
