"""Names, order and defaults of every op, held to coremltools over every opset version."""

import collections.abc
import inspect
import re
from pathlib import Path

import pytest
import torch
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.input_type import TensorInputType
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

import converter.evaluate.mil  # noqa: F401  # declares the ops
from converter.evaluate.mil.arguments import asked
from converter.evaluate.mil.table import Block, ops
from converter.evaluate.mil.types import _DATA_TYPES, BY_NAME
from converter.evaluate.proto import MIL_pb2

# Ops that a saved program never holds: `const` is the walker's, the other is the Builder's own.
NOT_SAVED = {"const", "_const_symbolic"}
# Ops that a saved program holds although the Builder has no such op.
SAVED_ONLY = {"write_state"}

# Words that MIL's type domains have for no data type: any of them, and lists and states.
NO_DATA_TYPES: set[str] = set()
OWN = Path(__file__)

NAMES = sorted(set(SSAOpRegistry.core_ops) - NOT_SAVED)


class Inputs:
    """Stands in for an op's inputs, as far as default_inputs looks at them."""

    def __new__(cls, definition, rank):
        class Stub(definition):
            def __init__(self):
                pass

            def __getattr__(self, name):
                if name in definition.input_spec.input_types:
                    return Value(rank)
                raise AttributeError(name)

        return Stub()


class Value:
    dtype = types.fp32
    val = True

    def __init__(self, rank):
        self.rank = rank
        self.shape = tuple(range(rank, 2 * rank))


def plain(value):
    """A default as Python's value."""
    value = getattr(value, "val", value)
    return value.tolist() if hasattr(value, "tolist") else value


def defaults(definition, rank):
    return {name: plain(value) for name, value in definition.default_inputs(Inputs(definition, rank)).items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_op_has_the_parameters_of_coremltools_in_its_order_and_with_its_defaults(name):
    for target, definition in SSAOpRegistry.core_ops[name].items():
        op = ops.find(name, int(target.name.removeprefix("iOS")))
        assert op is not None
        optional = {
            key: kind.optional
            for key, kind in definition.input_spec.input_types.items()
            if key != "_existing_blocks"  # how the Builder loads a program
        }
        assert [parameter.name for parameter in op.parameters] == list(optional), target
        assert [not parameter.required for parameter in op.parameters] == list(optional.values()), target
        three, four = defaults(definition, 3), defaults(definition, 4)
        for parameter in op.parameters:
            if not parameter.required and (name, parameter.name) != ("linear", "bias"):  # theirs is one 0.0, ours None
                theirs = three.get(parameter.name), four.get(parameter.name)
                # a default that depends on the input's rank cannot stand in a signature: None stands for it
                expected = theirs[0] if theirs[0] == theirs[1] else None
                assert parameter.default == pytest.approx(expected), f"{target}: {parameter.name}"


def test_no_op_is_missing():
    assert {name for name in SSAOpRegistry.core_ops if name not in ops} == NOT_SAVED


def test_there_is_no_op_that_coremltools_does_not_know():
    assert {op.name for op in ops} - set(SSAOpRegistry.core_ops) == SAVED_ONLY


def test_a_new_version_begins_where_coremltools_has_one():
    for op in ops:
        if op.since > 1 and op.name not in SAVED_ONLY:
            since = {int(target.name.removeprefix("iOS")) for target in SSAOpRegistry.core_ops[op.name]}
            assert op.since in since, f"{op.name}_{op.since}"


def test_every_parameter_has_a_type_that_the_walker_can_fill():
    known = {torch.Tensor, int, float, bool, str, Block, inspect.Parameter.empty}
    for op in ops:
        for parameter in op.parameters:
            wanted = asked(parameter.annotation)
            is_sequence = getattr(wanted, "__origin__", None) is collections.abc.Sequence
            assert is_sequence or wanted in known or str(wanted) == "typing.Any", f"{op.name}: {parameter}"


# Ops that coremltools writes where no Builder's op stands, and where they are tested.
WRITTEN_OTHERWISE = {"classify": "test_evaluated.py", "read_state": "test_states.py", "write_state": "test_states.py"}


def test_every_op_has_a_case():
    cases = "".join(path.read_text() for path in sorted(OWN.parent.glob("test_*.py")) if path != OWN)
    missing = {op.name for op in ops if not re.search(rf'mb\.{op.name}\b|"{op.name}"', cases)}
    assert missing == set(WRITTEN_OTHERWISE)


def test_every_data_type_that_an_op_takes_can_be_held():
    """The types of all inputs of all ops in all versions, and those that MIL.proto has beside them."""
    taken = set()
    for versions in SSAOpRegistry.core_ops.values():
        for definition in versions.values():
            for kind in definition.input_spec.input_types.values():
                if isinstance(kind, TensorInputType):
                    taken.update(
                        definition.type_domains[kind.type_domain_id] if kind.type_domain_id else kind.type_domain
                    )
    names = {types.builtin_to_string(kind) for kind in taken}
    assert len(names) > 10
    assert names - set(BY_NAME) - NO_DATA_TYPES == set()
    assert set(MIL_pb2.DataType.keys()) - set(_DATA_TYPES) == {"UNUSED_TYPE"}


def test_every_value_type_and_literal_of_the_proto_is_read():
    """A field that is added to the proto fails here until types.py and values.py know it."""
    assert [field.name for field in MIL_pb2.ValueType.DESCRIPTOR.oneofs_by_name["type"].fields] == [
        "tensorType",
        "listType",
        "tupleType",
        "dictionaryType",
        "stateType",
    ]
    assert [field.name for field in MIL_pb2.TensorValue.DESCRIPTOR.oneofs_by_name["value"].fields] == [
        "floats",
        "ints",
        "bools",
        "strings",
        "longInts",
        "doubles",
        "bytes",
    ]
