"""What is known at conversion is found there: empty tensors, defaults that inference overlooks, nodes nobody needs."""

import numpy as np
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from converter.convert.onnx.lower import interface_of, lower
from converter.convert.onnx.prepare import fold, prepare
from converter.errors import ConversionError, UnsupportedOpsError
from converter.model import Target

TARGET = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")
X = np.array([[-1.5, 2.0, -3.0], [4.0, -0.5, 6.0]], np.float32)


def model_of(text, opset=18):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}')


def test_an_input_without_elements_is_left_out(answer):
    """A cache of keys that begins empty; what is concatenated with nothing stays as it is."""
    model = model_of(
        "g (float[2,3] x, float[0,3] past) => (float[2,3] y) { all = Concat <axis = 0> (past, x) y = Neg(all) }"
    )
    graph = prepare(model)
    assert graph.inputs == ("x",)
    assert [node.op_type for node in graph.nodes] == ["Concat", "Neg"]
    np.testing.assert_array_equal(answer(model, {"x": X})[0], -X)


def test_a_sum_over_nothing_is_known(answer):
    text = "g (float[2,0] x, float[2,3] w) => (float[2,3] y) { s = ReduceSum <keepdims = 1> (x, axes) y = Add(s, w) }"
    model = model_of(text.replace("{ s", "{ axes = Constant <value_ints = [1]> () s"))
    np.testing.assert_array_equal(answer(model, {"w": X})[0], X)


def test_what_must_be_known_is_asked_for_before_a_tensor_without_elements_is_refused():
    model = model_of("g (float[2,0] x, int64[1] axes) => (float[2,1] y) { y = ReduceSum(x, axes) }")
    with pytest.raises(UnsupportedOpsError) as refused:
        lower(prepare(model), interface=None, target=TARGET)
    assert refused.value.inputs == {"axes"}


def test_a_part_without_elements_is_left_out_of_a_split(answer, reference):
    model = model_of("""
        g (float[2,3] x) => (float[2,1] y, float[2,2] z) {
          lengths = Constant <value_ints = [1, 0, 2]> () y, none, z = Split <axis = 1> (x, lengths)
        }
    """)
    for got, wanted in zip(answer(model, {"x": X}), reference(model, {"x": X}), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_an_output_without_elements_is_refused():
    model = model_of("""
        g (float[2,3] x) => (float[2,0] y) {
          none = Constant <value_ints = [0]> () axis = Constant <value_ints = [1]> () y = Slice(x, none, none, axis)
        }
    """)
    with pytest.raises(ConversionError, match=r'output "y": a tensor without elements \(\[2, 0\]\) has no place'):
        lower(prepare(model), interface=None, target=TARGET)


@pytest.mark.parametrize(("onesided", "frequencies"), [("", 9), ("<onesided = 1>", 9), ("<onesided = 0>", 16)])
def test_shapes_are_inferred_with_the_standards_defaults(onesided, frequencies):
    model = model_of(f"""
        g (float[1,128,1] x) => (y) {{
          step = Constant <value = int64 {{8}}> () length = Constant <value = int64 {{16}}> ()
          y = STFT {onesided} (x, step, "", length)
        }}
    """)
    assert prepare(model).types["y"].shape == (1, 15, frequencies, 2)


def test_a_scalar_goes_in_as_a_vector_of_one(answer):
    model = model_of("g (float x, int64 n) => (float y) { f = Cast <to = 1> (n) y = Mul(x, f) }")
    interface, _ = interface_of(prepare(model))
    assert [given.shape for given in interface.inputs] == [(1,), (1,)]
    (got,) = answer(model, {"x": np.array([1.5], np.float32), "n": np.array([3], np.int32)})
    assert got.tolist() == [4.5]


@pytest.mark.parametrize("elem_type", ["string", "complex64", "int4", "uint2", "float8e4m3fn", "float4e2m1"])
def test_an_input_of_a_type_without_a_place_is_refused_by_its_type(elem_type):
    model = model_of(f"g ({elem_type}[2] x) => ({elem_type}[2] y) {{ y = Identity(x) }}", opset=28)
    with pytest.raises(ConversionError, match=f'"x": values of type {elem_type} have no place in Core ML'):
        interface_of(prepare(model))


@pytest.mark.parametrize(
    ("domain", "call"),
    [
        ("ai.onnx.ml", "Normalizer(x)"),
        ("ai.onnx.ml", "Binarizer(x)"),
        ("vendor", "Magic(x)"),
    ],
)
def test_a_model_of_another_operator_set_alone_is_refused_by_its_ops(domain, call):
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["{domain}": 1]>
        g (float[2,3] x, float r, int64 t) => (float[2,3] y) {{ y = {domain}.{call} }}
    """)
    words = rf"{domain}.\w+, opset 1\): there is no lowering for this op"
    with pytest.raises(ConversionError, match=words):
        lower(prepare(model), interface=None, target=TARGET)


def test_an_old_opset_is_taken_where_nothing_changed_since():
    graph = prepare(model_of("g (bool[2] x) => (bool[2] y) { y = Not(x) }", opset=1))
    assert [node.op_type for node in graph.nodes] == ["Not"]
    with pytest.raises(ConversionError, match=r"opset 1; 6 to 28 can be converted \(elsewhere Relu may mean"):
        prepare(model_of("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset=1))


def test_products_of_8_bits_between_constants_are_exact_on_every_processor(answer):
    model = model_of(
        "g (float[2,3] x) => (float[2,3] y) <uint8[2,32] a, int8[32,3] b> "
        "{ n = MatMulInteger (a, b) c = Cast <to = 1> (n) y = Add (x, c) }"
    )
    a, b = np.full((2, 32), 255, np.uint8), np.full((32, 3), -128, np.int8)  # saturated in 16 bits without VNNI
    model.graph.initializer.extend([numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")])
    del model.graph.value_info[:]
    (got,) = answer(model, {"x": np.zeros((2, 3), np.float32)})
    np.testing.assert_array_equal(got, a.astype(np.int64) @ b)


def test_what_is_spelled_out_twice_is_computed_once():
    """And only what is alike: other values, another attribute or another type are another result."""
    folding = fold.Folding()

    def outputs(axis, value):
        node = helper.make_node("Softmax", ["v"], ["y"], axis=axis)
        return folding.outputs(node, {"v": value}, {"": 18})

    square = np.arange(4, dtype=np.float32).reshape(2, 2)
    (first,) = outputs(0, square)
    assert outputs(0, square.copy())[0] is first
    assert not first.flags.writeable
    for axis, value in [(1, square), (0, square + 1), (0, square.astype(np.float64)), (0, square.reshape(4, 1))]:
        (other,) = outputs(axis, value)
        powers = np.exp(value - value.max(axis, keepdims=True))
        np.testing.assert_allclose(other, powers / powers.sum(axis, keepdims=True), rtol=1e-6)
        assert other.dtype == value.dtype
