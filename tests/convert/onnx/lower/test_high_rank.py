"""Computing element by element beyond rank 5, held to onnxruntime."""

import coremltools as ct
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import converter
from converter.convert.onnx.lower.high_rank import ELEMENTWISE
from converter.convert.onnx.ops.tables import ai_onnx
from converter.errors import ConverterError

R = np.random.default_rng(6)
SHAPES = [
    [(1, 2, 3, 2, 2, 1, 4, 1), (1, 2, 3, 2, 2, 1, 1, 3)],  # relative positions
    [(2, 3, 2, 3, 2, 3), (2, 3, 2, 3, 2, 3)],
    [(2, 3, 2, 3, 2, 3), (3, 1, 3)],
    [(2, 3, 2, 3, 2, 3), ()],
    [(1, 1, 1, 1, 1, 1), (1,)],
    [(2, 1, 1, 3, 2, 1, 2), (1, 1, 3, 1, 1, 4, 1)],
]


def model(op, shapes, *, constant=None, perm=None, **attributes):
    """Inputs of rank 1 seen in these shapes (one may be a constant), an op, and its result in rank 1 again."""
    nodes, inputs, initializers, names = [], [], [], []
    for place, shape in enumerate(shapes):
        name = f"x{place}"
        if place == constant:
            initializers.append(numpy_helper.from_array(R.uniform(0.5, 1, shape).astype(np.float32), name))
            names.append(name)
            continue
        initializers.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}_shape"))
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [int(np.prod(shape))]))
        nodes.append(helper.make_node("Reshape", [name, f"{name}_shape"], [f"{name}_seen"]))
        names.append(f"{name}_seen")
    if perm:
        nodes.append(helper.make_node("Transpose", [names[0]], ["turned"], perm=perm))
        names[0] = "turned"
    initializers.append(numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    nodes.append(helper.make_node(op, names, ["z"], name="wide", **attributes))
    nodes.append(helper.make_node("Reshape", ["z", "flat"], ["z_flat"]))
    nodes.append(helper.make_node("Cast", ["z_flat"], ["y"], to=TensorProto.FLOAT))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.fixture
def held(answer, reference):
    def check(built, **options):
        inputs = {
            given.name: R.uniform(0.5, 2, [d.dim_value for d in given.type.tensor_type.shape.dim]).astype(np.float32)
            for given in built.graph.input
        }
        [got], [right] = answer(built, inputs, **options), reference(built, inputs)
        np.testing.assert_allclose(got, right, rtol=2e-3 if options else 1e-6)

    return check


@pytest.mark.parametrize("op", ["Add", "Div", "Pow", "Greater", "Max"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_two_operands(op, shapes, held):
    held(model(op, shapes))


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("op", ["Sub", "Div", "Mod"])
def test_a_constant(op, constant, held):
    held(model(op, SHAPES[0], constant=constant, **({"fmod": 1} if op == "Mod" else {})))


@pytest.mark.parametrize("op", ["Exp", "Neg", "Sigmoid", "Sqrt"])
def test_one_operand_transposed(op, held):
    held(model(op, [(2, 3, 2, 3, 2, 3)], perm=[5, 0, 3, 2, 1, 4]))


def test_in_half_precision(held):
    held(model("Add", SHAPES[0]), compute_precision="float16")


@pytest.mark.parametrize("constant", [None, 1])
@pytest.mark.parametrize(
    ("op", "attributes", "computing"),
    [
        ("Einsum", {"equation": "abcdef,abcdef->abcde"}, "matmul"),
        ("Add", {}, "add"),
        ("Concat", {"axis": 0}, "concat"),
    ],
)
def test_what_is_named_computes_in_float32(op, attributes, computing, constant, tmp_path):
    package = tmp_path / "wide.mlpackage"
    built = model(op, [(2, 3, 2, 3, 2, 3), (2, 3, 2, 3, 2, 3)], constant=constant, **attributes)
    converter.convert_onnx(built, package, float32_ops={op})
    function = ct.models.utils.load_spec(str(package)).mlProgram.functions["main"]
    [block] = function.block_specializations.values()
    [computed] = [operation for operation in block.operations if operation.type == computing]
    assert computed.outputs[0].type.tensorType.dataType == ct.proto.MIL_pb2.FLOAT32


def test_a_sum_of_squares_stays_in_float32_up_to_its_root(answer, reference):
    """Four squares of 300 are beyond float16, their root is not."""
    shapes = {"six": [2, 2, 2, 2, 2, 2], "axes": [4, 5], "flat": [-1]}
    nodes = [
        helper.make_node("Reshape", ["x", "six"], ["seen"]),
        helper.make_node("Mul", ["seen", "seen"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axes"], ["sums"], keepdims=1),
        helper.make_node("Sqrt", ["sums"], ["roots"]),
        helper.make_node("Reshape", ["roots", "flat"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in shapes.items()]
    graph = helper.make_graph(nodes, "norm", [x], [y], constants)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    inputs = {"x": R.uniform(250, 300, 64).astype(np.float32)}
    [got], [right] = answer(built, inputs, compute_precision="float16"), reference(built, inputs)
    np.testing.assert_allclose(got, right, rtol=2e-3)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bythwc,hkc->bythwk", [(1, 2, 3, 2, 4, 5), (2, 3, 5)]),  # relative positions of a video transformer
        ("abcdef,f->abcdef", [(2, 3, 2, 3, 2, 3), (3,)]),
        ("abcdef->fedcba", [(2, 3, 2, 3, 2, 3)]),
    ],
)
@pytest.mark.parametrize("constant", [None, 1])
def test_einsum(equation, shapes, constant, held):
    held(model("Einsum", shapes, constant=constant, equation=equation))


def test_more_axes_than_broadcast_in_rank_5_are_refused(answer):
    with pytest.raises(ConverterError, match=r'"wide" \(Add, opset 17\): broadcasting along 6 axes has no place'):
        answer(model("Add", [(2, 1, 2, 1, 2, 1), (1, 3, 1, 3, 1, 3)]), {})


def test_a_flexible_operand_is_refused():
    built = model("Add", [(2, 3, 2, 3, 2, 3), (3,)], constant=0)
    built.graph.node[0].input[1] = "x1_flexible"
    built.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "x1_flexible"))
    built.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "length"
    with pytest.raises(ConverterError, match=r'"wide" \(Add, opset 17\): with a flexible dimension'):
        converter.convert_onnx(built, "unused.mlpackage", shapes={"length": converter.Range(1, 3)})


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_each_is_an_op_of_ours_that_knows_no_axis(name):
    assert name in ai_onnx
    assert "axis" not in onnx.defs.get_schema(name).attributes
