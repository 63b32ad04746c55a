"""Flexible dimensions: bounded by arguments, followed through shape arithmetic, right at the corners and between."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import converter
from converter import Range
from converter.convert.onnx.lower import interface_of
from converter.convert.onnx.prepare import prepare
from converter.errors import ConversionError

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
SIZES = ({"b": 1, "n": 1}, {"b": 2, "n": 7}, {"b": 3, "n": 16}, {"b": 1, "n": 16})
BOUNDS = {"b": Range(1, 3), "n": Range(1, 16)}


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=f"/{outputs[0]}", **attributes)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def number(name, value):
    return numpy_helper.from_array(np.array(value), name)


def model_of(*nodes, shape=("b", "n", 6), constants=(), outputs=("y",), element=FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


SHAPE = [node("Shape", ["x"], ["shape"])]
BATCH = [*SHAPE, node("Gather", ["shape", "zero"], ["batch"])]
LENGTH = [*SHAPE, node("Gather", ["shape", "one"], ["length"])]
SCALARS = [number("zero", np.int64(0)), number("one", np.int64(1)), number("two", np.int64(2))]


def joined(*parts):
    """A shape of parts, the names of scalars or vectors."""
    scalars = [p for p in parts if p in ("batch", "length")]
    nodes = [node("Unsqueeze", [p, "axis0"], [f"{p}_1"]) for p in dict.fromkeys(scalars)]
    return [*nodes, node("Concat", [f"{p}_1" if p in scalars else p for p in parts], ["target"], axis=0)]


RESHAPE, EXPAND = node("Reshape", ["x", "target"], ["y"]), node("Expand", ["x", "target"], ["y"])
AXIS0, AXIS1 = ints("axis0", 0), ints("axis1", 1)
# Name: nodes, constants and options of a model of x [b, n, 6].
GRAPHS = {
    "split heads": ([*BATCH, *LENGTH[1:], *joined("batch", "length", "heads"), RESHAPE], [ints("heads", 2, 3)]),
    "split heads, one inferred": ([*BATCH, *joined("batch", "heads"), RESHAPE], [ints("heads", -1, 2, 3)]),
    "two sizes that change places": (
        [*BATCH, *LENGTH[1:], *joined("length", "batch", "rest"), RESHAPE],
        [ints("rest", 6)],
    ),
    "batch times length": (
        [
            *BATCH,
            *LENGTH[1:],
            node("Mul", ["batch", "length"], ["rows"]),
            node("Unsqueeze", ["rows", "axis0"], ["rows_1"]),
            node("Concat", ["rows_1", "rest"], ["target"], axis=0),
            RESHAPE,
        ],
        [ints("rest", 6)],
    ),
    "the half of what is known": (
        [
            *SHAPE,
            node("Gather", ["shape", "two"], ["width"]),
            node("Div", ["width", "two"], ["half"]),
            node("Unsqueeze", ["half", "axis0"], ["half_1"]),
            node("Concat", ["minus", "half_1"], ["target"], axis=0),
            RESHAPE,
        ],
        [ints("minus", -1)],
    ),
    "zeros keep": ([node("Reshape", ["x", "target"], ["y"])], [ints("target", 0, 0, 3, 2)]),
    "expand as exporters write it": (
        [
            *LENGTH,
            node("Reshape", ["x", "flat"], ["r"]),
            node("ReduceMean", ["r"], ["m"], axes=[0], keepdims=1),
            *joined("length", "rest"),
            node("Shape", ["target"], ["count"]),
            node("ConstantOfShape", ["count"], ["ones"], value=ints("v", 1)),
            node("Mul", ["ones", "minus"], ["minuses"]),
            node("Equal", ["target", "minuses"], ["open"]),
            node("Where", ["open", "ones", "target"], ["wide"]),
            node("Expand", ["m", "wide"], ["y"]),
        ],
        [ints("flat", -1, 6), ints("rest", -1), number("minus", np.int64(-1))],
    ),
    "expand to its own shape": ([*SHAPE, node("Expand", ["x", "shape"], ["y"])], []),
    "positions up to the length": (
        [
            *LENGTH,
            node("Range", ["zero", "length", "one"], ["places"]),
            node("Cast", ["places"], ["p"], to=FLOAT),
            node("Unsqueeze", ["p", "axis1"], ["column"]),
            node("Add", ["x", "column"], ["y"]),
        ],
        [],
    ),
    "a table cut to the length": (
        [
            *LENGTH,
            node("Unsqueeze", ["length", "axis0"], ["end"]),
            node("Slice", ["table", "axis0", "end"], ["cut"]),
            node("Add", ["x", "cut"], ["y"]),
        ],
        [number("table", np.arange(96, dtype=np.float32).reshape(16, 6))],
    ),
    "a causal mask": (
        [
            *LENGTH,
            node("Unsqueeze", ["length", "axis0"], ["n1"]),
            node("Concat", ["n1", "n1"], ["square"], axis=0),
            node("ConstantOfShape", ["square"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
            node("Trilu", ["ones"], ["mask"], upper=0),
            node("MatMul", ["mask", "x"], ["y"]),
        ],
        [],
    ),
    "the last of each": ([node("Gather", ["x", "last"], ["y"], axis=1)], [number("last", np.int64(-1))]),
    "first and last of each": ([node("Gather", ["x", "ends"], ["y"], axis=1)], [ints("ends", 0, -1)]),
    "the last five, if there are as many": (
        [node("Slice", ["x", "five", "axis1e", "axis1"], ["y"])],
        [ints("five", -5), ints("axis1e", 1 << 62)],
    ),
    "up to four of each": ([node("Slice", ["x", "axis0", "four", "axis1"], ["y"])], [ints("four", 4)]),
    "backwards": (
        [node("Slice", ["x", "minus", "begin", "axis1", "minus"], ["y"])],
        [ints("minus", -1), ints("begin", -(1 << 62))],
    ),
    "a window's size": (
        [
            node("Pad", ["x", "pads"], ["wide"]),
            node("Transpose", ["wide"], ["t"], perm=[0, 2, 1]),
            node("AveragePool", ["t"], ["p"], kernel_shape=[3], strides=[2]),
            node("Shape", ["p"], ["s"]),
            node("Reshape", ["p", "s"], ["y"]),
        ],
        [ints("pads", 0, 2, 0, 0, 2, 0)],
    ),
    "a choice": (
        [node("Greater", ["x", "limit"], ["c"]), node("Where", ["c", "limit", "x"], ["y"])],
        [number("limit", np.float32(0.5))],
    ),
    "flattened": ([node("Flatten", ["x"], ["y"], axis=2)], []),
    "how many elements": (
        [
            node("Size", ["x"], ["count"]),
            node("Cast", ["count"], ["c"], to=FLOAT),
            node("Div", ["x", "c"], ["y"]),
        ],
        [],
    ),
    "a branch that the length chooses": (
        [
            *LENGTH,
            node("Greater", ["length", "seven"], ["long"]),
            node(
                "If",
                ["long"],
                ["y"],
                **{
                    f"{name}_branch": helper.make_graph(
                        [node(op, ["x"], [name])], name, [], [helper.make_tensor_value_info(name, FLOAT, None)]
                    )
                    for name, op in (("then", "Relu"), ("else", "Neg"))
                },
            ),
        ],
        [number("seven", np.int64(7))],
    ),
    "places by coordinates": (
        [node("GatherND", ["x", "places"], ["y"])],
        [number("places", np.array([[-1, 0, 5], [0, -1, 2]]))],
    ),
    "the last of the largest": (
        [
            node("Greater", ["x", "zero_1"], ["c"]),
            node("Cast", ["c"], ["f"], to=FLOAT),
            node("ArgMax", ["f"], ["place"], axis=1, select_last_index=1),
            node("Cast", ["place"], ["y"], to=FLOAT),
        ],
        [number("zero_1", np.float32(0))],
    ),
    "the shape itself": ([*SHAPE, node("Cast", ["shape"], ["y"], to=FLOAT)], []),
}


def answers(model, path, sizes, **options):
    """Pairs of Core ML's and onnxruntime's answer at each of the sizes."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    saved = converter.load_model(converter.convert_onnx(model, path, compute_precision="float32", **options))
    for chosen in sizes:
        random = np.random.default_rng(0)
        shape = [chosen.get(dim.dim_param, dim.dim_value) for dim in model.graph.input[0].type.tensor_type.shape.dim]
        x = random.standard_normal(shape).astype(np.float32)
        (answer,) = saved.predict({"x": x}).values()
        yield answer, session.run(None, {"x": x})[0]


@pytest.mark.parametrize("name", GRAPHS)
def test_shape_arithmetic_is_right_at_every_size(name, tmp_path):
    nodes, constants = GRAPHS[name]
    model = model_of(*nodes, constants=[*SCALARS, AXIS0, AXIS1, *constants])
    for answer, wanted in answers(model, tmp_path / "net.mlpackage", SIZES, shapes=BOUNDS):
        assert answer.shape == wanted.shape
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_before_opset_13_rows_of_flexible_axes_are_one(op, axis, tmp_path):
    model = model_of(node(op, ["x"], ["y"], axis=axis))
    model.opset_import[0].version = 11
    for answer, wanted in answers(model, tmp_path / "net.mlpackage", SIZES, shapes=BOUNDS):
        np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-6)


def test_a_reshape_keeps_what_is_known_and_leaves_one_size_open():
    nodes, constants = GRAPHS["split heads"]
    graph = prepare(model_of(*nodes, constants=[*SCALARS, AXIS0, AXIS1, *constants]))
    (reshape,) = graph.nodes
    assert reshape.op_type == "Reshape"
    assert graph.constants[reshape.inputs[1]].tolist() == [0, 0, 2, 3]
    assert graph.types["y"].shape == ("b", "n", 2, 3)


def test_a_size_that_cancels_out_is_a_constant():
    nodes = [*LENGTH, node("Sub", ["length", "length"], ["nothing"]), node("Unsqueeze", ["nothing", "axis0"], ["s"]),
             node("Add", ["s", "six"], ["t"]), node("Concat", ["minus", "t"], ["target"], axis=0), RESHAPE]  # fmt: skip
    graph = prepare(model_of(*nodes, constants=[*SCALARS, AXIS0, ints("six", 6), ints("minus", -1)]))
    assert [n.op_type for n in graph.nodes] == ["Reshape"]
    assert graph.types["y"].shape == ("b*n", 6)


@pytest.mark.parametrize(
    ("shapes", "sizes"),
    [
        ({"b": 2, "n": 5}, [{"b": 2, "n": 5}]),
        ({"b": np.int64(2), "n": np.int32(5)}, [{"b": 2, "n": 5}]),
        ({"x": (2, Range(3, 9), 6)}, [{"b": 2, "n": 3}, {"b": 2, "n": 9}]),
        ({"x": [(1, 4, 6), (2, 8, 6)]}, [{"b": 1, "n": 4}, {"b": 2, "n": 8}]),
        ({"b": 1, "n": Range(2, 9, default=4)}, [{"b": 1, "n": 2}, {"b": 1, "n": 9}]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"deployment_target": "iOS18"}])
def test_shapes_are_given_by_input_or_by_dimension(shapes, sizes, options, tmp_path):
    nodes, constants = GRAPHS["split heads"]
    model = model_of(*nodes, constants=[*SCALARS, AXIS0, AXIS1, *constants])
    for answer, wanted in answers(model, tmp_path / "net.mlpackage", sizes, shapes=shapes, **options):
        np.testing.assert_array_equal(answer, wanted)


def test_a_size_outside_the_bounds_is_refused(tmp_path):
    model = model_of(node("Relu", ["x"], ["y"]))
    saved = converter.load_model(converter.convert_onnx(model, tmp_path / "net.mlpackage", shapes=BOUNDS))
    with pytest.raises(converter.errors.ConverterError):
        saved.predict({"x": np.zeros((1, 17, 6), np.float32)})


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({}, 'nothing bounds them: "b" of "x", "n" of "x"'),
        ({"n": Range(1, 9)}, 'nothing bounds them: "b" of "x"'),
        ({"b": 1, "m": 2}, '"m" is given as a dimension, and the model has none of that name'),
        ({"z": (1, 2, 6)}, '"z" is given as an input, and the model has none of that name: the model\'s inputs are x'),
        ({"x": (1, 2, 7)}, 'input "x" is b x n x 6, and shapes gives it 1 x 2 x 7'),
        ({"x": (1, 2)}, 'input "x" is b x n x 6, and shapes gives it 1 x 2'),
        ({"x": [(1, 2, 6), (1, 2, 5)]}, "and shapes gives it 1 x 2 x 5"),
        ({"b": 1, "n": Range(9, 3)}, '"n": Range(lower=9, upper=3, default=9) is no range of sizes'),
        ({"b": 0, "n": 3}, '"b": a size of 0'),
        ({"b": 1, "n": "3"}, "\"n\": '3' is no size, no Range and no list of them"),
        ({"b": 1, "n": 3.0}, '"n": 3.0 is no size'),
        ({"b": True, "n": 3}, '"b": True is no size'),
        ({"x": (1, None, 6)}, '"x": (1, None, 6) is no size'),
    ],
)
def test_wrong_shapes_are_refused_in_words(shapes, words):
    with pytest.raises(ConversionError) as refused:
        interface_of(prepare(model_of(node("Relu", ["x"], ["y"]))), shapes)
    assert words in str(refused.value)


def test_all_that_is_wrong_with_shapes_is_said_at_once():
    with pytest.raises(ConversionError) as refused:
        interface_of(prepare(model_of(node("Relu", ["x"], ["y"]))), {"b": 0, "k": 3})
    for words in ('"b": a size of 0', '"k" is given', '"n" of "x"'):
        assert words in str(refused.value)


SUM = [
    node("Mul", ["x", "big"], ["large"]),
    node("ReduceSum", ["large", "axes"], ["sum"]),
    node("Div", ["sum", "big"], ["y"]),
]
SUM_CONSTANTS = [number("big", np.float32(6e4)), ints("axes", 1)]  # fmt: skip


@pytest.mark.parametrize(
    "names", [{"Mul", "ReduceSum", "Div"}, {"/block"}, "/block", ["/block/mul", "/block/sum", "/block/div"]]
)
def test_ops_that_are_named_compute_in_float32(names, tmp_path):
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in SUM]
    for n, name in zip(nodes, ("mul", "sum", "div"), strict=True):
        n.name = f"/block/{name}"
    model = model_of(*nodes, shape=(2, 8), constants=SUM_CONSTANTS)
    x = np.full((2, 8), 0.75, np.float32)  # the sum of eight times 45,000 is beyond float16
    plain = converter.load_model(converter.convert_onnx(model, tmp_path / "a.mlpackage")).predict({"x": x})["y"]
    assert not np.allclose(plain, 6.0, rtol=0.01)
    path = converter.convert_onnx(model, tmp_path / "b.mlpackage", float32_ops=names)
    np.testing.assert_allclose(converter.load_model(path).predict({"x": x})["y"], np.full((2, 1), 6.0), rtol=2e-3)


@pytest.mark.parametrize("model", [b"a model", onnx.GraphProto(), None])
def test_what_is_no_model_is_refused(model, tmp_path):
    with pytest.raises(ConversionError, match="is no ONNX model"):
        converter.convert_onnx(model, tmp_path / "net.mlpackage")


def test_a_name_that_no_node_has_is_refused(tmp_path):
    model = model_of(node("Relu", ["x"], ["y"]), shape=(2, 3))
    with pytest.raises(ConversionError, match="float32_ops names 'Softmax'"):
        converter.convert_onnx(model, tmp_path / "net.mlpackage", float32_ops={"Relu", "Softmax"})


@pytest.mark.parametrize("hidden", [-np.inf, np.finfo(np.float32).min, -1e9])
@pytest.mark.parametrize("rows", ["the last two of each row", "all of a row"])
def test_masks_do_not_become_nan_in_float16(hidden, rows, tmp_path):
    mask = np.zeros((4, 6), np.float32)
    mask[:, 4:] = hidden
    if rows == "all of a row" and hidden != -np.inf:  # there is no answer to that
        mask[1] = hidden
    model = model_of(
        node("Add", ["x", "mask"], ["scores"]), node("Softmax", ["scores"], ["y"]), shape=(2, 4, 6),
        constants=[number("mask", mask)],
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32) * 3
    (answer,) = (
        converter.load_model(converter.convert_onnx(model, tmp_path / "net.mlpackage")).predict({"x": x}).values()
    )
    assert np.isfinite(answer).all()
    seen = mask[:, 0] == 0
    np.testing.assert_allclose(answer[:, seen, 4:], 0, atol=1e-6)
    np.testing.assert_allclose(answer.sum(-1), 1, atol=5e-3)
