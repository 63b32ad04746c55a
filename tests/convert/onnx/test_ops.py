"""Every declared lowering against the standard's own schemas, at every opset that is served."""

import inspect
import subprocess
import sys
from collections import defaultdict

import numpy as np
import onnx
import onnx.defs
import pytest
from onnx import helper

from converter.convert.onnx.builder import ElementTypes, OutputCount
from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.prepare.opsets import OLDEST_OPSET
from converter.registry import Op, Parameter

OPSETS = range(OLDEST_OPSET, onnx.defs.onnx_opset_version() + 1)
TABLE = TABLES[""]
Option = onnx.defs.OpSchema.FormalParameterOption
# Removed long ago, yet read where it stands: torch wrote it, and it only says what the default says.
REMOVED = {("Gemm", "broadcast")}


def served() -> dict[Op, dict[int, onnx.defs.OpSchema]]:
    """The schemas that each declared lowering answers for, by opset."""
    schemas: dict[Op, dict[int, onnx.defs.OpSchema]] = defaultdict(dict)
    for name in sorted({op.name for op in TABLE}):
        for opset in OPSETS:
            try:
                schema = onnx.defs.get_schema(name, opset)
            except onnx.defs.SchemaError:
                continue
            op = TABLE.find(name, opset)
            if op is not None:
                schemas[op][opset] = schema
    return schemas


SERVED = served()
CASES = [pytest.param(op, schemas, id=op.function.__name__) for op, schemas in SERVED.items()]


def default(attribute: onnx.defs.OpSchema.Attribute) -> object:
    if attribute.required:
        return inspect.Parameter.empty
    if not attribute.default_value.name:
        return None
    value = helper.get_attribute_value(attribute.default_value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
    return value


def same(declared: object, standard: object) -> bool:
    if isinstance(declared, float) and isinstance(standard, float):
        return np.float32(declared) == np.float32(standard)
    return declared == standard


def arguments(op: Op) -> list[Parameter]:
    return [parameter for parameter in op.parameters if parameter.annotation not in (OutputCount, ElementTypes)]


def test_every_version_of_every_lowering_is_reached_by_some_opset():
    assert [op.function.__name__ for op in TABLE if op not in SERVED] == []


@pytest.mark.parametrize(("op", "schemas"), CASES)
def test_inputs_come_first_and_in_the_standards_order(op, schemas):
    parameters = arguments(op)
    newest = schemas[max(schemas)]
    assert [p.name for p in parameters[: len(newest.inputs)]] == [i.name for i in newest.inputs]
    for schema in schemas.values():
        for index, given in enumerate(schema.inputs):
            parameter = parameters[index]
            assert parameter.variadic == (given.option == Option.Variadic), given.name
            if given.option == Option.Optional:
                assert not parameter.required, given.name


def required(schema: onnx.defs.OpSchema, name: str) -> bool:
    options = {i.name: i.option for i in schema.inputs}
    return (
        options[name] == Option.Single
        if name in options
        else name in schema.attributes and schema.attributes[name].required
    )


@pytest.mark.parametrize(("op", "schemas"), CASES)
def test_what_is_required_at_every_opset_has_no_default_and_nothing_else(op, schemas):
    names = {i.name for s in schemas.values() for i in s.inputs} | {n for s in schemas.values() for n in s.attributes}
    for parameter in arguments(op):
        if parameter.name in names and not parameter.variadic:
            everywhere = all(required(schema, parameter.name) for schema in schemas.values())
            newest_name = parameter.name in [i.name for i in schemas[max(schemas)].inputs]
            assert parameter.required == everywhere or (newest_name and parameter.required), parameter.name


@pytest.mark.parametrize(("op", "schemas"), CASES)
def test_attributes_are_declared_with_the_standards_defaults(op, schemas):
    parameters = {p.name: p for p in arguments(op)}
    for opset, schema in schemas.items():
        for name, attribute in schema.attributes.items():
            where = f"{op.function.__name__}.{name} at opset {opset}"
            assert name in parameters, where
            wanted = default(attribute)
            moved = any(name in (i.name for i in s.inputs) for s in schemas.values())
            if moved and wanted is inspect.Parameter.empty:
                continue  # required here, an optional input there
            assert same(parameters[name].default, wanted), where


@pytest.mark.parametrize(("op", "schemas"), CASES)
def test_nothing_is_declared_that_the_standard_does_not_have(op, schemas):
    known = {(op.name, name) for s in schemas.values() for name in (*s.attributes, *(i.name for i in s.inputs))}
    assert {(op.name, p.name) for p in arguments(op)} - known <= REMOVED


@pytest.mark.parametrize(("op", "schemas"), CASES)
def test_attributes_follow_in_alphabetical_order(op, schemas):
    inputs = {i.name for s in schemas.values() for i in s.inputs}
    attributes = [p.name for p in arguments(op) if p.name not in inputs]
    assert attributes == sorted(attributes, key=str.lower)


def test_the_tables_are_listed_without_torch_or_coremltools():
    code = (
        "import sys; from converter.convert.onnx.ops import TABLES; assert len(list(TABLES[''])) > 100;"
        "assert not {'torch', 'coremltools', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
