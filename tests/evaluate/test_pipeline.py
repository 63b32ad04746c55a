"""Pipelines that coremltools makes, held to their models run one by one and to numpy."""

import coremltools as ct
import numpy as np
import pytest
import torch

from converter.errors import EvaluationError
from converter.evaluate import describe, load_model

FORMATS = ["mlprogram", "neuralnetwork"]


class Linear(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        torch.manual_seed(inputs + outputs)
        self.linear = torch.nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(x)


def model(convert, to, given, made, sizes):
    module = Linear(*sizes)
    path = convert(module, [ct.TensorType(name=given, shape=(1, sizes[0]))], to=to, outputs=[ct.TensorType(name=made)])
    return module, ct.models.MLModel(str(path), skip_model_load=True)


def saved(pipeline, folder, to=FORMATS):
    path = folder / ("p.mlpackage" if "mlprogram" in to else "p.mlmodel")
    pipeline.save(str(path))
    return path


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_models_run_one_after_the_other(first, second, convert, tmp_path):
    one, coreml_one = model(convert, first, "x", "h", (4, 3))
    two, coreml_two = model(convert, second, "h", "y", (3, 2))
    pipeline = ct.utils.make_pipeline(coreml_one, coreml_two, compute_units=ct.ComputeUnit.CPU_ONLY)
    opened = load_model(saved(pipeline, tmp_path, (first, second)))
    x = torch.linspace(-1, 1, 4)[None]
    with torch.no_grad():
        hidden, expected = one(x).numpy(), two(one(x)).numpy()
    answer = opened.predict({"x": x})
    assert set(answer) == {"y"}
    np.testing.assert_allclose(answer["y"], expected, atol=1e-6)
    np.testing.assert_allclose(opened.predict({"x": x}, outputs=["h"])["h"], hidden, atol=1e-6)


def test_an_output_may_feed_several_models(convert, tmp_path):
    one, a = model(convert, "mlprogram", "x", "h", (4, 3))
    two, b = model(convert, "mlprogram", "h", "y", (3, 2))
    three, c = model(convert, "neuralnetwork", "h", "z", (3, 5))
    pipeline = ct.utils.make_pipeline(a, b, c, compute_units=ct.ComputeUnit.CPU_ONLY)
    x = torch.ones(1, 4)
    answer = load_model(saved(pipeline, tmp_path)).predict({"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(answer["y"], two(one(x)).numpy(), atol=1e-6)
        np.testing.assert_allclose(answer["z"], three(one(x)).numpy(), atol=1e-6)


def test_what_is_wrong_in_a_model_is_said_with_the_model(convert, tmp_path):
    _, one = model(convert, "mlprogram", "x", "h", (4, 3))
    _, two = model(convert, "mlprogram", "h", "y", (3, 2))
    opened = load_model(saved(ct.utils.make_pipeline(one, two, compute_units=ct.ComputeUnit.CPU_ONLY), tmp_path))
    with pytest.raises(EvaluationError, match="the input 'x' is missing"):
        opened.predict({})
    with pytest.raises(EvaluationError, match="there is no input 'h'; the inputs are x"):
        opened.predict({"x": np.zeros((1, 4)), "h": np.zeros((1, 3))})
    with pytest.raises(EvaluationError, match=r"model 1 of 2 .* needs the shape \[1, 4\], got \[1, 5\]"):
        opened.predict({"x": np.zeros((1, 5))})


def test_a_pipeline_whose_parts_do_not_fit_is_refused(convert, tmp_path):
    _, one = model(convert, "neuralnetwork", "x", "h", (4, 3))
    _, two = model(convert, "neuralnetwork", "h", "y", (3, 2))
    spec = ct.utils.make_pipeline(one, two, compute_units=ct.ComputeUnit.CPU_ONLY).get_spec()
    path = tmp_path / "p.mlmodel"
    del spec.pipeline.models[0]
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError, match="reads 'h', which nothing before it gives"):
        load_model(path)
    del spec.pipeline.models[:]
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError, match="the pipeline holds no model"):
        load_model(path)


def test_a_pipeline_of_a_kind_that_cannot_be_run_names_it(convert, tmp_path):
    _, one = model(convert, "neuralnetwork", "x", "h", (4, 3))
    _, two = model(convert, "neuralnetwork", "h", "y", (3, 2))
    spec = ct.utils.make_pipeline(one, two, compute_units=ct.ComputeUnit.CPU_ONLY).get_spec()
    spec.pipeline.models[1].treeEnsembleRegressor.SetInParent()
    path = tmp_path / "p.mlmodel"
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError, match=r"model 2 of 2 .* type treeEnsembleRegressor cannot be evaluated"):
        load_model(path)


def test_a_classifier_may_end_a_pipeline(convert, tmp_path):
    _, first = model(convert, "neuralnetwork", "x", "h", (4, 3))
    scores = torch.nn.Sequential(Linear(3, 4), torch.nn.Softmax(1))
    path = convert(
        scores,
        [ct.TensorType(name="h", shape=(1, 3))],
        to="neuralnetwork",
        classifier_config=ct.ClassifierConfig(["a", "b", "c", "d"]),
    )
    last = ct.models.MLModel(str(path), skip_model_load=True)
    spec = ct.proto.Model_pb2.Model(specificationVersion=4)
    for member in (first, last):
        spec.pipelineClassifier.pipeline.models.add().CopyFrom(member.get_spec())
    description = last.get_spec().description
    spec.description.input.extend(first.get_spec().description.input)
    spec.description.output.extend(description.output)
    spec.description.predictedFeatureName = description.predictedFeatureName
    spec.description.predictedProbabilitiesName = description.predictedProbabilitiesName
    file = tmp_path / "p.mlmodel"
    file.write_bytes(spec.SerializeToString())
    described = describe(file)
    assert (described.kind, described.labels) == ("pipelineClassifier", 4)
    assert sum(sum(n.values()) for n in described.ops.values()) == len(list(load_model(file).op_types())) > 2
    opened, x = load_model(file), np.array([[1.0, -2.0, 3.0, 0.5]], np.float32)
    hidden = load_model(first).predict({"x": x})["h"]
    with torch.no_grad():
        expected = scores(torch.from_numpy(hidden))[0].tolist()
    answer = opened.predict({"x": x})
    assert answer[description.predictedFeatureName] == "abcd"[int(np.argmax(expected))]
    assert list(answer[description.predictedProbabilitiesName].values()) == pytest.approx(expected, abs=1e-6)
    value, activation = opened.activation_input(description.predictedProbabilitiesName)
    assert activation == "softmax"
    assert opened.predict({"x": x}, outputs=[value])[value].size == 4
