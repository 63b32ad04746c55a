"""Pipelines, suppression models, functions and states, broken in one place each."""

import re

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn

from converter import check_file
from converter.evaluate.proto import FeatureTypes_pb2, Model_pb2


@pytest.fixture(scope="module")
def models(convert):
    x, h = (ct.TensorType(name=name, shape=(1, size)) for name, size in (("x", 4), ("h", 3)))
    paths = [
        convert(nn.Linear(4, 3), [x], to="neuralnetwork", outputs=[ct.TensorType(name="h")]),
        convert(nn.Linear(3, 2), [h], to="neuralnetwork", outputs=[ct.TensorType(name="y")]),
    ]
    return [ct.models.MLModel(str(path), skip_model_load=True) for path in paths]


@pytest.fixture(scope="module")
def pipeline(models, tmp_path_factory):
    path = tmp_path_factory.mktemp("pipeline") / "p.mlmodel"
    ct.utils.make_pipeline(*models, compute_units=ct.ComputeUnit.CPU_ONLY).save(str(path))
    return path


def no_models(spec):
    del spec.pipeline.models[:]


def first_removed(spec):
    del spec.pipeline.models[0]


def input_renamed(spec):
    spec.pipeline.models[1].description.input[0].name = "other"


def another_shape(spec):
    spec.pipeline.models[1].description.input[0].type.multiArrayType.shape[:] = [1, 5]


def another_type(spec):
    spec.pipeline.models[1].description.input[
        0
    ].type.multiArrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.FLOAT16


def unknown_output(spec):
    spec.description.output[0].name = "other"


def names(spec):
    spec.pipeline.names.extend(["one", "one"])


def names_missing(spec):
    spec.pipeline.names.append("one")


def inner_weights(spec):
    params = next(
        layer.innerProduct
        for layer in spec.pipeline.models[1].neuralNetwork.layers
        if layer.WhichOneof("layer") == "innerProduct"
    )
    params.weights.floatValue[0] = np.nan


def member_without_type(spec):
    spec.pipeline.models[0].ClearField("neuralNetwork")


def older_version(spec):
    spec.specificationVersion = 3


def no_color(spec):
    image = spec.pipeline.models[1].description.input[0].type.imageType
    image.width, image.height, image.colorSpace = 2, 2, 99


CASES = [
    ("no models", no_models, "", "the pipeline holds no model"),
    ("first removed", first_removed, "model 1 of 1 (0)", "nothing before it gives 'h'"),
    ("input renamed", input_renamed, "model 2 of 2 (1)", "nothing before it gives 'other'; given are x, h"),
    ("another shape", another_shape, "model 2 of 2 (1)", r"has the shape \[1, 5\], but model 1 of 2 .* gives \[1, 3\]"),
    ("another type", another_type, "model 2 of 2 (1)", "is an array of FLOAT16, but model 1 of 2 .* of FLOAT32"),
    ("no colour space", no_color, "model 2 of 2 (1)", r"is an image \(number 99\) of 2 x 2, but model 1 of 2"),
    ("unknown output", unknown_output, "", "no model of the pipeline gives it"),
    ("two of one name", names, "", "2 models of the pipeline are called 'one'"),
    ("names missing", names_missing, "", "the pipeline has 1 names for 2 models"),
    ("NaN in a part", inner_weights, "model 2 of 2 (1)", "its weights holds 1 NaN"),
    ("a part without a type", member_without_type, "model 1 of 2 (0)", "holds no model of any type"),
    ("a version that a part needs", older_version, "", "the specification version is 3, but .* needs 4"),
]


@pytest.mark.parametrize(("change", "model", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_fault_of_a_pipeline_is_said_with_the_model_that_has_it(change, model, words, pipeline, faults_of):
    found = faults_of(pipeline, change)
    assert any(f.model == model and re.search(words, f.problem) for f in found), "\n".join(map(str, found))


def suppression():
    array = FeatureTypes_pb2.ArrayFeatureType
    spec = Model_pb2.Model(specificationVersion=5)
    message = spec.nonMaximumSuppression
    message.pickTop.perClass = True
    message.iouThreshold, message.confidenceThreshold = 0.5, 0.25
    message.stringClassLabels.vector.extend(["cat", "dog"])
    message.confidenceInputFeatureName, message.coordinatesInputFeatureName = "raw_confidence", "raw_coordinates"
    message.iouThresholdInputFeatureName = "iouThreshold"
    message.confidenceOutputFeatureName, message.coordinatesOutputFeatureName = "confidence", "coordinates"
    for name, columns in (("raw_confidence", 2), ("raw_coordinates", 4)):
        kind = spec.description.input.add(name=name).type.multiArrayType
        kind.dataType = array.FLOAT32
        kind.shape.extend([10, columns])
    threshold = spec.description.input.add(name="iouThreshold")
    threshold.type.doubleType.SetInParent()
    threshold.type.isOptional = True
    for name, columns in (("confidence", 2), ("coordinates", 4)):
        kind = spec.description.output.add(name=name).type.multiArrayType
        kind.dataType = array.FLOAT32
        for low, high in ((0, -1), (columns, columns)):
            kind.shapeRange.sizeRanges.add(lowerBound=low, upperBound=high)
    return spec


def nms(**fields):
    def change(spec):
        for name, value in fields.items():
            setattr(spec.nonMaximumSuppression, name, value)

    return change


def nms_labels(labels):
    def change(spec):
        spec.nonMaximumSuppression.stringClassLabels.vector[:] = labels

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nms(confidenceInputFeatureName="other"), "reads 'other', which is no input"),
        (nms(coordinatesOutputFeatureName="other"), "writes 'other', which is no output"),
        (nms(iouThresholdInputFeatureName="other"), "reads the threshold 'other', which is no input"),
        (nms(iouThreshold=1.5), "iouThreshold is 1.5; 0 to 1 is allowed"),
        (nms_labels(["cat", "dog", "owl"]), "there are 3 labels for 2 scores"),
        (nms_labels(["cat", "cat"]), "more than once"),
        (lambda spec: setattr(spec, "specificationVersion", 4), "is 4, but the type of 'raw_confidence' needs 5"),
    ],
)
def test_a_fault_of_a_suppression_model_is_found(change, words, faults_of, tmp_path):
    path = tmp_path / "nms.mlmodel"
    path.write_bytes(suppression().SerializeToString())
    found = faults_of(path, change)
    assert any(re.search(words, fault.problem) for fault in found), "\n".join(map(str, found))


def test_a_right_pipeline_or_suppression_model_has_no_faults(pipeline, faults_of, tmp_path):
    assert faults_of(pipeline) == ()
    path = tmp_path / "nms.mlmodel"
    path.write_bytes(suppression().SerializeToString())
    assert check_file(path) == ()


@pytest.fixture(scope="module")
def functions(convert, tmp_path_factory):
    described = ct.utils.MultiFunctionDescriptor()
    for name in ("one", "two"):
        path = convert(nn.Linear(64, 8), [ct.TensorType(name=f"x_{name}", shape=(1, 64))], target=ct.target.iOS18)
        described.add_function(str(path), "main", name)
    described.default_function_name = "two"
    path = tmp_path_factory.mktemp("functions") / "several.mlpackage"
    ct.utils.save_multifunction(described, str(path))
    return path


def function_renamed(spec):
    spec.description.functions[0].name = "other"


def default_renamed(spec):
    spec.description.defaultFunctionName = "other"


def inner_input(spec):
    spec.description.functions[0].input[0].name = "other"


@pytest.mark.parametrize(
    ("change", "function", "words"),
    [
        (function_renamed, "other", "the program has no function 'other'; it has one, two"),
        (function_renamed, "one", "the program's function is not described"),
        (default_renamed, "", "the default function is 'other'; described are one, two"),
        (inner_input, "one", "is described, but the program has no such input; it has x_one"),
        (lambda spec: setattr(spec, "specificationVersion", 8), "", "needs 9"),
    ],
)
def test_a_fault_of_a_function_is_said_with_the_function(change, function, words, functions, faults_of):
    found = faults_of(functions, change)
    assert any(f.function == function and re.search(words, f.problem) for f in found), "\n".join(map(str, found))


class Total(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


def state_removed(spec):
    del spec.description.state[:]


def state_float32(spec):
    spec.description.state[0].type.stateType.arrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.FLOAT32


def state_shape(spec):
    spec.description.state[0].type.stateType.arrayType.shape[:] = [4]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (state_removed, "is an input of the program that is not described"),
        (state_float32, "is a state of FLOAT32; only FLOAT16 is allowed"),
        (state_shape, r"is described with the shape \[4\], the program's is fp16 \[3\]"),
    ],
)
def test_a_fault_of_a_state_is_found(change, words, convert, faults_of):
    state = ct.StateType(ct.TensorType(shape=(3,), dtype=np.float16), name="total")
    path = convert(
        Total(),
        [ct.TensorType(name="x", shape=(3,))],
        states=[state],
        target=ct.target.iOS18,
        precision=ct.precision.FLOAT16,
    )
    found = faults_of(path, change)
    assert any(re.search(words, fault.problem) for fault in found), "\n".join(map(str, found))


def test_an_output_described_in_another_shape_is_found(models, faults_of, tmp_path):
    path = tmp_path / "one.mlmodel"
    models[0].save(str(path))

    def change(spec):
        spec.description.output[0].type.multiArrayType.shape[:] = [1, 4]

    (fault,) = faults_of(path, change)
    assert fault.problem == "is described with the shape [1, 4], the network gives [1, 3]"
