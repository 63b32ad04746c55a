"""Against numpy."""

import numpy as np
import pytest
import torch

X = np.random.default_rng(0).uniform(-3, 3, (2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + 0.5
UNIT = X / 3.01
ROW = np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)
C = np.array([1.5, -2.0, 0.25], np.float32)
HW = np.array([[[1.0, 2.0, 3.0, 4.0]]], np.float32)


@pytest.mark.parametrize(
    ("kind", "inputs", "fields", "expected"),
    [
        ("unary", [POSITIVE], {"type": "SQRT"}, np.sqrt(POSITIVE)),
        ("unary", [POSITIVE], {"type": "RSQRT"}, 1 / np.sqrt(POSITIVE + 1e-6)),
        ("unary", [POSITIVE], {"type": "RSQRT", "epsilon": 0.5}, 1 / np.sqrt(POSITIVE + 0.5)),
        ("unary", [POSITIVE], {"type": "INVERSE", "epsilon": 0.25}, 1 / (POSITIVE + 0.25)),
        ("unary", [np.zeros(1, np.float32)], {"type": "INVERSE"}, [1e6]),
        ("unary", [X], {"type": "POWER", "alpha": 3}, X**3),
        ("unary", [X], {"type": "POWER"}, np.ones_like(X)),
        ("unary", [X], {"type": "EXP", "scale": 0.5, "shift": -1}, np.exp(0.5 * X - 1)),
        ("unary", [POSITIVE], {"type": "LOG"}, np.log(POSITIVE)),
        ("unary", [POSITIVE], {"type": "LOG", "epsilon": 0.5}, np.log(POSITIVE + 0.5)),
        ("unary", [POSITIVE], {"type": "LOG", "epsilon": 1e-45}, np.log(POSITIVE)),
        ("unary", [X], {"type": "ABS"}, np.abs(X)),
        ("unary", [X], {"type": "THRESHOLD", "alpha": 0.5}, np.maximum(0.5, X)),
        ("unary", [X], {"type": "THRESHOLD", "alpha": -6}, np.maximum(-6, X)),
        ("add", [X], {"alpha": 2.5}, X + 2.5),
        ("add", [X, ROW], {}, X + ROW),
        ("add", [X, X, X], {}, 3 * X),
        ("multiply", [X], {"alpha": -2}, -2 * X),
        ("multiply", [X], {}, 0 * X),
        ("multiply", [X, ROW, X], {}, X * ROW * X),
        ("average", [X, ROW + 0 * X, -X], {}, np.broadcast_to(ROW / 3, X.shape)),
        ("max", [X, -X, 0 * X], {}, np.abs(X)),
        ("min", [X, -X], {}, -np.abs(X)),
        ("ceil", [X], {}, np.ceil(X)),
        ("floor", [X], {}, np.floor(X)),
        ("round", [X], {}, np.round(X)),
        ("sign", [np.array([-2.0, 0.0, 5.0])], {}, [-1, 0, 1]),
        ("clip", [X], {"minVal": -1, "maxVal": 2}, np.clip(X, -1, 2)),
        ("exp2", [X], {}, np.exp2(X)),
        ("sin", [X], {}, np.sin(X)),
        ("cos", [X], {}, np.cos(X)),
        ("tan", [UNIT], {}, np.tan(UNIT)),
        ("asin", [UNIT], {}, np.arcsin(UNIT)),
        ("acos", [UNIT], {}, np.arccos(UNIT)),
        ("atan", [X], {}, np.arctan(X)),
        ("sinh", [X], {}, np.sinh(X)),
        ("cosh", [X], {}, np.cosh(X)),
        ("tanh", [X], {}, np.tanh(X)),
        ("asinh", [X], {}, np.arcsinh(X)),
        ("acosh", [POSITIVE + 0.6], {}, np.arccosh(POSITIVE + 0.6)),
        ("atanh", [UNIT], {}, np.arctanh(UNIT)),
        ("erf", [X], {}, torch.special.erf(torch.from_numpy(X).double()).numpy()),
    ],
)
def test_a_layer_of_one_shape(same, kind, inputs, fields, expected):
    same(kind, inputs, fields, expected)


CHW = np.random.default_rng(1).standard_normal((2, 3, 2, 4)).astype(np.float32)
WHOLE = np.random.default_rng(2).standard_normal((3, 2, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("bias", {"shape": [1], "bias": C[:1]}, CHW + 1.5),
        ("bias", {"shape": [3], "bias": C}, CHW + C[:, None, None]),
        ("bias", {"shape": [3, 2, 4], "bias": WHOLE}, CHW + WHOLE),
        ("scale", {"shapeScale": [1], "scale": C[1:2]}, CHW * -2),
        ("scale", {"shapeScale": [3], "scale": C}, CHW * C[:, None, None]),
        ("scale", {"shapeScale": [1, 1, 4], "scale": HW}, CHW * HW),
        (
            "scale",
            {"shapeScale": [3], "scale": C, "hasBias": True, "shapeBias": [3, 2, 4], "bias": WHOLE},
            CHW * C[:, None, None] + WHOLE,
        ),
        ("scale", {"shapeScale": [3], "scale": C, "shapeBias": [3], "bias": C}, CHW * C[:, None, None]),
    ],
)
def test_scale_and_bias_lie_along_the_channels(same, kind, fields, expected):
    same(kind, [CHW], fields, expected)
