"""Elementwise ops, reductions and orders of random shapes, against numpy's formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# op: formula, and the range of its inputs
UNARY = {
    "abs": (np.abs, -3, 3),
    "acos": (np.arccos, -1, 1),
    "asin": (np.arcsin, -1, 1),
    "atan": (np.arctan, -3, 3),
    "atanh": (np.arctanh, -0.9, 0.9),
    "ceil": (np.ceil, -3, 3),
    "cos": (np.cos, -3, 3),
    "cosh": (np.cosh, -3, 3),
    "erf": (erf, -3, 3),
    "exp": (np.exp, -3, 3),
    "exp2": (np.exp2, -3, 3),
    "floor": (np.floor, -3, 3),
    "relu": (lambda x: np.maximum(x, 0), -3, 3),
    "relu6": (lambda x: np.minimum(np.maximum(x, 0), 6), -9, 9),
    "round": (np.rint, -3, 3),
    "sigmoid": (sigmoid, -9, 9),
    "sign": (np.sign, -3, 3),
    "silu": (lambda x: x * sigmoid(x), -9, 9),
    "sin": (np.sin, -3, 3),
    "sinh": (np.sinh, -3, 3),
    "softplus": (lambda x: np.log(1 + np.exp(x)), -9, 9),
    "softsign": (lambda x: x / (1 + np.abs(x)), -3, 3),
    "sqrt": (np.sqrt, 0, 9),
    "square": (np.square, -3, 3),
    "tan": (np.tan, -1.2, 1.2),
    "tanh": (np.tanh, -3, 3),
}


@formula
def unary(draw):
    name = draw.one(*UNARY)
    function, low, high = UNARY[name]
    x = draw.floats(draw.shape(0), draw.one("float32", "float16"), low, high)
    return name, 15, {"x": x}, function(x.astype(np.float64))


@formula
def unary_of_integers(draw):
    x = draw.array(draw.shape(0), "int32")
    name, expected = draw.one(("abs", np.abs(x)), ("sign", np.sign(x)), ("square", x * x), ("identity", x))
    return name, 17, {"x": x}, expected


# op: formula of x and its parameters, which are drawn between the limits
PARAMETRIC = {
    "clamped_relu": (lambda x, alpha, beta: np.minimum(np.where(x >= 0, x, alpha * x), beta), (0, 1), (0, 2)),
    "clip": (lambda x, alpha, beta: np.minimum(np.maximum(x, alpha), beta), (-2, 0), (0, 2)),
    "elu": (lambda x, alpha: np.where(x >= 0, x, alpha * (np.exp(x) - 1)), (0, 2)),
    "leaky_relu": (lambda x, alpha: np.where(x >= 0, x, alpha * x), (0, 1)),
    "linear_activation": (lambda x, alpha, beta: alpha * x + beta, (-2, 2), (-2, 2)),
    "scaled_tanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), (-2, 2), (-2, 2)),
    "sigmoid_hard": (lambda x, alpha, beta: np.minimum(np.maximum(alpha * x + beta, 0), 1), (0, 2), (-1, 1)),
    "threshold": (lambda x, alpha: np.maximum(x, alpha), (-1, 1)),
    "thresholded_relu": (lambda x, alpha: np.where(x >= alpha, x, 0), (-1, 1)),
}


@formula
def parametric(draw):
    name = draw.one(*PARAMETRIC)
    function, *limits = PARAMETRIC[name]
    x = draw.floats(draw.shape(0), draw.one("float32", "float16"))
    values = [draw.one(low, high, (3 * low + 5 * high) / 8) for low, high in limits]
    named = {key: float(value) for key, value in zip(("alpha", "beta"), values, strict=False)}
    return name, 15, {"x": x, **named}, function(x.astype(np.float64), *values)


@formula
def with_epsilon(draw):
    x = draw.floats(draw.shape(0), "float32", 0.25, 3)
    given = draw.some(epsilon=0.5)
    name, function, default = draw.one(
        ("inverse", lambda v: 1 / v, 1e-4), ("log", np.log, 0), ("rsqrt", lambda v: 1 / np.sqrt(v), 1e-12)
    )
    return name, 15, {"x": x, **given}, function(x.astype(np.float64) + given.get("epsilon", default))


@formula
def gelu(draw):
    x = draw.floats(draw.shape(0), draw.one("float32", "float16"))
    mode = draw.one("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    v = x.astype(np.float64)
    expected = {
        "EXACT": v / 2 * (1 + erf(v / math.sqrt(2))),
        "TANH_APPROXIMATION": v / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
        "SIGMOID_APPROXIMATION": v * sigmoid(1.702 * v),
    }
    return "gelu", 15, {"x": x, "mode": mode}, expected[mode]


@formula
def per_channel(draw):
    shape = draw.shape(3, 5)
    x = draw.floats(shape, draw.one("float32", "float16"))
    alpha, beta = draw.floats(shape[1], x.dtype), draw.floats(shape[1], x.dtype)
    v = np.moveaxis(x.astype(np.float64), 1, -1)
    if draw.flag():
        return "prelu", 15, {"x": x, "alpha": alpha}, np.moveaxis(np.where(v >= 0, v, v * alpha), -1, 1)
    expected = alpha.astype(np.float64) * np.log(1 + np.exp(beta.astype(np.float64) * v))
    return "softplus_parametric", 15, {"x": x, "alpha": alpha, "beta": beta}, np.moveaxis(expected, -1, 1)


BINARY = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": lambda x, y: np.floor(x / y),
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": lambda x, y: x - np.floor(x / y) * y,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "real_div": np.divide,
    "sub": np.subtract,
}


def operands(draw, dtype):
    """Two arrays that broadcast; the first or the second has the whole shape, or neither."""
    shape = draw.shape(0)
    shapes = draw.permutation(2)
    first, second = (draw.broadcast(shape) if i else draw.one(shape, draw.broadcast(shape)) for i in shapes)
    return draw.array(first, dtype), draw.array(second, dtype)


@formula
def binary(draw):
    name = draw.one(*BINARY)
    dtype = draw.one("float32", "float16", "int32")
    x, y = operands(draw, dtype)
    # eighths: quotients near a whole number are then whole, or far enough from it
    x, y = (v if dtype == "int32" else (np.rint(v * 8) / 8).astype(dtype) for v in (x, y))
    if name in ("floor_div", "mod", "real_div"):
        y = np.where(y == 0, np.ones_like(y), y)
    expected = BINARY[name](x.astype(np.float64), y.astype(np.float64))
    if dtype == "int32" and expected.dtype != bool:
        expected = np.trunc(expected).astype(np.int32)
    return name, 15, {"x": x, "y": y}, expected


@formula
def power(draw):
    x, y = operands(draw, draw.one("float32", "float16"))
    x = (np.abs(x) + 0.25).astype(x.dtype)
    return "pow", 15, {"x": x, "y": y}, np.power(x.astype(np.float64), y)


@formula
def logical(draw):
    x, y = operands(draw, "bool")
    name = draw.one("logical_and", "logical_or", "logical_xor", "logical_not")
    if name == "logical_not":
        return name, 15, {"x": x}, ~x
    return name, 15, {"x": x, "y": y}, getattr(np, name)(x, y)


@formula
def select(draw):
    shape, dtype = draw.shape(0), draw.one("float32", "float16", "int32", "bool")
    cond, a, b = (draw.array(draw.one(shape, draw.broadcast(shape)), kind) for kind in ("bool", dtype, dtype))
    return "select", 15, {"cond": cond, "a": a, "b": b}, np.where(cond, a, b)


@formula
def cast(draw):
    x = draw.array(draw.shape(0), draw.one("float32", "float16", "int32", "bool"))
    dtype = draw.one("int32", "bool", "fp32")
    wanted = {"int32": np.int32, "bool": np.bool_, "fp32": np.float32}[dtype]
    if dtype == "fp32" and x.dtype == np.float16:
        x = x.astype(np.float32)
    return "cast", 15, {"x": x, "dtype": dtype}, x.astype(wanted)


REDUCTIONS = {
    "reduce_l1_norm": lambda x, **k: np.sum(np.abs(x), **k),
    "reduce_l2_norm": lambda x, **k: np.sqrt(np.sum(x * x, **k)),
    "reduce_log_sum": lambda x, **k: np.log(np.sum(x, **k)),
    "reduce_log_sum_exp": lambda x, **k: np.log(np.sum(np.exp(x), **k)),
    "reduce_max": np.max,
    "reduce_mean": np.mean,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_sum": np.sum,
    "reduce_sum_square": lambda x, **k: np.sum(x * x, **k),
}


@formula
def reduction(draw):
    name = draw.one(*REDUCTIONS)
    x = draw.array(draw.shape())
    x = np.abs(x) + x.dtype.type(1) if name == "reduce_log_sum" else x
    x = np.sign(x) if name == "reduce_prod" and x.dtype == np.int32 else x
    given = draw.some(axes=draw.axes(x.ndim), keep_dims=draw.flag())
    axes = tuple(given.get("axes", range(x.ndim)))
    expected = REDUCTIONS[name](x.astype(np.float64), axis=axes, keepdims=given.get("keep_dims", False))
    expected = np.trunc(expected).astype(np.int32) if x.dtype == np.int32 else expected
    return name, 15, {"x": x, **given}, expected


@formula
def argument(draw):
    name, function = draw.one(("reduce_argmax", np.argmax), ("reduce_argmin", np.argmin))
    shape = draw.shape()
    x = draw.random.permutation(math.prod(shape)).reshape(shape).astype(draw.one("float32", "float16", "int32"))
    given = draw.some(axis=draw.axis(x.ndim), keep_dims=draw.flag())
    expected = function(x, axis=given.get("axis", -1), keepdims=given.get("keep_dims", False)).astype(np.int32)
    if draw.flag():
        return name, 15, {"x": x, **given}, expected
    return name, 17, {"x": x, **given, "output_dtype": "uint16"}, expected.astype(np.uint16)


@formula
def softmax(draw):
    x = draw.floats(draw.shape(), draw.one("float32", "float16"))
    given = draw.some(axis=draw.axis(x.ndim))
    grown = np.exp(x.astype(np.float64))
    return "softmax", 15, {"x": x, **given}, grown / grown.sum(given.get("axis", -1), keepdims=True)


def shifted(x, axis):
    """0 in front, and the last one gone."""
    moved = np.moveaxis(x, axis, 0)
    return np.moveaxis(np.concatenate([np.zeros_like(moved[:1]), moved[:-1]]), 0, axis)


@formula
def cumsum(draw):
    x = draw.array(draw.shape())
    if draw.flag():
        x = x * x.dtype.type(1000)
    given = draw.some(axis=draw.axis(x.ndim), exclusive=draw.flag(), reverse=draw.flag())
    axis = given.get("axis", 0)
    expected = x.astype(np.float64)
    expected = np.flip(expected, axis) if given.get("reverse") else expected
    expected = np.cumsum(shifted(expected, axis) if given.get("exclusive") else expected, axis)
    expected = np.flip(expected, axis) if given.get("reverse") else expected
    return "cumsum", 15, {"x": x, **given}, expected.astype(np.int32 if x.dtype == np.int32 else np.float64)


@formula
def order(draw):
    shape = draw.shape()
    x = draw.random.permutation(math.prod(shape)).reshape(shape).astype(draw.one("float32", "float16", "int32"))
    given = draw.some(axis=draw.axis(x.ndim), ascending=draw.flag())
    axis = given.get("axis", -1)
    places = np.argsort(x if given.get("ascending") else -x, axis)
    if draw.flag():
        return "argsort", 15, {"x": x, **given}, places
    k = draw.integer(1, shape[axis])
    places = np.take(places, range(k), axis)
    values = np.take_along_axis(x, places, axis)
    opset, more, kind = draw.one(
        (15, {}, np.int32), (16, {"return_indices": False}, None), (17, {"output_indices_dtype": "int16"}, np.int16)
    )
    return "topk", opset, {"x": x, "k": k, **given, **more}, [values] if kind is None else [values, places.astype(kind)]


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
