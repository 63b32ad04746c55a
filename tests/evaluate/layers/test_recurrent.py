"""Against torch's recurrent cells, where they say the same; else against the proto's equations in numpy."""

import numpy as np
import pytest
import torch

RNG = np.random.default_rng(0)
STEPS, BATCH, INPUTS, SIZE = 4, 2, 3, 5


def w(*shape):
    return RNG.uniform(-0.7, 0.7, shape).astype(np.float32)


X = w(STEPS, BATCH, INPUTS)
H, C = w(1, BATCH, SIZE), w(1, BATCH, SIZE)
SIZES = {"inputVectorSize": INPUTS, "outputVectorSize": SIZE}
SIGMOID, TANH = {"sigmoid": {}}, {"tanh": {}}


def deep(x):
    """[Seq, Batch, size, 1, 1]"""
    return np.asarray(x)[..., None, None]


def module(kind, matrices, recursions, biases, **more):
    """A torch module with these gates."""
    net = kind(INPUTS, SIZE, **more)
    for suffix, index in (("", 0), ("_reverse", 1))[: len(matrices)]:
        for name, values in (("weight_ih", matrices), ("weight_hh", recursions), ("bias_ih", biases)):
            getattr(net, f"{name}_l0{suffix}").data = torch.from_numpy(np.concatenate(values[index]))
        getattr(net, f"bias_hh_l0{suffix}").data.zero_()
    return net


def in_order(x, reverse):
    return torch.from_numpy(x[::-1].copy() if reverse else x)


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_simple_recurrent(same, everything, reverse):
    matrix, recursion, bias = w(SIZE, INPUTS), w(SIZE, SIZE), w(SIZE)
    fields = SIZES | {"activation": TANH, "sequenceOutput": everything, "reverseInput": reverse, "hasBiasVector": True}
    fields |= {"weightMatrix": matrix, "recursionMatrix": recursion, "biasVector": bias}
    net = module(torch.nn.RNN, [[matrix]], [[recursion]], [[bias]])
    with torch.no_grad():
        y, h = net(in_order(X, reverse), torch.from_numpy(H))
    same("simpleRecurrent", [deep(X), deep(H)], fields, deep(y if everything else y[-1:]), deep(h))


USUAL = [
    ({"linear": {}}, lambda x: x),
    ({"linear": {"alpha": 2.0, "beta": -1.0}}, lambda x: 2 * x - 1),
    ({"scaledTanh": {}}, np.tanh),
    ({"scaledTanh": {"alpha": 1.5, "beta": 0.5}}, lambda x: 1.5 * np.tanh(0.5 * x)),
    ({"sigmoidHard": {}}, lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    ({"ReLU": {}}, lambda x: np.maximum(x, 0)),
]


@pytest.mark.parametrize(("activation", "formula"), USUAL)
def test_an_activation_whose_parameters_are_not_set_has_the_usual_ones(same, activation, formula):
    matrix, recursion, h = w(SIZE, INPUTS), w(SIZE, SIZE), H[0]
    fields = SIZES | {"activation": activation, "sequenceOutput": True}
    fields |= {"weightMatrix": matrix, "recursionMatrix": recursion}
    steps = []
    for x in X:
        h = formula(x @ matrix.T + h @ recursion.T)
        steps.append(h)
    same("simpleRecurrent", [deep(X), deep(H)], fields, deep(steps), deep([h]))


GATES = ("inputGate", "forgetGate", "blockInput", "outputGate")
ACTIVATIONS = [SIGMOID, TANH, TANH]


def gates(peepholes=False):
    """LSTMWeightParams, and the same for torch, whose order of gates is the proto's."""
    matrices, recursions = [w(SIZE, INPUTS) for _ in GATES], [w(SIZE, SIZE) for _ in GATES]
    biases = [w(SIZE) for _ in GATES]
    fields = {f"{gate}WeightMatrix": value for gate, value in zip(GATES, matrices, strict=True)}
    fields |= {f"{gate}RecursionMatrix": value for gate, value in zip(GATES, recursions, strict=True)}
    fields |= {f"{gate}BiasVector": value for gate, value in zip(GATES, biases, strict=True)}
    if peepholes:
        fields |= {f"{gate}PeepholeVector": w(SIZE) for gate in GATES if gate != "blockInput"}
    return fields, matrices, recursions, biases


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_lstm(same, everything, reverse):
    weights, *numbers = gates()
    params = {"sequenceOutput": everything, "hasBiasVectors": True}
    fields = SIZES | {"activations": ACTIVATIONS, "params": params, "weightParams": weights, "reverseInput": reverse}
    net = module(torch.nn.LSTM, *([n] for n in numbers))
    with torch.no_grad():
        y, (h, c) = net(in_order(X, reverse), (torch.from_numpy(H), torch.from_numpy(C)))
    expected = [deep(y if everything else y[-1:]), deep(h), deep(c)]
    same("uniDirectionalLSTM", [deep(X), deep(H), deep(C)], fields, *expected)


def test_an_lstm_begins_with_zeros(same):
    weights, *numbers = gates()
    fields = SIZES | {"activations": ACTIVATIONS, "params": {"hasBiasVectors": True}, "weightParams": weights}
    with torch.no_grad():
        y, _ = module(torch.nn.LSTM, *([n] for n in numbers))(torch.from_numpy(X))
    same("uniDirectionalLSTM", [deep(X)], fields, deep(y[-1:]))


@pytest.mark.parametrize("everything", [True, False])
def test_bidirectional_lstm(same, everything):
    (forward, *first), (backward, *second) = gates(), gates()
    params = {"sequenceOutput": everything, "hasBiasVectors": True}
    fields = SIZES | {"params": params, "weightParams": [forward, backward]}
    fields |= {"activationsForwardLSTM": ACTIVATIONS, "activationsBackwardLSTM": ACTIVATIONS}
    states = [w(1, BATCH, SIZE) for _ in range(4)]  # h, c, h reverse, c reverse
    net = module(torch.nn.LSTM, *zip(first, second, strict=True), bidirectional=True)
    with torch.no_grad():
        initial = [torch.from_numpy(np.concatenate(pair)) for pair in (states[::2], states[1::2])]
        y, (h, c) = net(torch.from_numpy(X), tuple(initial))
    if not everything:
        y = h.transpose(0, 1).reshape(1, BATCH, 2 * SIZE)
    expected = [deep(y), deep(h[:1]), deep(c[:1]), deep(h[1:]), deep(c[1:])]
    same("biDirectionalLSTM", [deep(X), *map(deep, states)], fields, *expected)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def clip(x):
    return np.clip(x, -50, 50)


@pytest.mark.parametrize(
    "options",
    [
        {"hasPeepholeVectors": True},
        {"forgetBias": True},
        {"coupledInputAndForgetGate": True},
        {"cellClipThreshold": 0.1},
        {"hasPeepholeVectors": True, "coupledInputAndForgetGate": True, "hasBiasVectors": False},
    ],
    ids=str,
)
def test_lstm_options_follow_the_equations(same, options):
    fields, matrices, recursions, biases = gates(peepholes=True)
    params = {"hasBiasVectors": True} | options
    peep = [fields.get(f"{gate}PeepholeVector", 0) if params.get("hasPeepholeVectors") else 0 for gate in GATES]
    biases = biases if params["hasBiasVectors"] else [0, 0, 0, 0]
    limit = params.get("cellClipThreshold", 50)
    y, c = H[0], C[0]
    for x in X:
        i, f, z, o = (x @ m.T + y @ r.T + b for m, r, b in zip(matrices, recursions, biases, strict=True))
        i = sigmoid(clip(i + peep[0] * c))
        f = sigmoid(clip(f + peep[1] * c + (1 if params.get("forgetBias") else 0)))
        f = 1 - i if params.get("coupledInputAndForgetGate") else f
        c = np.clip(c * f + i * np.tanh(clip(z)), -limit, limit)
        y = np.tanh(c) * sigmoid(clip(o + peep[3] * c))
    layer = SIZES | {"activations": ACTIVATIONS, "params": params, "weightParams": fields}
    same("uniDirectionalLSTM", [deep(X), deep(H), deep(C)], layer, deep(y[None]), deep(y[None]), deep(c[None]))


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
def test_gru_follows_the_equations(same, everything, reverse):
    names = ("updateGate", "resetGate", "outputGate")
    matrices, recursions = [w(SIZE, INPUTS) for _ in names], [w(SIZE, SIZE) for _ in names]
    biases = [w(SIZE) for _ in names]
    fields = SIZES | {"activations": [SIGMOID, TANH], "sequenceOutput": everything, "reverseInput": reverse}
    for index, name in enumerate(names):
        fields |= {f"{name}WeightMatrix": matrices[index], f"{name}RecursionMatrix": recursions[index]}
        fields |= {f"{name}BiasVector": biases[index], "hasBiasVectors": True}
    y, answers = H[0], []
    for x in X[::-1] if reverse else X:
        z = sigmoid(x @ matrices[0].T + y @ recursions[0].T + biases[0])
        r = sigmoid(x @ matrices[1].T + y @ recursions[1].T + biases[1])
        o = np.tanh(x @ matrices[2].T + (y * r) @ recursions[2].T + biases[2])
        y = (1 - z) * o + z * y
        answers.append(y)
    same("gru", [deep(X), deep(H)], fields, deep(answers if everything else answers[-1:]), deep(y[None]))


def test_what_a_gate_sees_is_clipped(same):
    fields = SIZES | {"activation": {"linear": {"alpha": 1}}, "recursionMatrix": np.zeros((SIZE, SIZE))}
    fields |= {"weightMatrix": np.full((SIZE, INPUTS), 100.0)}
    y = np.clip(X[-1].sum(-1, keepdims=True) * 100, -50, 50) * np.ones((1, SIZE))
    same("simpleRecurrent", [deep(X)], fields, deep(y[None].astype(np.float32)))
