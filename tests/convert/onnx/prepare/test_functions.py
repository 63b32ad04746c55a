"""Function bodies: the model's own, and the standard's where an op has no lowering."""

import numpy as np
import onnx
import onnx.parser
import pytest

from converter.convert.onnx.prepare import functions, prepare
from converter.registry import Table

X = np.array([[-1.5, 2.0, -3.0], [4.0, -0.5, 6.0]], np.float32)


def parsed(text):
    return onnx.parser.parse_model(text)


NESTED = """
<ir_version: 10, opset_import: ["": 17, "own": 1]>
g (float[2,3] x) => (float[2,3] y) { a = own.twice <factor = 3.0> (x) y = own.twice(a) }
<domain: "own", opset_import: ["": 17, "own": 1]>
twice <factor: float = 0.5> (x) => (y) {
  h = own.scale <by: float = @factor> (x) y = own.scale <by: float = @factor> (h)
}
<domain: "own", opset_import: ["": 17]>
scale <by> (x) => (y) { f = Constant <value_float: float = @by> () y = Mul(x, f) }
"""
CONTROL = """
<ir_version: 10, opset_import: ["": 17, "own": 1]>
g (float[2,3] x, bool flag) => (float[2,3] y) { y = own.choose(flag, x) }
<domain: "own", opset_import: ["": 17]>
choose (flag, x) => (y) {
  h = Abs(x)
  y = If (flag) <then_branch = t () => (a) { a = Add(h, x) }, else_branch = e () => (b) { b = Sub(h, x) }>
}
"""
LEFT_OUT = """
<ir_version: 10, opset_import: ["": 17, "own": 1]>
g (float[2,3] x) => (float[2,3] y) { y, unused = own.clip(x, "") }
<domain: "own", opset_import: ["": 17]>
clip (x, low) => (y, z) { high = Constant <value = float {1}> () y = Clip(x, low, high) z = Neg(x) }
"""


@pytest.mark.parametrize("text", [NESTED, CONTROL, LEFT_OUT], ids=["nested", "control flow", "left out"])
@pytest.mark.parametrize("flag", [True, False])
def test_the_models_own_functions_are_inlined(answer, reference, text, flag):
    model = parsed(text)
    inputs = {"x": X, "flag": np.array(flag)}
    inputs = {value.name: inputs[value.name] for value in model.graph.input}
    np.testing.assert_allclose(answer(model, inputs)[0], reference(model, inputs)[0], rtol=1e-6)


def test_names_of_inlined_nodes_say_where_they_stand():
    graph = prepare(parsed(NESTED))
    made = [name for node in graph.nodes for name in node.outputs]
    assert len(made) == len(set(made)) == 4
    assert made[0] == "a/h/y"


def one_node(op, opset, domain="", **attributes):
    node = onnx.helper.make_node(op, ["x"], ["y"], domain=domain, **attributes)
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, X.shape)
    graph = onnx.helper.make_graph([node], "g", [value], [onnx.ValueInfoProto(name="y")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(domain, opset)], ir_version=10)


@pytest.mark.parametrize(
    ("op", "opset", "attributes"),
    [
        ("Softplus", 17, {}),  # its body is of opset 18
        ("Softplus", 22, {}),
        ("Selu", 22, {"alpha": 1.5}),
        ("Elu", 22, {}),  # its alpha is the schema's
        ("Shrink", 9, {"lambd": 1.0, "bias": 0.5}),
        ("Gelu", 20, {"approximate": "tanh"}),  # a body that depends on the call
        ("LogSoftmax", 13, {"axis": 0}),
        ("MeanVarianceNormalization", 13, {"axes": [0, 1]}),
        ("ReduceSumSquare", 18, {"keepdims": 0}),
    ],
)
def test_an_op_without_a_lowering_is_inlined_from_its_schema(answer, monkeypatch, op, opset, attributes):
    """Held to ONNX's reference evaluator, which has these ops themselves."""
    from onnx.reference import ReferenceEvaluator

    lowered = functions.TABLES[""]
    without = Table("ai.onnx")
    for function in {entry.function for entry in lowered if entry.name != op}:
        without.op(function)
    monkeypatch.setitem(functions.TABLES, "", without)
    model = one_node(op, opset, **attributes)
    assert op not in {node.op_type for node in prepare(model).nodes}
    wanted = ReferenceEvaluator(model).run(None, {"x": X})[0]
    np.testing.assert_allclose(answer(model, {"x": X})[0].reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)


def test_an_op_with_a_lowering_is_not_inlined():
    assert [node.op_type for node in prepare(one_node("Softplus", 22)).nodes] == ["Softplus"]
