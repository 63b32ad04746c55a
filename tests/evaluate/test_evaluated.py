import coremltools as ct
import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import load_model

LABELS = ["cat", "dog", "owl", "fox"]


def reference(module, china):
    """The softmax scores, by numpy's formula on the pixels and torch's module."""
    scaled = np.asarray(china, np.float32).transpose(2, 0, 1) / 255 + np.array([[[-0.5]], [[-0.25]], [[-0.125]]])
    with torch.no_grad():
        return module(torch.from_numpy(scaled.astype(np.float32))[None])[0].numpy()


def test_a_classifier_gives_the_label_and_the_dictionary(classifier, china):
    path, module = classifier
    model = load_model(path)
    expected = reference(module, china)
    answer = model.predict({"image": china})
    description = model.spec.description
    assert set(answer) == {description.predictedFeatureName, description.predictedProbabilitiesName}
    probabilities = answer[description.predictedProbabilitiesName]
    assert answer[description.predictedFeatureName] == LABELS[int(expected.argmax())]
    assert list(probabilities) == LABELS
    assert all(isinstance(value, float) for value in probabilities.values())
    np.testing.assert_allclose(list(probabilities.values()), expected, atol=1e-6)


def test_a_classifier_may_have_whole_numbers_as_labels(convert, china, classifier):
    image = ct.ImageType(name="image", shape=(1, 3, 24, 32))
    config = ct.ClassifierConfig([10, 20, 30, 40])
    for to in ("mlprogram", "neuralnetwork"):
        model = load_model(convert(classifier[1], [image], to=to, classifier_config=config))
        answer = model.predict({"image": china})
        assert answer["classLabel"] in (10, 20, 30, 40)


def test_the_values_before_the_softmax_are_reached(classifier, china):
    model = load_model(classifier[0])
    output = model.spec.description.predictedProbabilitiesName
    value, activation = model.activation_input(output)
    answer = model.predict({"image": china}, outputs=[output, value])
    assert activation == "softmax"
    scores = answer[value].reshape(-1)
    np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(), list(answer[output].values()), atol=1e-6)


@pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])
@pytest.mark.parametrize(
    ("last", "expected"), [(torch.nn.Sigmoid(), "sigmoid"), (torch.nn.Softmax(1), "softmax"), (torch.nn.Tanh(), None)]
)
def test_the_last_activation_is_named(last, expected, to, convert):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), last, torch.nn.Flatten())
    path = convert(module, [ct.TensorType(name="x", shape=(1, 4))], to=to, outputs=[ct.TensorType(name="y")])
    found = load_model(path).activation_input("y")
    assert (found and found[1]) == expected


def test_every_value_can_be_asked_for(classifier, china):
    model = load_model(classifier[0])
    everything = model.predict({"image": china}, outputs="all")
    assert set(everything) > set(model.predict({"image": china}))


def test_an_unknown_output_is_refused_with_the_nearest_names(package, x):
    with pytest.raises(EvaluationError, match="no output or value 'yy'") as caught:
        load_model(package).predict({"x": x}, outputs=["yy"])
    assert "did you mean y" in caught.value.fix


def test_an_mlmodel_of_coremltools_is_taken_as_it_is(package, x):
    opened = ct.models.MLModel(str(package), skip_model_load=True)
    np.testing.assert_array_equal(load_model(opened).predict({"x": x})["y"], load_model(package).predict({"x": x})["y"])


class Large(torch.nn.Module):
    def forward(self, x):
        return (x * 300.0) * 300.0 / 300.0


def test_float16_overflows_as_the_program_says_and_float32_does_not(convert):
    path = convert(
        Large(),
        [ct.TensorType(name="x", shape=(1, 2))],
        precision=ct.precision.FLOAT16,
        outputs=[ct.TensorType(name="y")],
        pass_pipeline=ct.PassPipeline(["common::add_fp16_cast"], "as_written"),
    )
    given = {"x": np.array([[1.0, 0.1]])}
    rounded = load_model(path).predict(given)["y"]
    assert np.isinf(rounded[0, 0])
    assert rounded[0, 1] == pytest.approx(30, abs=0.05)
    np.testing.assert_allclose(load_model(path, compute="float32").predict(given)["y"], [[300, 30]], rtol=1e-3)


class Shape(torch.nn.Module):
    def forward(self, x):
        return torch.tensor([3.0, 4.0]), x + 1


def test_an_output_may_be_a_constant(convert):
    names = [ct.TensorType(name="fixed"), ct.TensorType(name="y")]
    answer = load_model(convert(Shape(), [ct.TensorType(name="x", shape=(2,))], outputs=names)).predict({"x": [0, 0]})
    assert {name: value.tolist() for name, value in answer.items()} == {"fixed": [3, 4], "y": [1, 1]}
