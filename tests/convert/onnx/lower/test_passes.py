"""The search for transposes that undo each other is left out only where it would find nothing."""

import numpy as np
import onnx.parser
import pytest
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

from converter.convert.onnx.lower import lower, passes
from converter.convert.onnx.prepare import prepare
from converter.model import Target

TARGET = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float32")
TURN, BACK = "Transpose <perm = [0, 2, 1]>", "Transpose <perm = [2, 0, 1]>"


def program(body):
    text = f'<ir_version: 8, opset_import: ["": 18]>\ng (float[2,3,4] x) => (float[2,?,?] y) {{ {body} }}'
    return lower(prepare(onnx.parser.parse_model(text)), interface=None, target=TARGET)


MEET = [
    f"t = {TURN} (x) y = {TURN} (t)",
    f"t = {TURN} (x) r = Relu (t) y = {TURN} (r)",
    f"t = {TURN} (x) r = Relu (t) a = Add (r, r) y = {TURN} (a)",
]
APART = [
    "y = Relu (x)",
    f"y = {TURN} (x)",
    f"t = {TURN} (x) m = MatMul (x, t) y = {TURN} (m)",
    f"t = {TURN} (x) s = Softmax (t) y = {TURN} (s)",
]


@pytest.mark.parametrize("body", MEET)
def test_transposes_that_meet_are_looked_for(body):
    _, names = program(body)
    assert tuple(names) == passes.PASSES


@pytest.mark.parametrize("body", APART)
def test_where_none_meet_the_pass_would_change_nothing(body):
    built, names = program(body)
    assert names == [name for name in passes.PASSES if name != "common::reduce_transposes"]
    before = [op.op_type for op in built.functions["main"].operations]
    PASS_REGISTRY["common::reduce_transposes"](built)
    assert [op.op_type for op in built.functions["main"].operations] == before
    assert np.count_nonzero(np.array(before) == "transpose") == body.count("Transpose")
