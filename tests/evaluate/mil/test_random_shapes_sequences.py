"""Attention and recurrent ops of random shapes, against torch's modules and MIL's formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


@formula
def scaled_dot_product_attention(draw):
    dtype, batch = draw.one("float32", "float16"), draw.shape(1, 3)
    queries, keys, size, width = draw.integers(4, 1, 4)
    query, key = draw.floats((*batch, queries, size), dtype), draw.floats((*batch, keys, size), dtype)
    value = draw.floats((*batch, keys, width), dtype)
    mask_shape = (*draw.broadcast(batch), *draw.one((queries, keys), (1, keys)))
    scores = query.astype(np.float64) @ key.swapaxes(-1, -2) / math.sqrt(size)
    given, kind = {}, draw.one("none", "bool", "float")
    if kind == "bool":
        given["attn_mask"] = draw.array(mask_shape, "bool") | (np.arange(keys) == 0)
        scores = np.where(given["attn_mask"], scores, -np.inf)
    elif kind == "float":
        given["attn_mask"] = draw.floats(mask_shape, dtype)
        scores = scores + given["attn_mask"]
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ value
    return "scaled_dot_product_attention", 18, {"query": query, "key": key, "value": value, **given}, expected


def module_of(draw, kind, size, width, **more):
    """torch's module with drawn numbers, and its parameters with their gates in the order given."""
    module = kind(size, width, **more)
    for parameter in module.parameters():
        parameter.requires_grad_(False).copy_(torch.from_numpy(draw.floats(tuple(parameter.shape), "float32", -1, 1)))
    return module


def gates(parameter, order):
    return np.concatenate([parameter.chunk(len(order))[i].numpy() for i in order])


@formula
def lstm(draw):
    steps, batch, size, width = draw.integers(4, 1, 4)
    direction, whole = draw.one("forward", "reverse", "bidirectional"), draw.flag()
    both = direction == "bidirectional"
    module = module_of(draw, torch.nn.LSTM, size, width, bidirectional=both)
    x, h, c = draw.floats((steps, batch, size)), *(draw.floats((batch, (1 + both) * width)) for _ in range(2))
    given = {"x": x, "initial_h": h, "initial_c": c, "direction": direction, "output_sequence": whole}
    for suffix, torch_suffix in (("", ""), ("_back", "_reverse"))[: 1 + both]:
        of = {
            n: gates(getattr(module, f"{n}_l0{torch_suffix}"), [0, 1, 3, 2])
            for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        given |= {f"weight_ih{suffix}": of["weight_ih"], f"weight_hh{suffix}": of["weight_hh"]}
        given[f"bias{suffix}"] = of["bias_ih"] + of["bias_hh"]
    states = [torch.from_numpy(np.stack(np.split(v, 1 + both, 1))) for v in (h, c)]
    sequence, ends = module(torch.from_numpy(x[::-1].copy() if direction == "reverse" else x), tuple(states))
    h, c = (torch.cat(list(end), 1) for end in ends)
    return "lstm", draw.one(15, 17), given, [sequence if whole else h[None], h, c]


@formula
def rnn(draw):
    steps, batch, size, width = draw.integers(4, 1, 4)
    direction, whole, activation = draw.one("forward", "reverse"), draw.flag(), draw.one("tanh", "relu")
    module = module_of(draw, torch.nn.RNN, size, width, nonlinearity=activation)
    x, h = draw.floats((steps, batch, size)), draw.floats((batch, width))
    given = {"x": x, "initial_h": h, "direction": direction, "output_sequence": whole, "activation": activation}
    given |= {"weight_ih": module.weight_ih_l0.numpy(), "weight_hh": module.weight_hh_l0.numpy()}
    given["bias"] = (module.bias_ih_l0 + module.bias_hh_l0).numpy()
    sequence, end = module(torch.from_numpy(x[::-1].copy() if direction == "reverse" else x), torch.from_numpy(h)[None])
    return "rnn", 15, given, [sequence if whole else end, end[0]]


@formula
def gru(draw):
    steps, batch, size, width = draw.integers(4, 1, 4)
    direction, whole = draw.one("forward", "reverse"), draw.flag()
    module = module_of(draw, torch.nn.GRU, size, width)
    x, h = draw.floats((steps, batch, size)), draw.floats((batch, width))
    of = {n: gates(getattr(module, f"{n}_l0"), [0, 2, 1]) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    given = {"x": x, "initial_h": h, "direction": direction, "output_sequence": whole, "reset_after": True}
    given |= {
        "weight_ih": of["weight_ih"],
        "weight_hh": of["weight_hh"],
        "input_bias": of["bias_ih"],
        "bias": of["bias_hh"],
    }
    sequence, end = module(torch.from_numpy(x[::-1].copy() if direction == "reverse" else x), torch.from_numpy(h)[None])
    return "gru", 18, given, [sequence if whole else end, end[0]]


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@formula
def lstm_with_all_settings(draw):
    steps, batch, size, width = draw.integers(4, 1, 4)
    names = {key: draw.one(*ACTIVATIONS) for key in ("recurrent_activation", "cell_activation", "activation")}
    direction, whole = draw.one("forward", "reverse"), draw.flag()
    x, h, c = (draw.floats(shape) for shape in ((steps, batch, size), (batch, width), (batch, width)))
    weight_ih, weight_hh = (draw.floats((4 * width, n), "float32", -0.5, 0.5) for n in (size, width))
    given = draw.some(bias=draw.floats(4 * width), peephole=draw.floats(3 * width, "float32", -0.5, 0.5), clip=0.5)
    arguments = {"x": x, "initial_h": h, "initial_c": c, "weight_ih": weight_ih, "weight_hh": weight_hh, **given}
    peep_i, peep_f, peep_o = np.split(given.get("peephole", np.zeros(3 * width)), 3)
    gate, cell, out = (ACTIVATIONS[name] for name in names.values())
    limit, sequence = given.get("clip", np.inf), []
    for step in x if direction == "forward" else x[::-1]:
        i, f, o, z = np.split(step @ weight_ih.T + h @ weight_hh.T + given.get("bias", 0), 4, 1)
        c = np.clip(gate(f + peep_f * c) * c + gate(i + peep_i * c) * cell(z), -limit, limit)
        h = gate(o + peep_o * c) * out(c)
        sequence.append(h)
    arguments |= {**names, "direction": direction, "output_sequence": whole}
    return "lstm", draw.one(15, 17), arguments, [np.stack(sequence if whole else sequence[-1:]), h, c]


@formula
def gru_with_all_settings(draw):
    """The reset gate works before the product with the hidden state, unless reset_after says so."""
    steps, batch, size, width = draw.integers(4, 1, 4)
    names = {key: draw.one(*ACTIVATIONS) for key in ("recurrent_activation", "activation")}
    direction, whole, opset = draw.one("forward", "reverse"), draw.flag(), draw.one(15, 18)
    x, h = draw.floats((steps, batch, size)), draw.floats((batch, width))
    weight_ih, weight_hh = (draw.floats((3 * width, n), "float32", -0.5, 0.5) for n in (size, width))
    given = draw.some(bias=draw.floats(3 * width))
    given |= draw.some(input_bias=draw.floats(3 * width), reset_after=draw.flag()) if opset == 18 else {}
    arguments = {"x": x, "initial_h": h, "weight_ih": weight_ih, "weight_hh": weight_hh, **given}
    gate, out = (ACTIVATIONS[name] for name in names.values())
    u_r, u_o, u_z = np.split(weight_hh.T, 3, 1)
    b_r, b_o, b_z = np.split(given.get("bias", np.zeros(3 * width)), 3)
    sequence = []
    for step in x if direction == "forward" else x[::-1]:
        w_r, w_o, w_z = np.split(step @ weight_ih.T + given.get("input_bias", 0), 3, 1)
        r, z = gate(w_r + h @ u_r + b_r), gate(w_z + h @ u_z + b_z)
        o = out(w_o + (r * (h @ u_o + b_o) if given.get("reset_after") else (r * h) @ u_o + b_o))
        h = (1 - z) * o + z * h
        sequence.append(h)
    arguments |= {**names, "direction": direction, "output_sequence": whole}
    return "gru", opset, arguments, [np.stack(sequence if whole else sequence[-1:]), h]


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
