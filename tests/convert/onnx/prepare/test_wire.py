"""Files read without their weights, held to onnx.load."""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from converter.convert.onnx import mapped
from converter.convert.onnx.prepare import wire
from converter.convert.onnx.prepare.protos import initializers

R = np.random.default_rng(0)
WEIGHTS = {
    "large": R.standard_normal((64, 100)).astype(np.float32),
    "half": R.standard_normal((3, 5000)).astype(np.float16),
    "int8": R.integers(-128, 128, (200, 100)).astype(np.int8),
    "int64": R.integers(-9, 9, 4000),
    "small": np.arange(3, dtype=np.float32),
    "flat": np.float32(1.5),
}


@pytest.fixture
def file(tmp_path):
    """A model with a subgraph, a large weight given as floats and one of 4 bits, beside WEIGHTS."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["large"], ["inner"])], "then", [], [helper.make_empty_tensor_value_info("inner")]
    )
    nodes = [
        helper.make_node("If", ["c"], ["i"], then_branch=inner, else_branch=inner),
        helper.make_node("MatMul", ["x", "large"], ["y"]),
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(WEIGHTS["large"])),
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in WEIGHTS.items()]
    constants.append(helper.make_tensor("floats", TensorProto.FLOAT, (5000,), np.arange(5000.0)))
    constants.append(helper.make_tensor("nibbles", TensorProto.INT4, (40000,), [1, -2] * 20000))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 64))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 100))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], producer_name="a test")
    helper.set_model_props(model, {"key": "value"})
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_everything_but_large_raw_weights_is_as_onnx_reads_it(file):
    model, weights = wire.read(file)
    assert set(weights) == {"large", "half", "int8", "int64"}
    whole = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            assert not tensor.HasField("raw_data")
            tensor.raw_data = weights[tensor.name].tobytes()
    assert model == whole


def test_weights_are_the_files_own_numbers(file):
    model, weights = wire.read(file)
    wanted = initializers(onnx.load(file).graph)
    found = initializers(model.graph, weights)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert not found["large"].flags.writeable


def test_a_file_that_is_damaged_is_refused_or_read_and_nothing_else(file, tmp_path):
    """Whatever protobuf refuses is refused; no other exception leaves, and no weight is larger than the file."""
    content, chance = file.read_bytes(), random.Random(0)
    refused = 0
    for number in range(300):
        damaged = bytearray(content[: chance.randrange(1, len(content))] if number % 3 == 0 else content)
        for _ in range(number % 4):
            damaged[chance.randrange(min(len(damaged), 900))] = chance.randrange(256)
        (tmp_path / "d.onnx").write_bytes(damaged)
        try:
            _, weights = wire.read(tmp_path / "d.onnx")
        except DecodeError:
            refused += 1
        else:
            assert sum(value.nbytes for value in weights.values()) <= len(damaged)
    assert 50 < refused < 300


def test_a_weight_shorter_than_its_shape_is_left_to_onnx(tmp_path):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[100, 100], raw_data=bytes(39_996))
    model = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert wire.read(tmp_path / "m.onnx") == (model, {})


@pytest.fixture
def beside(tmp_path):
    """A model whose weights are in a file beside it, with padding between them."""
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in WEIGHTS.items()]
    graph = helper.make_graph([], "g", [], [], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def test_large_weights_beside_the_file_are_mapped_too(beside):
    model, _ = wire.read(beside)
    weights = wire.external(model, beside.parent)
    assert set(weights) == {"large", "half", "int8", "int64"}
    for name, value in weights.items():
        assert value.dtype == WEIGHTS[name].dtype
        assert not value.flags.writeable
        np.testing.assert_array_equal(value, WEIGHTS[name])
    left = {tensor.name for tensor in model.graph.initializer if tensor.external_data}
    assert left == {"small", "flat"}


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../m.data"},
        {"location": "link.data"},
        {"location": "gone.data"},
        {"offset": str(1 << 40)},
        {"offset": "-1"},
        {"length": "12"},
    ],
)
def test_what_is_not_plainly_in_such_a_file_is_left_to_onnx(beside, entries):
    (beside.parent / "link.data").symlink_to("m.data")
    model, _ = wire.read(beside)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)
    before = onnx.ModelProto.FromString(model.SerializeToString())
    assert wire.external(model, beside.parent) == {}
    assert model == before


def test_a_weight_given_back_is_read_again(tmp_path):
    path = tmp_path / "weights"
    numbers = R.standard_normal(1 << 21).astype(np.float32)
    path.write_bytes(b"odd" + numbers.tobytes())
    value = mapped.array(mapped.mapped(path), np.dtype(np.float32), (1 << 10, 1 << 11), 3)
    before = file_memory()
    total = value.sum()
    assert file_memory() - before > 0.9 * value.nbytes
    mapped.give_back(value)
    assert file_memory() - before < 0.1 * value.nbytes
    assert value.sum() == total
    mapped.give_back(numbers)  # lies in no file: stays as it is
    np.testing.assert_array_equal(value.reshape(-1), numbers)


def file_memory():
    """Bytes of mapped files that are in this process's memory: proc(5), RssFile."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssFile")))
