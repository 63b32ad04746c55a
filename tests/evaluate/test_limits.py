"""Small files that ask for much, or for what cannot be: each is refused in words, at once."""

import json
import os
import shutil

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program
from PIL import Image

from converter.errors import EvaluationError
from converter.evaluate import check_file, describe, limits, load_model
from converter.evaluate.proto import Model_pb2

MODEL = "Data/com.apple.CoreML/model.mlmodel"


def network(*layers, inputs=("x",), outputs=("y",)):
    """A NeuralNetwork of (type, inputs, outputs, fields)."""
    spec = Model_pb2.Model(specificationVersion=5)
    spec.neuralNetwork.arrayInputShapeMapping = 1
    for names, features in ((inputs, spec.description.input), (outputs, spec.description.output)):
        for name in names:
            features.add(name=name).type.multiArrayType.dataType = 65568
    for index, (kind, takes, gives, fields) in enumerate(layers):
        layer = spec.neuralNetwork.layers.add(name=f"layer{index}", input=takes, output=gives)
        getattr(layer, kind).SetInParent()
        for name, value in fields.items():
            field = getattr(getattr(layer, kind), name)
            field.extend(value) if isinstance(value, list) else setattr(getattr(layer, kind), name, value)
    return spec


def refused(path, spec=None, inputs=None):
    if spec is not None:
        path = path / "m.mlmodel"
        path.write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError) as caught:
        load_model(path).predict({"x": [1.0, 2.0]} if inputs is None else inputs)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (("fillStatic", [], ["y"], {"targetShape": [2**31, 2**31]}), "layer0"),
        (("fillStatic", [], ["y"], {"targetShape": [2**62, 4]}), "layer0"),
        (("tile", ["x"], ["y"], {"reps": [2**40]}), "layer0"),
        (("constantPad", ["x"], ["y"], {"padAmounts": [2**63 - 1, 2**63 - 1]}), "layer0"),
        (("expandDims", ["x"], ["y"], {"axes": list(range(70))}), "a value of 71 axes cannot be given"),
        (("loopBreak", [], ["y"], {}), "leaves a loop, but stands in none"),
        (("loopContinue", [], ["y"], {}), "leaves a loop, but stands in none"),
        (("loop", [], ["y"], {"maxLoopIterations": 2**63 - 1}), "goes on after 100,000 iterations"),
    ],
)
def test_a_layer_that_asks_for_too_much_is_refused(layer, words, tmp_path):
    assert words in refused(tmp_path, network(layer))


def saved(path, build):
    with Function({"x": mb.placeholder((2,))}, opset_version=ct.target.iOS17) as function:
        function.set_outputs([build(function.inputs["x"])])
    program = Program()
    program.add_function("main", function)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS17,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline([], "as_written"),
        skip_model_load=True,
    )
    model.save(str(path / "m.mlpackage"))
    return path / "m.mlpackage"


def test_a_loop_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LONGEST_LOOP", 1000)

    def build(x):
        return mb.while_loop(
            _cond=lambda a: mb.greater(x=mb.reduce_max(x=a, keep_dims=False), y=0.0),
            _body=lambda a: (mb.identity(x=a),),
            loop_vars=(x,),
        )

    assert "a loop goes on after 1,000 iterations" in refused(saved(tmp_path, build))


def test_a_value_that_is_declared_too_large_is_refused_when_the_file_is_opened(tmp_path):
    path = saved(tmp_path, lambda x: mb.add(x=x, y=1.0, name="y"))
    spec = Model_pb2.Model.FromString((path / MODEL).read_bytes())
    main = spec.mlProgram.functions["main"]
    (add,) = [o for o in main.block_specializations[main.opset].operations if o.type == "add"]
    add.outputs[0].type.tensorType.dimensions[0].constant.size = 2**40
    (path / MODEL).write_bytes(spec.SerializeToString())
    with pytest.raises(EvaluationError, match=r"takes 4,398,046,511,104 bytes; 17,179,869,184 are the most"):
        load_model(path)


def test_a_list_that_grows_without_end_is_refused(tmp_path):
    def build(x):
        items = mb.make_list(init_length=1, dynamic_length=True, elem_shape=(np.int32(2),), dtype="fp32")
        items = mb.list_write(ls=items, index=mb.const(val=np.int32(2**31 - 1)), value=mb.add(x=x, y=1.0))
        return mb.list_read(ls=items, index=0)

    assert f"{limits.LARGEST_BYTES:,} are the most" in refused(saved(tmp_path, build))


def test_a_list_that_begins_too_long_is_refused(tmp_path):
    def build(x):
        length = mb.const(val=np.int32(2**31 - 1))
        items = mb.make_list(init_length=length, dynamic_length=False, elem_shape=(np.int32(2),), dtype="fp32")
        return mb.list_read(ls=mb.list_write(ls=items, index=0, value=x), index=0)

    assert f"{limits.LARGEST_BYTES:,} are the most" in refused(saved(tmp_path, build))


def test_a_pipe_in_place_of_the_weights_is_refused_and_not_waited_for(package):
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    weights.unlink()
    os.mkfifo(weights)
    assert "the weight file cannot be read" in refused(package, inputs={"x": np.zeros((1, 64))})


@pytest.mark.parametrize("text", ["[" * 100_000, json.dumps({"rootModelIdentifier": "a", "itemInfoEntries": "b"})])
def test_a_manifest_of_any_depth_is_refused(text, package):
    (package / "Manifest.json").write_text(text)
    assert "Manifest.json does not say where the model is" in refused(package)


def test_a_number_that_is_no_data_type_is_said_as_a_number(tmp_path):
    spec = network(("copy", ["x"], ["y"], {}))
    spec.description.input[0].type.multiArrayType.dataType = 99
    path = tmp_path / "m.mlmodel"
    path.write_bytes(spec.SerializeToString())
    assert "number 99" in refused(path)
    assert "number 99" in str(describe(path))
    assert any("99" in str(fault) for fault in check_file(path))


def test_a_number_that_is_no_colour_space_is_said_as_a_number(tmp_path):
    spec = network(("copy", ["x"], ["y"], {}))
    for feature in (spec.description.input[0], spec.description.output[0]):
        feature.type.imageType.width = feature.type.imageType.height = 2
        feature.type.imageType.colorSpace = 99
    assert "number 99" in refused(tmp_path, spec, {"x": Image.new("RGB", (2, 2))})
    assert "number 99" in str(describe(tmp_path / "m.mlmodel"))


def test_a_number_that_is_no_data_type_of_a_program_is_said_as_a_number(tmp_path):
    path = saved(tmp_path, lambda x: mb.add(x=x, y=1.0, name="y"))
    spec = Model_pb2.Model.FromString((path / MODEL).read_bytes())
    main = spec.mlProgram.functions["main"]
    (add,) = [o for o in main.block_specializations[main.opset].operations if o.type == "add"]
    add.outputs[0].type.tensorType.dataType = 99
    (path / MODEL).write_bytes(spec.SerializeToString())
    assert describe(path).ops == {"add": {"number 99": 1}}
    assert "99" in refused(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_described_as_a_whole_number_must_be_finite(value, tmp_path):
    spec = network(("copy", ["x"], ["y"], {}))
    spec.description.output[0].type.int64Type.SetInParent()
    assert f"is described as one number, it is {value}" in refused(tmp_path, spec, {"x": [value]})


def test_an_output_that_is_described_as_one_number_must_be_one(tmp_path):
    spec = network(("copy", ["x"], ["y"], {}))
    spec.description.output[0].type.doubleType.SetInParent()
    assert "is described as one number, it is of shape [2]" in refused(tmp_path, spec)


def test_a_list_of_different_shapes_can_be_asked_for(tmp_path):
    def build(x):
        items = mb.make_list(init_length=2, dynamic_length=True, elem_shape=(np.int32(2),), dtype="fp32")
        items = mb.list_write(ls=items, index=0, value=mb.add(x=x, y=1.0), name="items")
        return mb.list_read(ls=items, index=0, name="y")

    path = saved(tmp_path, build)
    spec = Model_pb2.Model.FromString((path / MODEL).read_bytes())
    main = spec.mlProgram.functions["main"]
    operations = {o.outputs[0].name: o for o in main.block_specializations[main.opset].operations}
    (made,) = [o for o in operations.values() if o.type == "make_list"]
    (size,) = made.inputs["elem_shape"].arguments
    operations[size.name].attributes["val"].immediateValue.tensor.ints.values[:] = [3]
    (path / MODEL).write_bytes(spec.SerializeToString())
    items = load_model(path).predict({"x": [1, 2]}, outputs=["items"])["items"]
    assert [item.tolist() for item in items] == [[2, 3], [0, 0, 0]]


def test_a_classifier_without_classes_can_be_described(classifier, tmp_path):
    source, _ = classifier
    if source.is_file():
        spec = Model_pb2.Model.FromString(source.read_bytes())
        spec.neuralNetworkClassifier.ClearField("stringClassLabels")
        (tmp_path / "m.mlmodel").write_bytes(spec.SerializeToString())
        assert describe(tmp_path / "m.mlmodel").labels == 0
        return
    shutil.copytree(source, tmp_path / "m.mlpackage")
    file = tmp_path / "m.mlpackage" / MODEL
    spec = Model_pb2.Model.FromString(file.read_bytes())
    main = spec.mlProgram.functions["main"]
    (classify,) = [o for o in main.block_specializations[main.opset].operations if o.type == "classify"]
    del classify.inputs["classes"].arguments[:]
    file.write_bytes(spec.SerializeToString())
    assert describe(tmp_path / "m.mlpackage").labels == 0
    assert any("one list of classes" in str(fault) for fault in check_file(tmp_path / "m.mlpackage"))


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.0, 3.0]])
def test_a_condition_that_is_not_one_number_is_a_fault(values, tmp_path):
    spec = network(("branch", ["x"], [], {}), ("copy", ["x"], ["y"], {}))
    spec.neuralNetwork.layers[0].branch.ifBranch.SetInParent()
    spec.description.input[0].type.multiArrayType.shape.append(len(values))
    (tmp_path / "m.mlmodel").write_bytes(spec.SerializeToString())
    assert any("one number is needed" in str(fault) for fault in check_file(tmp_path / "m.mlmodel"))
