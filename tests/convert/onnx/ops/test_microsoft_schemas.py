"""Every lowering of com.microsoft against onnxruntime's own schemas."""

import inspect

import onnx
import pytest
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from converter.convert.onnx.builder import ElementTypes, OutputCount
from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.prepare.foreign import DOMAIN, domain_of

SCHEMAS = {s.name: s for s in get_all_operator_schema() if domain_of(s.name, s.domain) == DOMAIN}
OPS = [pytest.param(op, id=op.name) for op in TABLES[DOMAIN]]


def parameters(op):
    return [p for p in op.parameters if p.annotation not in (OutputCount, ElementTypes)]


def default(attribute):
    if attribute.required:
        return inspect.Parameter.empty
    if not attribute._default_value:
        return None
    value = helper.get_attribute_value(onnx.AttributeProto.FromString(attribute._default_value))
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("op", OPS)
def test_inputs_come_first_in_onnxruntimes_order_and_may_be_left_out_as_there(op):
    inputs = SCHEMAS[op.name].inputs
    declared = parameters(op)[: len(inputs)]
    assert [p.name for p in declared] == [i.name for i in inputs]
    for parameter, given in zip(declared, inputs, strict=True):
        kind = given.option.name
        assert parameter.variadic == (kind == "Variadic"), given.name
        assert parameter.required == (kind == "Single"), given.name


@pytest.mark.parametrize("op", OPS)
def test_attributes_follow_alphabetically_with_onnxruntimes_defaults(op):
    schema = SCHEMAS[op.name]
    declared = parameters(op)[len(schema.inputs) :]
    assert [p.name for p in declared] == sorted(schema.attributes, key=str.lower)
    for parameter in declared:
        wanted = default(schema.attributes[parameter.name])
        assert parameter.default == (pytest.approx(wanted, rel=1e-7) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("op", OPS)
def test_onnxruntime_has_had_one_version(op):
    assert op.since == SCHEMAS[op.name].since_version == 1
