import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb

S, B, D, H = 4, 2, 3, 5
RANDOM = np.random.default_rng(6)
IFOZ, RNZ = [0, 1, 3, 2], [0, 2, 1]  # where MIL's gates stand in torch's order


def torch_module(kind, **more):
    torch.manual_seed(7)
    module = kind(D, H, **more)
    for parameter in module.parameters():
        parameter.requires_grad_(False).copy_(parameter.half().float())
    return module


LSTM, LSTM2 = torch_module(torch.nn.LSTM), torch_module(torch.nn.LSTM, bidirectional=True)
GRU, RNN = torch_module(torch.nn.GRU), torch_module(torch.nn.RNN)


def ordered(parameter, order):
    return np.concatenate([parameter.numpy()[i * H : (i + 1) * H] for i in order])


def lstm_weights(module, torch_suffix="", suffix=""):
    def of(name):
        return ordered(getattr(module, f"{name}_l0{torch_suffix}"), IFOZ)

    return {
        f"weight_ih{suffix}": of("weight_ih"),
        f"weight_hh{suffix}": of("weight_hh"),
        f"bias{suffix}": of("bias_ih") + of("bias_hh"),
    }


def lstm(module, **more):
    return lambda x, h, c: mb.lstm(x=x, initial_h=h, initial_c=c, **lstm_weights(module), **more)


def both_ways(x, h, c):
    back = lstm_weights(LSTM2, "_reverse", "_back")
    return mb.lstm(
        x=x,
        initial_h=h,
        initial_c=c,
        direction="bidirectional",
        output_sequence=True,
        **lstm_weights(LSTM2),
        **back,
    )


def torch_both_ways(x, h, c):
    halves = [torch.stack(t.chunk(2, 1)) for t in (h, c)]
    steps, (h, c) = LSTM2(x, tuple(halves))
    return [steps, torch.cat(list(h), 1), torch.cat(list(c), 1)]


def torch_lstm(x, h, c):
    steps, (h, c) = LSTM(x, (h[None], c[None]))
    return [steps, h[0], c[0]]


def lstm_of_others(x, h, c):
    """The formula, with hard sigmoid gates and a linear cell; scaled_tanh has no constants in MIL, so it is tanh."""
    bias = LSTM.bias_ih_l0 + LSTM.bias_hh_l0
    for step in x:
        i, f, z, o = (step @ LSTM.weight_ih_l0.T + h @ LSTM.weight_hh_l0.T + bias).chunk(4, 1)
        i, f, o = (torch.clamp(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
        c = f * c + i * z
        h = o * torch.tanh(c)
    return [h[None], h, c]


def gru_reset_before(x, h):
    """MIL's formula: the reset gate applies to the hidden state."""
    w, u, b = GRU.weight_ih_l0, GRU.weight_hh_l0, GRU.bias_ih_l0
    for step in x:
        i_r, i_z, i_n = (step @ w.T + b).chunk(3, 1)
        h_r, h_z, _ = (h @ u.T).chunk(3, 1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + (r * h) @ u[2 * H :].T)
        h = (1 - z) * n + z * h
    return [h[None], h]


def torch_gru(x, h):
    steps, h = GRU(x, h[None])
    return [steps, h[0]]


GRU_WEIGHTS = {"weight_ih": ordered(GRU.weight_ih_l0, RNZ), "weight_hh": ordered(GRU.weight_hh_l0, RNZ)}
RNN_WEIGHTS = {"weight_ih": RNN.weight_ih_l0.numpy(), "weight_hh": RNN.weight_hh_l0.numpy()}

CASES = [
    ("lstm", 15, lstm(LSTM, output_sequence=True), torch_lstm, (S, B, D), (B, H), (B, H)),
    (
        "lstm with more rows of states than it takes, all the same",
        15,
        lambda x: lstm(LSTM, output_sequence=True)(x, np.full((S, H), 0.5, np.float32), np.ones((S, H), np.float32)),
        lambda x: torch_lstm(x, torch.full((B, H), 0.5), torch.ones(B, H)),
        (S, B, D),
    ),
    (
        "lstm, last step",
        17,
        lstm(LSTM),
        lambda *x: [torch_lstm(*x)[0][-1:], *torch_lstm(*x)[1:]],
        (S, B, D),
        (B, H),
        (B, H),
    ),
    (
        "lstm reverse",
        15,
        lstm(LSTM, output_sequence=True, direction="reverse"),
        lambda x, h, c: torch_lstm(x.flip(0), h, c),
        (S, B, D),
        (B, H),
        (B, H),
    ),
    (
        "lstm of other activations",
        15,
        lstm(LSTM, recurrent_activation="hard_sigmoid", cell_activation="linear", activation="scaled_tanh"),
        lstm_of_others,
        (S, B, D),
        (B, H),
        (B, H),
    ),
    ("lstm bidirectional", 15, both_ways, torch_both_ways, (S, B, D), (B, 2 * H), (B, 2 * H)),
    (
        "gru",
        15,
        lambda x, h: mb.gru(x=x, initial_h=h, bias=ordered(GRU.bias_ih_l0, RNZ), **GRU_WEIGHTS),
        gru_reset_before,
        (S, B, D),
        (B, H),
    ),
    (
        "gru_18, reset after as in torch",
        18,
        lambda x, h: mb.gru(
            x=x,
            initial_h=h,
            input_bias=ordered(GRU.bias_ih_l0, RNZ),
            bias=ordered(GRU.bias_hh_l0, RNZ),
            reset_after=True,
            output_sequence=True,
            **GRU_WEIGHTS,
        ),
        torch_gru,
        (S, B, D),
        (B, H),
    ),
    (
        "rnn",
        15,
        lambda x, h: mb.rnn(
            x=x,
            initial_h=h,
            bias=(RNN.bias_ih_l0 + RNN.bias_hh_l0).numpy(),
            output_sequence=True,
            **RNN_WEIGHTS,
        ),
        lambda x, h: [RNN(x, h[None])[0], RNN(x, h[None])[1][0]],
        (S, B, D),
        (B, H),
    ),
]


def test_an_op_answers_as_torch(case, precision, compare):
    compare(case, precision)
