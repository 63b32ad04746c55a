"""Programs that MIL's passes leave alone are validated all the same, once."""

import pytest
from coremltools.converters.mil.mil import Function, types
from coremltools.converters.mil.mil.block import InvalidBlockStateError

from converter.convert.coreml import empty_program, validate
from converter.convert.onnx.builder import mb


@pytest.fixture
def program():
    built = empty_program()
    with Function({"x": mb.placeholder(shape=(2,), dtype=types.fp32)}) as function:
        function.set_outputs([mb.relu(x=function.inputs["x"])])
    built.add_function("main", function)
    return built


def test_a_sound_program_passes(program):
    validate(program)


def test_a_broken_program_is_refused_though_no_pass_looks_at_it(program):
    [relu] = program.functions["main"].find_ops(op_type="relu")
    relu.inputs["x"].child_ops.clear()  # now x does not know who uses it
    program.validate()
    with pytest.raises(InvalidBlockStateError, match="should be consumed by"):
        validate(program)
