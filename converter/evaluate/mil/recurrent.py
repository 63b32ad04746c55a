"""Chapter recurrent. Gates stand in MIL's order: r, o, z for gru; i, f, o, z for lstm."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    # with these constants in Apple's tests of lstm
    "hard_sigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
    "sigmoid_hard": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
    "scaled_tanh": torch.tanh,
}


@ops.op
def gru(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
) -> tuple[Tensor, Tensor]:
    return gru_18(
        x, initial_h, weight_ih, weight_hh, bias, direction, output_sequence, recurrent_activation, activation
    )


@ops.op
def gru_18(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool | None = None,
    input_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The reset gate applies to the hidden state, or with reset_after to what the weights make of it (as in torch)."""
    gate, out = _ACTIVATIONS[recurrent_activation], _ACTIVATIONS[activation]
    size = initial_h.shape[1]
    biases = torch.zeros(3 * size) if bias is None else bias
    w_r, w_o, w_z = F.linear(x, weight_ih, input_bias).chunk(3, -1)
    h_r, h_o, h_z = weight_hh.chunk(3)
    b_r, b_o, b_z = biases.chunk(3)
    h, steps = fitting(initial_h, x.shape[1]), []
    for t in _order(len(x), direction):
        reset = gate(w_r[t] + F.linear(h, h_r, b_r))
        update = gate(w_z[t] + F.linear(h, h_z, b_z))
        new = out(w_o[t] + (reset * F.linear(h, h_o, b_o) if reset_after else F.linear(reset * h, h_o, b_o)))
        h = (1 - update) * new + update * h
        steps.append(h)
    return _sequence(steps, output_sequence), h


@ops.op
def lstm(
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    peephole: Tensor | None = None,
    weight_ih_back: Tensor | None = None,
    weight_hh_back: Tensor | None = None,
    bias_back: Tensor | None = None,
    peephole_back: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of a bidirectional lstm, the backward half's steps stand at the places of their inputs."""
    names = recurrent_activation, cell_activation, activation
    initial_h, initial_c = fitting(initial_h, x.shape[1]), fitting(initial_c, x.shape[1])
    if direction != "bidirectional":
        order = _order(len(x), direction)
        steps, h, c = _lstm(x, initial_h, initial_c, weight_ih, weight_hh, bias, peephole, order, names, clip)
        return _sequence(steps, output_sequence), h, c
    if weight_ih_back is None or weight_hh_back is None:
        raise ValueError("a bidirectional lstm needs weights for the way back")
    (h_there, h_back), (c_there, c_back) = initial_h.chunk(2, 1), initial_c.chunk(2, 1)
    there = _order(len(x), "forward")
    steps, h, c = _lstm(x, h_there, c_there, weight_ih, weight_hh, bias, peephole, there, names, clip)
    back, back_h, back_c = _lstm(
        x, h_back, c_back, weight_ih_back, weight_hh_back, bias_back, peephole_back, there[::-1], names, clip
    )
    ends = torch.cat([h, back_h], 1), torch.cat([c, back_c], 1)
    if not output_sequence:
        return ends[0].unsqueeze(0), *ends
    return torch.cat([torch.stack(steps), torch.stack(back[::-1])], 2), *ends


@ops.op
def rnn(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Tensor, Tensor]:
    inputs = F.linear(x, weight_ih, bias)
    h, steps = fitting(initial_h, x.shape[1]), []
    for t in _order(len(x), direction):
        h = _ACTIVATIONS[activation](inputs[t] + F.linear(h, weight_hh))
        steps.append(h)
    return _sequence(steps, output_sequence), h


def fitting(state: Tensor, batch: int) -> Tensor:
    """An initial state, [batch, size]; coremltools writes one of more rows, all the same, for packed sequences."""
    if len(state) > batch and bool((state == state[:1]).all()):
        return state[:batch]
    return state


def _lstm(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    peephole: Tensor | None,
    order: range,
    names: tuple[str, str, str],
    clip: float | None,
) -> tuple[list[Tensor], Tensor, Tensor]:
    gate, cell, out = (_ACTIVATIONS[name] for name in names)
    peep_i, peep_f, peep_o = (torch.zeros(3 * h.shape[1]) if peephole is None else peephole).chunk(3)
    inputs = F.linear(x, weight_ih, bias)
    steps = []
    for t in order:
        i, f, o, z = (inputs[t] + F.linear(h, weight_hh)).chunk(4, -1)
        c = gate(f + peep_f * c) * c + gate(i + peep_i * c) * cell(z)
        c = c if clip is None else torch.clamp(c, -clip, clip)
        h = gate(o + peep_o * c) * out(c)
        steps.append(h)
    return steps, h, c


def _order(count: int, direction: str) -> range:
    if direction not in ("forward", "reverse"):
        raise ValueError(f"unknown direction {direction!r}")
    return range(count) if direction == "forward" else range(count - 1, -1, -1)


def _sequence(steps: list[Tensor], whole: bool) -> Tensor:
    """All steps, in the order in which they were computed, or the last."""
    return torch.stack(steps if whole else steps[-1:])
