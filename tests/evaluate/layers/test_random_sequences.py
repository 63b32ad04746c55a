"""Recurrent layers at random sizes against the equations of NeuralNetwork.proto, and layers of networks of rank 5."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.evaluate.layers import Network

RANDOM = settings(derandomize=True, deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()
SIZES = st.tuples(*[st.integers(1, 4)] * 4)  # steps, batch, inputs, outputs

FUNCTIONS = {
    "linear": ({"alpha": 1}, lambda x: x),
    "sigmoid": ({}, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": ({}, np.tanh),
    "ReLU": ({}, lambda x: np.maximum(0, x)),
    "scaledTanh": ({"alpha": 1.7159, "beta": 2 / 3}, lambda x: 1.7159 * np.tanh(2 / 3 * x)),
    "sigmoidHard": ({"alpha": 0.2, "beta": 0.5}, lambda x: np.minimum(np.maximum(0.2 * x + 0.5, 0), 1)),
}
NAMES = st.sampled_from([*FUNCTIONS])


def message(name):
    return {name: FUNCTIONS[name][0]}


def deep(x):
    """[steps, batch, size] with the two axes of one that these layers have."""
    return np.asarray(x, np.float32)[..., None, None]


def clip(x, bound=50):
    return np.minimum(np.maximum(x, -bound), bound)


class Numbers:
    """Weights and values, one after another from a seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape):
        return self.rng.uniform(-1, 1, shape).astype(np.float32)


def sizes_of(sizes):
    return {"inputVectorSize": sizes[2], "outputVectorSize": sizes[3]}


@given(sizes=SIZES, name=NAMES, flags=st.tuples(*[FLAGS] * 4), seed=SEEDS)
@RANDOM
def test_simple_recurrent(same, sizes, name, flags, seed):
    steps, batch, inputs, outputs = sizes
    everything, has_bias, reverse, starts = flags
    number = Numbers(seed)
    w, r, b = number(outputs, inputs), number(outputs, outputs), number(outputs)
    x, y = number(steps, batch, inputs), number(batch, outputs) if starts else np.zeros((batch, outputs))
    start, answers = y, []
    for now in x[::-1] if reverse else x:
        y = FUNCTIONS[name][1](clip(now @ w.T + y @ r.T + b * has_bias))
        answers.append(y)
    fields = {"activation": message(name), "weightMatrix": w, "recursionMatrix": r, "biasVector": b}
    fields |= {"sequenceOutput": everything, "hasBiasVector": has_bias, "reverseInput": reverse} | sizes_of(sizes)
    given_inputs = [deep(x), deep(start[None])] if starts else [deep(x)]
    same("simpleRecurrent", given_inputs, fields, deep(answers if everything else answers[-1:]), deep(y[None]))


@given(sizes=SIZES, names=st.tuples(NAMES, NAMES), flags=st.tuples(*[FLAGS] * 4), seed=SEEDS)
@RANDOM
def test_gru(same, sizes, names, flags, seed):
    steps, batch, inputs, outputs = sizes
    everything, has_bias, reverse, starts = flags
    number = Numbers(seed)
    gates = ("update", "reset", "output")
    w, r, b = ({g: number(*shape) for g in gates} for shape in ((outputs, inputs), (outputs, outputs), (outputs,)))
    x, y = number(steps, batch, inputs), number(batch, outputs) if starts else np.zeros((batch, outputs))
    f, g = (FUNCTIONS[name][1] for name in names)
    start, answers = y, []
    for now in x[::-1] if reverse else x:
        z = f(clip(now @ w["update"].T + y @ r["update"].T + b["update"] * has_bias))
        gate = f(clip(now @ w["reset"].T + y @ r["reset"].T + b["reset"] * has_bias))
        o = g(clip(now @ w["output"].T + (y * gate) @ r["output"].T + b["output"] * has_bias))
        y = (1 - z) * o + z * y
        answers.append(y)
    fields = {"activations": [message(name) for name in names], "hasBiasVectors": has_bias} | sizes_of(sizes)
    fields |= {"sequenceOutput": everything, "reverseInput": reverse}
    for gate in gates:
        fields |= {f"{gate}GateWeightMatrix": w[gate], f"{gate}GateRecursionMatrix": r[gate]}
        fields |= {f"{gate}GateBiasVector": b[gate]}
    given_inputs = [deep(x), deep(start[None])] if starts else [deep(x)]
    same("gru", given_inputs, fields, deep(answers if everything else answers[-1:]), deep(y[None]))


GATES = ("inputGate", "forgetGate", "blockInput", "outputGate")


class Direction:
    """The weights of one LSTM, and its equations."""

    def __init__(self, number, sizes, params, names):
        _, _, inputs, outputs = sizes
        self.params, self.names = params, names
        self.w, self.r = ({g: number(outputs, n) for g in GATES} for n in (inputs, outputs))
        self.b, self.p = ({g: number(outputs) for g in GATES} for _ in range(2))
        self.fields = {f"{g}WeightMatrix": self.w[g] for g in GATES} | {f"{g}BiasVector": self.b[g] for g in GATES}
        self.fields |= {f"{g}RecursionMatrix": self.r[g] for g in GATES}
        self.fields |= {f"{g}PeepholeVector": self.p[g] for g in GATES if g != "blockInput"}

    def run(self, x, y, c):
        f, g, h = (FUNCTIONS[name][1] for name in self.names)
        has_bias, has_peepholes = self.params["hasBiasVectors"], self.params["hasPeepholeVectors"]
        answers = []
        for now in x:
            sums = {k: now @ self.w[k].T + y @ self.r[k].T + self.b[k] * has_bias for k in GATES}
            peep = {k: self.p[k] * has_peepholes for k in GATES}
            i = f(clip(sums["inputGate"] + peep["inputGate"] * c))
            forget = f(clip(sums["forgetGate"] + peep["forgetGate"] * c + self.params["forgetBias"]))
            forget = 1 - i if self.params["coupledInputAndForgetGate"] else forget
            c = clip(c * forget + i * g(clip(sums["blockInput"])), self.params["cellClipThreshold"] or 50)
            y = h(c) * f(clip(sums["outputGate"] + peep["outputGate"] * c))
            answers.append(y)
        return answers, y, c


OPTIONS = ("sequenceOutput", "hasBiasVectors", "forgetBias", "hasPeepholeVectors", "coupledInputAndForgetGate")
PARAMS = st.fixed_dictionaries(dict.fromkeys(OPTIONS, FLAGS) | {"cellClipThreshold": st.sampled_from([0, 0.25])})
TRIPLES = st.tuples(NAMES, NAMES, NAMES)


@given(sizes=SIZES, names=TRIPLES, params=PARAMS, reverse=FLAGS, starts=FLAGS, seed=SEEDS)
@RANDOM
def test_lstm(same, sizes, names, params, reverse, starts, seed):
    steps, batch, inputs, outputs = sizes
    number = Numbers(seed)
    lstm = Direction(number, sizes, params, names)
    x = number(steps, batch, inputs)
    states = [number(batch, outputs) if starts else np.zeros((batch, outputs)) for _ in range(2)]
    answers, y, c = lstm.run(x[::-1] if reverse else x, *states)
    fields = {"activations": [message(name) for name in names], "params": params, "weightParams": lstm.fields}
    fields |= {"reverseInput": reverse} | sizes_of(sizes)
    given_inputs = [deep(x), *(deep(state[None]) for state in states if starts)]
    expected = [deep(answers if params["sequenceOutput"] else answers[-1:]), deep(y[None]), deep(c[None])]
    same("uniDirectionalLSTM", given_inputs, fields, *expected)


@given(sizes=SIZES, names=TRIPLES, params=PARAMS, starts=FLAGS, seed=SEEDS)
@RANDOM
def test_bidirectional_lstm(same, sizes, names, params, starts, seed):
    steps, batch, inputs, outputs = sizes
    number = Numbers(seed)
    there, back = (Direction(number, sizes, params, names) for _ in range(2))
    x = number(steps, batch, inputs)
    states = [number(batch, outputs) if starts else np.zeros((batch, outputs)) for _ in range(4)]
    first, y, c = there.run(x, *states[:2])
    second, y_back, c_back = back.run(x[::-1], *states[2:])
    pairs = zip(first, second[::-1], strict=True) if params["sequenceOutput"] else [(y, y_back)]
    expected = [np.concatenate(pair, -1) for pair in pairs]
    both = [message(name) for name in names]
    fields = {"activationsForwardLSTM": both, "activationsBackwardLSTM": both, "params": params} | sizes_of(sizes)
    fields |= {"weightParams": [there.fields, back.fields]}
    given_inputs = [deep(x), *(deep(state[None]) for state in states if starts)]
    finals = [deep(state[None]) for state in (y, c, y_back, c_back)]
    same("biDirectionalLSTM", given_inputs, fields, deep(expected), *finals)


RANKS = st.sampled_from([1, 3, 5]).flatmap(lambda n: st.lists(st.integers(1, 4), min_size=n, max_size=n).map(tuple))
OF_RANK_5 = {
    "softmax": ({}, lambda x: np.exp(x) / np.exp(x).sum(2, keepdims=True)),
    "flatten": ({}, lambda x: x.reshape(*x.shape[:2], -1, 1, 1)),
    "permute": ({"axis": [0, 3, 1, 2]}, lambda x: x.transpose(0, 1, 4, 2, 3)),
    "sequenceRepeat": ({"nRepetitions": 2}, lambda x: np.concatenate([x, x])),
    "reduce": ({"axis": "C"}, lambda x: x.sum(2, keepdims=True)),
    "mvn": ({}, lambda x: x - x.mean((3, 4), keepdims=True)),
    "pooling": ({"globalPooling": True}, lambda x: x.max((3, 4), keepdims=True)),
    "padding": (
        {"constant": {}, "paddingAmounts": {"borderAmounts": [{"endEdgeSize": 1}, {"startEdgeSize": 2}]}},
        lambda x: np.pad(x, [(0, 0)] * 3 + [(0, 1), (2, 0)]),
    ),
    "upsample": ({"scalingFactor": [2, 3]}, lambda x: x.repeat(2, 3).repeat(3, 4)),
    "slice": ({"axis": "CHANNEL_AXIS", "startIndex": -1, "endIndex": 9, "stride": 1}, lambda x: x[:, :, -1:]),
}


def innerproduct(x):
    """The sum of C, H and W, as a layer and as it is."""
    count = int(np.prod(x.shape[2:]))
    fields = {"inputChannels": count, "outputChannels": 1, "weights": np.ones(count)}
    return fields, x.sum((2, 3, 4), keepdims=True)


@pytest.mark.parametrize("kind", [*OF_RANK_5, "innerProduct"])
@given(shape=RANKS, seed=SEEDS)
@RANDOM
def test_networks_of_rank_5_see_sequence_batch_channel_height_and_width(model, kind, shape, seed):
    x = Numbers(seed)(*shape)
    seen = {1: (1, 1, *shape, 1, 1), 3: (1, 1, *shape), 5: shape}[len(shape)]
    values = x.reshape(seen).astype(np.float64)
    fields, formula = OF_RANK_5.get(kind, (None, None))
    if formula is None:
        fields, expected = innerproduct(values)
    else:
        expected = formula(values)
    network = Network(model([(kind, ["x"], ["y"], fields)], ["x"], ["y"], rank5=True))
    got = network.run({"x": torch.from_numpy(x)}, ["y"])["y"].numpy()
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
