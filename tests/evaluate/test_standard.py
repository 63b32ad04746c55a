"""Everything that Core ML's messages can say of a model's kind and features is run or refused by its name."""

import pytest

from converter.errors import EvaluationError
from converter.evaluate import load_model
from converter.evaluate.pipeline import KINDS as PIPELINES
from converter.evaluate.proto import FeatureTypes_pb2, Model_pb2

KINDS = [field.name for field in Model_pb2.Model.DESCRIPTOR.oneofs_by_name["Type"].fields]
RUN = {"mlProgram", "neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor", "nonMaximumSuppression"}
RUN |= set(PIPELINES)

FEATURES = [field.name for field in FeatureTypes_pb2.FeatureType.DESCRIPTOR.oneofs_by_name["Type"].fields]
# As inputs of networks and programs; the model kinds that take the others are refused.
ACCEPTED = {"int64Type", "doubleType", "imageType", "multiArrayType", "stateType"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in RUN])
def test_other_kinds_of_models_are_refused_by_name(kind, tmp_path):
    spec = Model_pb2.Model(specificationVersion=4)
    getattr(spec, kind).SetInParent()
    (tmp_path / "m.mlmodel").write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError, match=f"a model of type {kind} cannot be evaluated"):
        load_model(tmp_path / "m.mlmodel")


def test_there_is_no_kind_that_core_ml_does_not_know():
    assert set(KINDS) >= RUN


def network(feature):
    """y = x, where x is the given feature."""
    spec = Model_pb2.Model(specificationVersion=5)
    spec.description.input.add(name="x").type.CopyFrom(feature)
    spec.description.output.add(name="y").type.multiArrayType.SetInParent()
    spec.neuralNetwork.arrayInputShapeMapping = 1
    spec.neuralNetwork.imageInputShapeMapping = 1
    layer = spec.neuralNetwork.layers.add(name="copy", input=["x"], output=["y"])
    layer.copy.SetInParent()
    return spec


@pytest.mark.parametrize("kind", [kind for kind in FEATURES if kind not in ACCEPTED])
def test_features_of_other_types_are_refused_by_name(kind, tmp_path):
    feature = FeatureTypes_pb2.FeatureType()
    getattr(feature, kind).SetInParent()
    (tmp_path / "m.mlmodel").write_bytes(network(feature).SerializeToString())
    with pytest.raises(EvaluationError, match=f"the input 'x' is of type {kind}, which cannot be evaluated"):
        load_model(tmp_path / "m.mlmodel").predict({"x": {"a": 1.0}})


@pytest.mark.parametrize("name", FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.keys())
def test_every_array_type_is_accepted_but_the_invalid_one(name, tmp_path):
    feature = FeatureTypes_pb2.FeatureType()
    feature.multiArrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Value(name)
    (tmp_path / "m.mlmodel").write_bytes(network(feature).SerializeToString())
    model = load_model(tmp_path / "m.mlmodel")
    if name == "INVALID_ARRAY_DATA_TYPE":
        with pytest.raises(EvaluationError, match="has the data type INVALID_ARRAY_DATA_TYPE"):
            model.predict({"x": [1, 2]})
    else:
        assert model.predict({"x": [1, 2]})["y"].tolist() == [1, 2]


MODES = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}


@pytest.mark.parametrize("name", FeatureTypes_pb2.ImageFeatureType.ColorSpace.keys())
def test_every_colour_space_is_accepted_but_the_invalid_one(name, tmp_path, china):
    feature = FeatureTypes_pb2.FeatureType()
    feature.imageType.colorSpace = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Value(name)
    feature.imageType.width, feature.imageType.height = 32, 24
    (tmp_path / "m.mlmodel").write_bytes(network(feature).SerializeToString())
    model = load_model(tmp_path / "m.mlmodel")
    if name not in MODES:
        with pytest.raises(EvaluationError, match="colour space INVALID_COLOR_SPACE"):
            model.predict({"x": china})
    else:
        channels = 3 if MODES[name] == "RGB" else 1
        assert model.predict({"x": china.convert(MODES[name])})["y"].shape == (1, channels, 24, 32)
