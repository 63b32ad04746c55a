"""Elements chosen by what they are, padded, repeated, joined and retyped; held to onnxruntime or ONNX's reference."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from converter.errors import UnsupportedOpsError

R = np.random.default_rng(23)


def run_time(array):
    return {"input": np.asarray(array)}


def filled(dtype, *shape):
    return (R.random(shape) < 0.5) if dtype == "bool" else R.integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("is_sorted", [0, 1])
def test_unique_elements_and_slices(dtype, axis, is_sorted, held):
    x = R.integers(-1, 2, (3, 4, 2)).astype(dtype)
    x[:, 2] = x[:, 0]
    attributes = {"sorted": is_sorted} | ({} if axis is None else {"axis": axis})
    held(("Unique", 11, [run_time(x)], attributes, 4))


@pytest.mark.parametrize("axis", [None, 1])
def test_unique_truth_values(axis, held):
    held(
        ("Unique", 11, [run_time(filled("bool", 2, 7))], {} if axis is None else {"axis": axis}, 4), oracle="reference"
    )


def test_unique_of_very_many_is_refused(held):
    with pytest.raises(UnsupportedOpsError, match="too many at once"):
        held(("Unique", 11, [(5000,)], {}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("axis", "condition"), [(None, [1, 0, 0, 1, 1]), (0, [0, 1]), (-1, [1, 0, 1, 1])])
@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_elements_are_kept_by_a_condition(dtype, axis, condition, known, held):
    condition = np.array(condition, bool)
    operands = [run_time(filled(dtype, 3, 2, 4)), condition if known else run_time(condition)]
    held(("Compress", 11, operands, {} if axis is None else {"axis": axis}), oracle="reference")


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_places_that_are_not_zero(dtype, held):
    held(("NonZero", 13, [run_time(filled(dtype, 3, 4, 2) * (R.random((3, 4, 2)) < 0.5))], {}))


@pytest.mark.parametrize("lengths", [[1, 3, 4], [4, 0, 2]])
@pytest.mark.parametrize("known", [True, False])
def test_sequences_are_reversed(lengths, known, held):
    lengths = np.array(lengths)
    given = lengths if known else run_time(lengths)
    held(("ReverseSequence", 10, [(4, 3, 2), given], {}), oracle="reference")
    held(("ReverseSequence", 10, [(3, 4, 2), given], {"batch_axis": 0, "time_axis": 1}), oracle="reference")


PADS = [(0, 1, 2, 0, 0, 1, 1, 0), (0, 0, 1, 2, 0, 0, 2, 1), (1, 0, 0, 1, 0, 0, 0, 3)]


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", PADS)
def test_pads_of_every_mode_and_type(pads, mode, dtype, held):
    data = run_time(filled(dtype, 3, 4, 5, 6))
    held(("Pad", 19, [data, np.array(pads)], {"mode": mode}), oracle="reference")


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("known", [True, False])
def test_pads_of_a_given_value(dtype, known, held):
    value = np.array([123456789 if dtype != "float32" else -np.inf], dtype)
    data = run_time(filled(dtype, 2, 3))
    held(
        ("Pad", 18, [data, np.array([1, 2]), value if known else run_time(value), np.array([1])], {}),
        oracle="reference",
    )
    held(("Pad", 18, [data, np.array([-1, 2]), value if known else run_time(value), np.array([-1])], {}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("values", [np.array([0.1, 0.7], np.float32), np.array([5, -2]), np.array([0, 1], np.float32)])
def test_one_is_hot(values, axis, known, held):
    indices = run_time(np.array([[0, -1, 5], [2, 3, -7]]))
    held(("OneHot", 11, [indices, np.array(4), values if known else run_time(values)], {"axis": axis}))


@pytest.mark.parametrize("given", ["float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("wanted", ["float32", "int64", "uint8", "int8", "int16", "bool"])
def test_types_become_each_other(given, wanted, held):
    number = {"float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int64": 7, "bool": 9}[wanted]
    x = {"float32": np.array([-2.7, -0.5, 0, 0.5, 2.7, 100]), "int32": np.array([-70000, -129, 0, 1, 255, 40000])}
    x = x.get(given, np.array([0, 1, 1, 0, 200]))
    x = x if given != "float32" or wanted not in ("uint8",) else np.abs(x)
    held(("Cast", 13, [run_time(x.astype(given))], {"to": number}))
    like = np.zeros(1, wanted)
    held(("CastLike", 15, [run_time(x.astype(given)), run_time(like)], {}), oracle="reference")


def test_tensors_of_rank_6_are_repeated_and_joined(answer):
    """As upsampling is written by reshape and expand; torch's layout, numpy's answer."""
    x = R.uniform(-1, 1, (2, 3, 4, 5)).astype(np.float32)
    constants = {"six": [2, 3, 4, 1, 5, 1], "wide": [2, 3, 4, 2, 5, 3], "four": [2, 3, 16, 15], "twice": [1] * 5 + [2]}
    nodes = [
        helper.make_node("Reshape", ["x", "six"], ["a"]),
        helper.make_node("Expand", ["a", "wide"], ["b"]),
        helper.make_node("Concat", ["b", "b"], ["c"], axis=3),
        helper.make_node("Reshape", ["c", "four"], ["y"]),
        helper.make_node("Tile", ["a", "twice"], ["t"]),
        helper.make_node("ReduceSum", ["t", "axes"], ["z"], keepdims=0),
    ]
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in (constants | {"axes": [1, 5]}).items()]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)]
    outputs = [onnx.ValueInfoProto(name=name) for name in "yz"]
    graph = helper.make_graph(nodes, "case", inputs, outputs, tensors)
    got = answer(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), {"x": x})
    wide = np.broadcast_to(x[:, :, :, None, :, None], (2, 3, 4, 2, 5, 3))
    np.testing.assert_array_equal(got[0], np.concatenate([wide, wide], 3).reshape(2, 3, 16, 15))
    np.testing.assert_allclose(got[1], 2 * x.sum(1)[:, :, None], rtol=1e-5, atol=1e-6)


def test_pieces_without_elements_are_joined_and_given_to_nobody(held):
    with pytest.raises(Exception, match="without elements"):
        held(("Split", 18, [(3, 4), np.array([0, 4])], {"axis": 1}, 2))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_depth_of_integers_becomes_space(mode, dtype, held):
    x = {"input": np.arange(2 * 12 * 3 * 2).reshape(2, 12, 3, 2).astype(dtype)}
    held(("DepthToSpace", 13, [x], {"blocksize": 2, "mode": mode}), oracle="reference")
