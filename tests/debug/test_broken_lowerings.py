"""One operation is built wrongly, on purpose: the right one must be named. The right net must raise no alarm."""

import numpy as np
import pytest

from converter.convert.onnx import builder

# operation of MIL, what is done to its arguments
BROKEN = {
    "another epsilon": ("layer_norm", lambda a: a | {"epsilon": np.float32(1e-2)}),
    "an approximation": ("gelu", lambda a: a | {"mode": "TANH_APPROXIMATION"}),
    "pads on the other side": ("conv", lambda a: a | {"pad_type": "custom", "pad": [2, 0, 2, 0]}),
    "another axis": ("softmax", lambda a: a | {"axis": -2}),
    "another slope": ("leaky_relu", lambda a: a | {"alpha": np.float32(0.2)}),
    "pads counted": ("avg_pool", lambda a: a | {"exclude_padding_from_average": True}),
    "other corners": ("upsample_bilinear", lambda a: a | {"align_corners": True}),
    "another sampling": ("resize_bilinear", lambda a: a | {"sampling_mode": "STRICT_ALIGN_CORNERS"}),
}
ONLY = {"other corners": "direct", "another sampling": "onnx"}  # each route has its own operation for the same
WAYS = [(route, format) for route in ("direct", "onnx") for format in ("mlpackage", "mlmodel")]


@pytest.fixture
def break_op(monkeypatch):
    """Change the arguments of a MIL operation, whoever builds it."""
    from coremltools.converters.mil.mil import Builder

    def act(op, change):
        build = getattr(Builder, op)
        monkeypatch.setattr(Builder, op, staticmethod(lambda **arguments: build(**change(arguments))))
        monkeypatch.setattr(builder, "mb", builder._Builder())
        for module in _users_of_mb():
            monkeypatch.setattr(module, "mb", builder.mb)

    return act


def _users_of_mb():
    import sys

    return [m for name, m in sys.modules.items() if name.startswith("converter.convert.onnx.") and hasattr(m, "mb")]


@pytest.mark.parametrize(("route", "format"), WAYS)
def test_nothing_differs_in_a_right_file(route, format, found):
    result = found(route, format=format)
    assert result.first is None
    assert result.culprits == ()
    assert not result.stage
    assert len(result.ops) > 20


@pytest.mark.parametrize("route", ["direct", "onnx"])
def test_nothing_differs_in_a_right_file_in_float16(route, found):
    assert found(route, "float16").first is None


@pytest.mark.parametrize(
    ("route", "fault"), [(r, f) for f in BROKEN for r in ("direct", "onnx") if ONLY.get(f, r) == r]
)
def test_the_broken_operation_is_named(route, fault, found, break_op):
    op, change = BROKEN[fault]
    break_op(op, change)
    result = found(route)
    assert result.stage == "conversion"
    assert result.ops[result.first].op_type == op, result.culprits
    assert any(f"({op})" in culprit for culprit in result.culprits)
    assert len(result.culprits) <= 3
    assert "report it" in result.suggestion
