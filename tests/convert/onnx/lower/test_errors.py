"""What cannot be converted is said: what, where, and the way out."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converter.convert.onnx.lower import interface_of, lower
from converter.convert.onnx.prepare import prepare
from converter.errors import ConversionError, SourceError, UnsupportedOpsError
from converter.model import Interface, Output, Target, TensorInput

TARGET = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")
FLOAT = TensorProto.FLOAT


def model_of(*nodes, inputs=(("x", FLOAT, [2, 3]),), outputs=("y",), opset=17, constants=(), domains=()):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*given) for given in inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def node(op, inputs, outputs, name="", **attributes):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def refusal(model, *, interface=None, target=TARGET):
    with pytest.raises((ConversionError, SourceError)) as refused:
        lower(prepare(model, interface=interface), interface=interface, target=target)
    return refused.value


def test_every_node_without_a_lowering_is_named_with_op_opset_and_reason():
    model = model_of(
        node("Trick", ["m"], ["d"], "/head/trick", domain="vendor"),
        node("Relu", ["x"], ["r"]),
        node("Magic", ["r"], ["g"], "/body/magic", domain="vendor"),
        node("Relu", ["g"], ["y"]),
        inputs=(("x", FLOAT, [2, 3]), ("m", FLOAT, [3, 3])),
        outputs=("y", "d"),
        domains=("vendor",),
    )
    error = refusal(model)
    assert isinstance(error, UnsupportedOpsError)
    assert 'node "/head/trick" (vendor.Trick, opset 1): there is no lowering for this op' in str(error)
    assert 'node "/body/magic" (vendor.Magic, opset 1): there is no lowering for this op' in str(error)
    assert "2 nodes" in str(error)


def test_what_only_building_reveals_is_also_collected():
    model = model_of(
        node("Dropout", ["x", "half", "yes"], ["a"], "first"),
        node("Relu", ["a"], ["b"]),
        node("Dropout", ["b", "half", "yes"], ["y"], "second"),
        constants={"half": np.float32(0.5), "yes": True},
    )
    error = refusal(model)
    assert isinstance(error, UnsupportedOpsError)
    assert 'node "first" (Dropout, opset 17): it is in training mode' in str(error)
    assert 'node "second" (Dropout, opset 17): it is in training mode' in str(error)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            model_of(node("Relu", ["x"], ["y"], "n", alpha=0.5)),
            "alpha",
        ),
        (
            model_of(
                node("Reshape", ["x", "s"], ["y"], "n"),
                inputs=(("x", FLOAT, [2, 3]), ("s", TensorProto.INT64, [1])),
            ),
            "parameter 'shape' must be known at conversion",
        ),
        (
            model_of(
                node("BatchNormalization", ["x", *"sbmv"], ["y", "running", "c", "d", "e"], "n"),
                constants=dict.fromkeys("sbmv", np.ones(3, np.float32)), opset=9,
            ),
            'its output "running" is not supported',
        ),
        (
            model_of(
                node("Add", ["x", "c"], ["y"], "n"),
                inputs=(("x", TensorProto.INT64, [1]),), constants={"c": [1 << 40]},
            ),
            "the integer 1099511627776 does not fit",
        ),
        (
            model_of(
                node("Reshape", ["x", "s"], ["r"]),
                node("Softmax", ["r"], ["q"], "n"),
                node("Flatten", ["q"], ["y"]),
                inputs=(("x", FLOAT, [64]),),
                constants={"s": [2] * 6},
            ),
            "rank 6",
        ),
    ],
)  # fmt: skip
def test_a_refused_node_says_why(model, words):
    assert words in str(refusal(model))
    assert "n" in str(refusal(model))


@pytest.mark.parametrize("opset", [5, 99])
def test_an_opset_outside_the_range_is_refused(opset):
    assert f"opset {opset}; 6 to {onnx.defs.onnx_opset_version()}" in str(
        refusal(model_of(node("Relu", ["x"], ["y"]), opset=opset))
    )


def test_a_symbolic_input_is_refused_without_bounds():
    error = refusal(model_of(node("Relu", ["x"], ["y"]), inputs=(("x", FLOAT, ["batch", 3]),)))
    assert 'nothing bounds them: "batch" of "x"' in str(error)


def test_an_interface_gives_a_symbolic_dimension_its_size():
    model = model_of(node("Shape", ["x"], ["s"]), node("Reshape", ["x", "s"], ["y"]), inputs=(("x", FLOAT, ["b", 3]),))
    interface = Interface(inputs=(TensorInput(name="x", shape=(4, 3), dtype="float32"),), outputs=(Output(name="y"),))
    graph = prepare(model, interface=interface)
    assert graph.types["y"].shape == (4, 3)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((TensorInput(name="x", shape=(2, 4), dtype="float32"),), "is 2 x 3, the manifest asks for 2 x 4"),
        ((TensorInput(name="x", shape=(2, 3, 1), dtype="float32"),), "is 2 x 3, the manifest asks for 2 x 3 x 1"),
        ((TensorInput(name="x", shape=(2, 3), dtype="float32"),) * 2, "takes 1 inputs (x), the manifest gives 2"),
    ],
)
def test_an_interface_that_does_not_fit_is_refused(inputs, words):
    model = model_of(node("Relu", ["x"], ["y"]))
    interface = Interface(inputs=inputs, outputs=(Output(name="y"),))
    assert words in str(refusal(model, interface=interface))
    with pytest.raises(ConversionError) as refused:
        lower(prepare(model), interface=interface, target=TARGET)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"not an onnx model", "cannot be read as an ONNX model"), (None, "does not exist")],
)
def test_a_broken_file_is_refused(tmp_path, content, words):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=words):
        prepare(path)


def test_missing_external_data_is_refused(tmp_path):
    model = model_of(node("Add", ["x", "c"], ["y"]), constants={"c": np.ones((2, 3), np.float32)})
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="model.data", size_threshold=0)
    prepare(path)
    (tmp_path / "model.data").unlink()
    with pytest.raises(SourceError, match=r"cannot be read|does not exist"):
        prepare(path)


def test_an_invalid_graph_is_refused():
    assert "not a valid ONNX model" in str(refusal(model_of(node("Relu", ["nowhere"], ["y"]))))


def test_names_become_valid_and_find_their_way_back():
    model = model_of(
        node("Relu", ["in/put.1"], ["out:0"]),
        node("Relu", ["in/put_1"], ["1"]),
        inputs=(("in/put.1", FLOAT, [2]), ("in/put_1", FLOAT, [2])),
        outputs=("out:0", "1"),
    )
    interface, names = interface_of(prepare(model))
    assert [i.name for i in interface.inputs] == ["in_put_1", "in_put_1_2"]
    assert [o.name for o in interface.outputs] == ["out_0", "_1"]
    assert names == {"in_put_1": "in/put.1", "in_put_1_2": "in/put_1", "out_0": "out:0", "_1": "1"}


@pytest.mark.parametrize(
    ("nodes", "given", "words"),
    [
        (
            [node("Constant", [], ["y"], value_floats=[1.0])],
            (),
            "takes no inputs, and a NeuralNetwork takes at least one",
        ),
        (
            [node("GatherND", ["x", "c"], ["y"], batch_dims=1)],
            (("x", FLOAT, [2, 3]),),
            "batch_dims are known from iOS16 on",
        ),
        (
            [node("BitCast", ["x"], ["y"], to=TensorProto.INT32)],
            (("x", TensorProto.UINT32, [2]),),
            "does not hold 32 bits",
        ),
    ],
)
def test_what_a_neural_network_cannot_say_is_refused(nodes, given, words):
    model = model_of(*nodes, inputs=given, constants={"c": np.zeros((2, 1), np.int64)}, opset=26)
    target = Target(format="mlmodel", deployment_target="iOS14", compute_precision="float32")
    with pytest.raises(ConversionError, match=words):
        lower(prepare(model), interface=None, target=target)
