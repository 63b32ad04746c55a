from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from converter.errors import SourceError, UnsupportedOpsError
from converter.load import onnx as loader

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(
    nodes: list[onnx.NodeProto] | None = None,
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: list[onnx.ValueInfoProto] | None = None,
    **options: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "net",
        inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    opsets = options.pop("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **options)


def load(path: Path, *, remote: bool = False) -> loader.Graph:
    return loader.load(path, path.name, remote=remote)


def test_a_graph_says_its_inputs_and_outputs_and_answers(tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "net.onnx")
    graph = load(tmp_path / "net.onnx")
    assert graph.inputs == (loader.Value(name="x", dtype="float32", shape=("batch", 2)),)
    assert graph.outputs == (loader.Value(name="y", dtype="float32", shape=("batch", 3)),)
    assert graph.opset == 17
    (found,) = loader.Session(graph, "net.onnx")(torch.ones(1, 2, dtype=torch.float64))
    np.testing.assert_array_equal(found.numpy(), np.ones((1, 2), np.float32) @ WEIGHT)


def test_initializers_among_the_inputs_are_no_inputs(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 2]), ("w", [2, 3]))]
    onnx.save(model(inputs=inputs), tmp_path / "net.onnx")
    assert [v.name for v in load(tmp_path / "net.onnx").inputs] == ["x"]


def external(path: Path, location: str) -> None:
    onnx.save(model(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    content = onnx.load(path, load_external_data=False)
    for entry in content.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(content.SerializeToString())


def test_external_data_beside_the_model_is_read_and_recorded(tmp_path: Path) -> None:
    external(tmp_path / "net.onnx", "w.data")
    graph = load(tmp_path / "net.onnx")
    assert [file.origin for file in graph.files] == ["w.data"]
    assert torch.equal(loader.Session(graph, "")(torch.ones(1, 2))[0], torch.tensor([[3.0, 5.0, 7.0]]))


@pytest.mark.parametrize("location", ["../w.data", "/etc/hostname", "sub/../../w.data", "link.data", ""])
def test_external_data_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.data").write_bytes(WEIGHT.tobytes())
    (folder / "sub").mkdir()
    (folder / "link.data").symlink_to(tmp_path / "w.data")
    external(folder / "net.onnx", location)
    with pytest.raises(SourceError, match="outside its own folder"):
        load(folder / "net.onnx")


def test_external_data_that_is_missing_or_cannot_be_fetched_is_said(tmp_path: Path) -> None:
    external(tmp_path / "net.onnx", "w.data")
    with pytest.raises(SourceError, match=r"keeps weights in other files \(w\.data\), which are not fetched"):
        load(tmp_path / "net.onnx", remote=True)
    (tmp_path / "w.data").unlink()
    with pytest.raises(SourceError, match=r"keeps weights in w\.data, which is missing"):
        load(tmp_path / "net.onnx")


def test_external_data_of_an_attribute_in_a_subgraph_is_seen_too(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(WEIGHT, "c")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    constant = helper.make_node("Constant", [], ["z"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    net = model([node], [helper.make_tensor_value_info("c", TensorProto.BOOL, [])])
    (tmp_path / "net.onnx").write_bytes(net.SerializeToString())
    with pytest.raises(SourceError, match="outside its own folder"):
        load(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: b"", "is not an ONNX model: it holds no graph"),
        (lambda _: b"<html>not found</html>", "is not a readable ONNX file"),
        (lambda content: content[: len(content) // 2], "is not a readable ONNX file"),
        (lambda content: content.replace(b"MatMul", b"MatMuk"), "not of the ONNX standard"),
    ],
)
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], words: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(damage(model().SerializeToString()))
    with pytest.raises((SourceError, UnsupportedOpsError), match=words):
        load(tmp_path / "net.onnx")


def value(name: str, kind: int, shape: Any = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (model([helper.make_node("MatMul", ["x", "nowhere"], ["y"], name="product")]), "breaks the ONNX standard"),
        (
            model([helper.make_node("Constant", [], ["y"], value_float=1.0)], outputs=[value("y", 1, [])]),
            "has no inputs",
        ),
        (
            model([helper.make_node("Identity", ["x"], ["y"])], [value("x", TensorProto.STRING, [1])]),
            "x of net.onnx holds strings",
        ),
        (
            model(
                [helper.make_node("SequenceConstruct", ["x"], ["y"])],
                outputs=[helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
            ),
            "y of net.onnx is sequence, not a tensor",
        ),
    ],
)
def test_a_graph_that_core_ml_could_not_take_is_refused(net: onnx.ModelProto, words: str, tmp_path: Path) -> None:
    if words == "has no inputs":
        del net.graph.input[:]
    (tmp_path / "net.onnx").write_bytes(net.SerializeToString())
    with pytest.raises(SourceError, match=words):
        load(tmp_path / "net.onnx")


def test_all_nodes_of_no_standard_are_named_where_onnxruntime_stops_at_the_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Blur", ["x"], ["a"], name="/one", domain="com.example"),
        helper.make_node("Relu", ["a"], ["b"], name="/relu"),
        helper.make_node("Sharpen", ["b"], ["y"], domain="com.example"),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 3)]
    onnx.save(model(nodes, opset_imports=opsets), tmp_path / "net.onnx")
    with pytest.raises(UnsupportedOpsError) as caught:
        loader.Session(load(tmp_path / "net.onnx"), "net.onnx")
    assert 'node "/one" (Blur, com.example opset 3)' in caught.value.problem
    assert 'node "output y" (Sharpen, com.example opset 3)' in caught.value.problem
    assert "2 nodes" in caught.value.problem
    assert "relu" not in caught.value.problem
