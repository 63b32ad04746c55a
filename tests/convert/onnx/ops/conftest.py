"""One node in, its answer held to onnxruntime, or to ONNX's reference evaluator where onnxruntime has no kernel."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converter.convert.onnx.lower import lower
from converter.convert.onnx.prepare import prepare
from converter.model import Target

IR_VERSION = 10


def one_node(op, opset, operands, attributes, outputs=1, domain=""):
    """A model of one node, and its inputs.

    Of the operands a tuple is the shape of a float32 input, a dict {"input": array} an input with that value, an array
    a constant, None is left out.
    """
    generator = np.random.default_rng(0)
    names, inputs, constants = [], {}, []
    for place, operand in enumerate(operands):
        names.append("" if operand is None else f"v{place}")
        if isinstance(operand, np.ndarray):
            constants.append(numpy_helper.from_array(operand, names[-1]))
        elif isinstance(operand, dict):
            inputs[names[-1]] = operand["input"]
        elif operand is not None:
            inputs[names[-1]] = generator.uniform(-2, 2, operand).astype(np.float32)
    types = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    results = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(op, names, results, name="the_node", domain=domain, **attributes)
    graph = helper.make_graph([node], "case", types, [onnx.ValueInfoProto(name=name) for name in results], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=IR_VERSION), inputs


@pytest.fixture
def held(answer, reference):
    """Convert a case (op, opset, operands, attributes[, outputs]) for a target and compare all its outputs."""

    def run(case, *, rtol=1e-5, atol=2e-6, oracle="onnxruntime", **target):
        model, inputs = one_node(*case)
        if oracle == "onnxruntime":
            wanted = reference(model, inputs)
        else:
            wanted = [np.asarray(value) for value in ReferenceEvaluator(model).run(None, inputs)]
        for value, array in zip(model.graph.output, wanted, strict=True):
            element = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, element, array.shape))
        answers = answer(model, inputs, **target)
        for got, array in zip(answers, wanted, strict=True):
            assert got.shape == (array.shape or (1,))
            np.testing.assert_allclose(got.reshape(array.shape), array, rtol=rtol, atol=atol)

    return run


@pytest.fixture
def built():
    """The operations that a case (op, opset, operands, attributes[, outputs]) becomes, without constants."""

    def run(case, *, deployment_target="iOS16", compute_precision="float32"):
        model, _ = one_node(*case)
        target = Target(format="mlpackage", deployment_target=deployment_target, compute_precision=compute_precision)
        program, _ = lower(prepare(model), interface=None, target=target)
        return [o.op_type for o in program.functions["main"].operations if o.op_type != "const"]

    return run


@pytest.fixture
def quantized_product():
    """A model of x @ DequantizeLinear(weights), and an input."""

    def build(data, scale, zero_point, attributes):
        given = {"data": data, "scale": scale} | ({} if zero_point is None else {"zero": zero_point})
        nodes = [
            helper.make_node("DequantizeLinear", list(given), ["weights"], **attributes),
            helper.make_node("MatMul", ["x", "weights"], ["y"]),
        ]
        x = np.random.default_rng(0).standard_normal((3, data.shape[0])).astype(np.float32)
        types = [helper.make_tensor_value_info("x", 1, x.shape)], [helper.make_tensor_value_info("y", 1, [3, None])]
        constants = [numpy_helper.from_array(array, name) for name, array in given.items()]
        graph = helper.make_graph(nodes, "product", *types, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=IR_VERSION), {"x": x}

    return build
