"""Layers of one number at a time, at random ranks and shapes against numpy.

The formulas are those of the comments in NeuralNetwork.proto, computed in float64.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shaped

RANDOM = settings(derandomize=True, deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**32 - 1)
UP_TO_2 = st.floats(0.25, 2, width=32)
FLAGS = st.booleans()


def shapes(low=1, high=5, side=4):
    return st.lists(st.integers(1, side), min_size=low, max_size=high).map(tuple)


def uniform(shape, seed, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def quarters(shape, seed):
    """Few values, each a whole number of quarters: equal ones are frequent, and quotients exact."""
    return (np.random.default_rng(seed).integers(-6, 7, shape) / 4).astype(np.float32)


def wide(x):
    return np.asarray(x, np.float64)


UNARY = {
    "ceil": (np.ceil, -3, 3),
    "floor": (np.floor, -3, 3),
    "round": (np.rint, -3, 3),
    "sign": (np.sign, -1, 1),
    "exp2": (np.exp2, -3, 3),
    "sin": (np.sin, -5, 5),
    "cos": (np.cos, -5, 5),
    "tan": (np.tan, -1, 1),
    "asin": (np.arcsin, -0.9, 0.9),
    "acos": (np.arccos, -0.9, 0.9),
    "atan": (np.arctan, -5, 5),
    "sinh": (np.sinh, -2, 2),
    "cosh": (np.cosh, -2, 2),
    "tanh": (np.tanh, -2, 2),
    "asinh": (np.arcsinh, -2, 2),
    "acosh": (np.arccosh, 1.1, 3),
    "atanh": (np.arctanh, -0.9, 0.9),
    "erf": (np.vectorize(math.erf), -2, 2),
    "logicalNot": (lambda x: x == 0, 0, 0),
}


@pytest.mark.parametrize("kind", UNARY)
@given(shape=shapes(), seed=SEEDS)
@RANDOM
def test_functions_of_one_number(same, kind, shape, seed):
    formula, low, high = UNARY[kind]
    x = uniform(shape, seed, low, high) if low < high else quarters(shape, seed)
    same(kind, [x], {}, formula(wide(x)))


OPERATIONS = {
    "SQRT": lambda x, alpha, epsilon: np.sqrt(x),
    "RSQRT": lambda x, alpha, epsilon: 1 / np.sqrt(x + epsilon),
    "INVERSE": lambda x, alpha, epsilon: 1 / (x + epsilon),
    "POWER": lambda x, alpha, epsilon: x**alpha,
    "EXP": lambda x, alpha, epsilon: np.exp(x),
    "LOG": lambda x, alpha, epsilon: np.log(x + epsilon),  # so coremltools' own tests of Core ML have it
    "ABS": lambda x, alpha, epsilon: np.abs(x),
    "THRESHOLD": lambda x, alpha, epsilon: np.maximum(alpha, x),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@given(shape=shapes(), seed=SEEDS, given_fields=st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("alpha", "epsilon", "shift", "scale"), UP_TO_2)))  # fmt: skip
@RANDOM
def test_the_unary_layer(same, operation, shape, seed, given_fields):
    signed = operation in ("ABS", "THRESHOLD", "EXP")
    x = uniform(shape, seed, -2 if signed else 0.5, 2)
    moved = given_fields.get("scale", 1) * wide(x) + given_fields.get("shift", 0)
    expected = OPERATIONS[operation](moved, given_fields.get("alpha", 0), given_fields.get("epsilon", 1e-6))
    same("unary", [x], {"type": operation} | given_fields, expected)


BINARY = {
    "addBroadcastable": np.add,
    "subtractBroadcastable": np.subtract,
    "multiplyBroadcastable": np.multiply,
    "divideBroadcastable": np.divide,
    "floorDivBroadcastable": lambda a, b: np.floor(a / b),
    "modBroadcastable": lambda a, b: a - b * np.floor(a / b),
    "powBroadcastable": np.power,
    "maxBroadcastable": np.maximum,
    "minBroadcastable": np.minimum,
    "equal": np.equal,
    "notEqual": np.not_equal,
    "lessThan": np.less,
    "lessEqual": np.less_equal,
    "greaterThan": np.greater,
    "greaterEqual": np.greater_equal,
    "logicalAnd": np.logical_and,
    "logicalOr": np.logical_or,
    "logicalXor": np.logical_xor,
}
PAIRS = shaped.mutually_broadcastable_shapes(num_shapes=2, min_dims=1, max_dims=5, max_side=3)


@pytest.mark.parametrize("kind", BINARY)
@given(pair=PAIRS, seed=SEEDS)
@RANDOM
def test_functions_of_two_numbers_broadcast(same, kind, pair, seed):
    a, b = (quarters(shape, seed + index) for index, shape in enumerate(pair.input_shapes))
    if kind in ("divideBroadcastable", "floorDivBroadcastable", "modBroadcastable"):
        b = np.where(b == 0, np.float32(0.75), b)
    a = abs(a) + np.float32(0.5) if kind == "powBroadcastable" else a
    same(kind, [a, b], {}, BINARY[kind](wide(a), wide(b)))


@pytest.mark.parametrize("kind", ["equal", "notEqual", "lessThan", "lessEqual", "greaterThan", "greaterEqual"])
@given(shape=shapes(), seed=SEEDS, alpha=st.sampled_from([-0.5, 0.0, 0.25]))
@RANDOM
def test_comparisons_with_a_constant(same, kind, shape, seed, alpha):
    x = quarters(shape, seed)
    same(kind, [x], {"alpha": alpha}, BINARY[kind](wide(x), alpha))


@given(
    triple=shaped.mutually_broadcastable_shapes(num_shapes=3, min_dims=1, max_dims=5, max_side=3),
    seed=SEEDS,
)
@RANDOM
def test_where_broadcasts(same, triple, seed):
    condition, x, y = (quarters(shape, seed + index) for index, shape in enumerate(triple.input_shapes))
    same("whereBroadcastable", [condition, x, y], {}, np.where(condition != 0, x, y))


MANY = {
    "add": np.add,
    "multiply": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "average": np.add,
}


@pytest.mark.parametrize("kind", MANY)
@given(shape=shapes(4, 4), masks=st.lists(st.sampled_from(["", "HW", "CHW", "C"]), min_size=1, max_size=3), seed=SEEDS)
@RANDOM
def test_layers_of_many_inputs_broadcast_channels_and_pixels(same, kind, shape, masks, seed):
    b, c, h, w = shape
    cut = {"": shape, "HW": (b, c, 1, 1), "CHW": (b, 1, 1, 1), "C": (b, 1, h, w)}
    inputs = [uniform(shape, seed)] + [uniform(cut[m], seed + i + 1) for i, m in enumerate(masks)]
    expected = wide(inputs[0])
    for x in inputs[1:]:
        expected = MANY[kind](expected, wide(x))
    same(kind, inputs, {}, expected / (len(inputs) if kind == "average" else 1))


@given(shape=shapes(), seed=SEEDS, alpha=st.floats(-2, 2, width=32), low=UP_TO_2, more=UP_TO_2)
@RANDOM
def test_layers_with_numbers_of_their_own(same, shape, seed, alpha, low, more):
    x = uniform(shape, seed)
    same("add", [x], {"alpha": alpha}, wide(x) + alpha)
    same("multiply", [x], {"alpha": alpha}, wide(x) * alpha)
    same("clip", [x], {"minVal": -low, "maxVal": more}, np.minimum(np.maximum(wide(x), -low), more))
    same("fillLike", [x], {"value": alpha}, np.full(shape, alpha))
    same("fillStatic", [], {"value": alpha, "targetShape": shape}, np.full(shape, alpha))
    same("fillDynamic", [np.array(shape, np.float32)], {"value": alpha}, np.full(shape, alpha))
    same("getShape", [x], {}, np.array(shape))
    same("loadConstantND", [], {"shape": shape, "data": x}, x)
    same("whereNonZero", [quarters(shape, seed)], {}, np.argwhere(quarters(shape, seed)))


@given(pair=PAIRS)
@RANDOM
def test_broadcasts(same, pair):
    target = pair.result_shape
    x = uniform(pair.input_shapes[0], 0)
    expected = np.broadcast_to(x, target)
    same("broadcastToStatic", [x], {"targetShape": target}, expected)
    same("broadcastToDynamic", [x, np.array(target, np.float32)], {}, expected)
    same("broadcastToLike", [x, np.zeros(target, np.float32)], {}, expected)


@given(
    shape=shapes(3, 5), sizes=st.lists(st.sampled_from(["1", "C", "1HW", "CHW"]), min_size=2, max_size=2), seed=SEEDS
)
@RANDOM
def test_bias_and_scale_are_for_everything_channels_or_pixels(same, shape, sizes, seed):
    c, h, w = shape[-3:]
    stored = {"1": (1,), "C": (c,), "1HW": (1, h, w), "CHW": (c, h, w)}
    seen = {"1": (1, 1, 1), "C": (c, 1, 1), "1HW": (1, h, w), "CHW": (c, h, w)}
    x, (a, b) = uniform(shape, seed), (uniform(stored[size], seed + 1) for size in sizes)
    first, second = (wide(v).reshape(seen[size]) for v, size in zip((a, b), sizes, strict=True))
    same("bias", [x], {"shape": a.shape, "bias": a}, x + first)
    fields = {"shapeScale": a.shape, "scale": a}
    same("scale", [x], fields, x * first)
    same("scale", [x], fields | {"hasBias": True, "shapeBias": b.shape, "bias": b}, x * first + second)


ACTIVATIONS = {
    "linear": lambda x, a, b: a * x + b,
    "ReLU": lambda x, a, b: np.maximum(0, x),
    "leakyReLU": lambda x, a, b: np.maximum(0, x) + a * np.minimum(0, x),
    "thresholdedReLU": lambda x, a, b: np.where(x >= a, x, 0),
    "tanh": lambda x, a, b: np.tanh(x),
    "scaledTanh": lambda x, a, b: a * np.tanh(b * x),
    "sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "sigmoidHard": lambda x, a, b: np.minimum(np.maximum(a * x + b, 0), 1),
    "ELU": lambda x, a, b: np.where(x >= 0, x, a * (np.exp(x) - 1)),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "softplus": lambda x, a, b: np.log(1 + np.exp(x)),
}
TAKES = {"linear": 2, "leakyReLU": 1, "thresholdedReLU": 1, "scaledTanh": 2, "sigmoidHard": 2, "ELU": 1}


@pytest.mark.parametrize("kind", ACTIVATIONS)
@given(shape=shapes(), seed=SEEDS, alpha=UP_TO_2, beta=UP_TO_2)
@RANDOM
def test_activations(same, kind, shape, seed, alpha, beta):
    x = uniform(shape, seed)
    fields = dict([("alpha", alpha), ("beta", beta)][: TAKES.get(kind, 0)])
    same("activation", [x], {kind: fields}, ACTIVATIONS[kind](wide(x), alpha, beta))


@given(shape=shapes(3, 5), shared=FLAGS, seed=SEEDS)
@RANDOM
def test_activations_with_numbers_for_each_channel(same, shape, shared, seed):
    x = uniform(shape, seed)
    alpha, beta = (uniform(1 if shared else shape[-3], seed + i, 0.25, 2) for i in (1, 2))
    a, b = (wide(v)[:, None, None] for v in (alpha, beta))
    same("activation", [x], {"PReLU": {"alpha": alpha}}, np.maximum(0, x) + a * np.minimum(0, x))
    expected = a * np.log(1 + np.exp(b * x))
    same("activation", [x], {"parametricSoftplus": {"alpha": alpha, "beta": beta}}, expected)


@given(shape=shapes(), seed=SEEDS, alpha=UP_TO_2, beta=UP_TO_2)
@RANDOM
def test_gelu_and_clamped_relu(same, shape, seed, alpha, beta):
    x = uniform(shape, seed)
    y = wide(x)
    cubic = math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)
    same("gelu", [x], {}, 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2))))
    same("gelu", [x], {"mode": "TANH_APPROXIMATION"}, 0.5 * y * (1 + np.tanh(cubic)))
    same("gelu", [x], {"mode": "SIGMOID_APPROXIMATION"}, y / (1 + np.exp(-1.702 * y)))
    same("clampedReLU", [x], {"alpha": alpha, "beta": beta}, np.minimum(np.where(y >= 0, y, alpha * y), beta))


@st.composite
def with_axis(draw, low=1, high=5):
    """A shape and one of its axes, from the start or the end."""
    shape = draw(shapes(low, high))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


def softmax(x, axis):
    powers = np.exp(x)
    return powers / powers.sum(axis, keepdims=True)


@given(case=with_axis(), image=shapes(3, 5), seed=SEEDS)
@RANDOM
def test_softmax(same, case, image, seed):
    shape, axis = case
    same("softmaxND", [uniform(shape, seed)], {"axis": axis}, softmax(wide(uniform(shape, seed)), axis))
    same("softmax", [uniform(image, seed)], {}, softmax(wide(uniform(image, seed)), -3))
