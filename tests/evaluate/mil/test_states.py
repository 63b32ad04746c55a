import coremltools as ct
import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import load_model


class Total(torch.nn.Module):
    """Adds what it is given to what it was given before."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


@pytest.fixture(scope="module")
def model(convert):
    return load_model(
        convert(
            Total(),
            [ct.TensorType(name="x", shape=(3,))],
            outputs=[ct.TensorType(name="y")],
            states=[ct.StateType(ct.TensorType(shape=(3,), dtype=np.float16), name="total")],
            target=ct.target.iOS18,
            precision=ct.precision.FLOAT16,
        )
    )


def test_a_state_lives_from_one_prediction_to_the_next(model):
    state, other = model.make_state(), model.make_state()
    for count in (1, 2, 3):
        answer = model.predict({"x": [1.0, 2.0, 3.0]}, state)["y"]
        np.testing.assert_array_equal(answer, np.array([1, 2, 3]) * 2 * count)
    np.testing.assert_array_equal(model.predict({"x": [1.0, 2.0, 3.0]}, other)["y"], [2, 4, 6])


def test_a_state_is_asked_for_where_there_is_one(model, package):
    with pytest.raises(EvaluationError, match="the model has states"):
        model.predict({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(EvaluationError, match="the model has no state"):
        load_model(package).make_state()
