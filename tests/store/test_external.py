"""Where an ONNX file keeps its weights, held to what onnx itself wrote."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from converter.store.external import external_files


def tensor(name, location=None):
    made = numpy_helper.from_array(np.zeros(8, np.float32), name)
    if location:
        set_external_data(made, location, offset=0, length=32)
        made.ClearField("raw_data")
    return made


def value(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [8])


def save(tmp_path, nodes, initializers, functions=()):
    graph = helper.make_graph(nodes, "net", [value("x")], [value("y")], initializers)
    model = helper.make_model(graph, functions=functions)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


ADD = helper.make_node("Add", ["x", "w"], ["y"])
BRANCH = helper.make_graph([], "branch", [], [value("w")], [tensor("w", "in/branch.bin")])


def function():
    constant = helper.make_node("Constant", [], ["c"], value=tensor("c", "function.bin"))
    return helper.make_function("own", "F", ["x"], ["c"], [constant], [helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("nodes", "initializers", "functions", "expected"),
    [
        ([ADD], [tensor("w")], (), []),
        ([ADD], [tensor("w", "w.bin"), tensor("v", "w.bin"), tensor("u", "u.bin")], (), ["u.bin", "w.bin"]),
        ([helper.make_node("Constant", [], ["y"], value=tensor("c", "c.bin"))], [], (), ["c.bin"]),
        ([helper.make_node("If", ["x"], ["y"], then_branch=BRANCH, else_branch=BRANCH)], [], (), ["in/branch.bin"]),
        ([ADD], [], (function(),), ["function.bin"]),
        ([helper.make_node("location", ["x"], ["y"])], [], (), []),
    ],
    ids=["none", "initializers", "attribute", "subgraph", "function", "the word alone"],
)
def test_every_place_of_a_tensor_is_seen(tmp_path, nodes, initializers, functions, expected):
    assert external_files(save(tmp_path, nodes, initializers, functions)) == expected


def test_weights_that_onnx_moved_out_are_seen(tmp_path):
    graph = helper.make_graph([ADD], "net", [value("x")], [value("y")], [tensor("w")])
    onnx.save(
        helper.make_model(graph),
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="moved.bin",
        size_threshold=0,
    )
    assert external_files(tmp_path / "net.onnx") == ["moved.bin"]


def test_the_numbers_are_those_of_the_standard():
    from onnx import onnx_ml_pb2

    from converter.store.external import _WAYS

    names = {kind: f"{kind}Proto" for kind in _WAYS} | {"Entry": "StringStringEntryProto"}
    leading = {names[kind] for kind in _WAYS} - {"StringStringEntryProto"}
    for kind, ways in _WAYS.items():
        fields = getattr(onnx_ml_pb2, names[kind]).DESCRIPTOR.fields
        known = {
            field.number: field.message_type.name
            for field in fields
            if field.message_type and (field.message_type.name in leading or field.name == "external_data")
        }
        assert known == {number: names[to] for number, to in ways.items()}, kind


@pytest.mark.parametrize(
    "content", [b"location", b"location" * 100, b"\xff" * 64 + b"location", b"\x3a\xff\x7flocation"]
)
def test_of_a_file_that_is_no_onnx_file_its_own_bytes_are_all_that_counts(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    assert external_files(tmp_path / "net.onnx") == []
