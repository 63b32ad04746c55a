"""https://onnx.ai/onnx/operators, chapter rnn. Gates come as z r h and i o f c, in MIL as r h z and i f o c."""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import Array, Floats, Operand, Var, const, mb, target_is
from converter.convert.onnx.ops.rnn.activations import clipped
from converter.convert.onnx.ops.rnn.directions import Direction, Layer, answered
from converter.convert.onnx.ops.rnn.sequence import States, Step, product, times
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op

Texts = tuple[str, ...]


@op
def RNN(
    X: Var,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Operand = None,
    initial_h: Operand = None,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: Texts = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Var, ...]:
    """Without output_sequence the answers need not be made; they are where the graph names them."""
    layer = Layer(X, W, R, B, sequence_lens, clip, direction, hidden_size, layout)
    functions = layer.activations(activations, activation_alpha, activation_beta, ("Tanh",))
    # coremltools puts the first state of a NeuralNetwork's simple layer on the wrong axes.
    native = layer.is_plain(functions) and target_is("iOS15")
    return answered(layer, functions, (initial_h,), native=_rnn if native else None, step=_rnn_step)


def _rnn(way: Direction) -> tuple[Var, ...]:
    x, [h], [f] = way.x, way.states, way.functions
    weights = {"weight_ih": const(way.w, like=x), "weight_hh": const(way.r, like=x), "bias": const(way.b, like=x)}
    answers: tuple[Var, ...] = mb.rnn(x=x, initial_h=h, output_sequence=True, activation=f.plain, **weights)
    return answers


def _rnn_step(way: Direction) -> tuple[Array, Step]:
    [f] = (clipped(f, way.clip) for f in way.functions)

    def step(part: Var, states: States) -> States:
        return (f(mb.add(x=part, y=times(states[0], way.r))),)

    return way.b, step


@op
def GRU(
    X: Var,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Operand = None,
    initial_h: Operand = None,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: Texts | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
) -> tuple[Var, ...]:
    """Only iOS18's layer can reset what the weights made of the state (as torch does), not the state itself."""
    layer = Layer(X, W, R, B, sequence_lens, clip, direction, hidden_size, layout)
    functions = layer.activations(activations, activation_alpha, activation_beta, ("Sigmoid", "Tanh"))
    native = layer.is_plain(functions) and (not linear_before_reset or target_is("iOS18"))
    own, step = (_gru_after, _gru_step_after) if linear_before_reset else (_gru, _gru_step)
    return answered(layer, functions, (initial_h,), native=own if native else None, step=step)


def _gru(way: Direction) -> tuple[Var, ...]:
    return _any_gru(way, bias=way.b)


def _gru_after(way: Direction) -> tuple[Var, ...]:
    return _any_gru(way, bias=way.rb, input_bias=const(_reordered(way.wb, "zrh", "rhz"), like=way.x), reset_after=True)


def _any_gru(way: Direction, bias: Array, **more: Var) -> tuple[Var, ...]:
    x, [h], [f, g] = way.x, way.states, way.functions
    given = {"weight_ih": way.w, "weight_hh": way.r, "bias": bias}
    weights = {name: const(_reordered(value, "zrh", "rhz"), like=x) for name, value in given.items()}
    names = {"recurrent_activation": f.plain, "activation": g.plain}
    answers: tuple[Var, ...] = mb.gru(x=x, initial_h=h, output_sequence=True, **weights, **names, **more)
    return answers


def _gru_step(way: Direction) -> tuple[Array, Step]:
    f, g = (clipped(f, way.clip) for f in way.functions)
    size = way.size
    gates, new = way.r[: 2 * size], way.r[2 * size :]

    def step(part: Var, states: States) -> States:
        (h,) = states
        from_x, from_x_new = mb.split(x=part, split_sizes=[2 * size, size], axis=1)
        z, r = mb.split(x=f(mb.add(x=from_x, y=times(h, gates))), num_splits=2, axis=1)
        candidate = g(mb.add(x=from_x_new, y=times(mb.mul(x=r, y=h), new)))
        return (_between(candidate, h, z),)

    return way.b, step


def _gru_step_after(way: Direction) -> tuple[Array, Step]:
    f, g = (clipped(f, way.clip) for f in way.functions)
    size = way.size
    gates, new = slice(2 * size), slice(2 * size, None)

    def step(part: Var, states: States) -> States:
        (h,) = states
        from_x, from_x_new = mb.split(x=part, split_sizes=[2 * size, size], axis=1)
        from_h, from_h_new = times(h, way.r[gates], way.rb[gates]), times(h, way.r[new], way.rb[new])
        z, r = mb.split(x=f(mb.add(x=from_x, y=from_h)), num_splits=2, axis=1)
        candidate = g(mb.add(x=from_x_new, y=mb.mul(x=r, y=from_h_new)))
        return (_between(candidate, h, z),)

    return way.wb, step


def _between(new: Var, old: Var, z: Var) -> Var:
    """(1 - z) * new + z * old"""
    return mb.add(x=mb.mul(x=mb.sub(x=1.0, y=z), y=new), y=mb.mul(x=z, y=old))


@op
def LSTM(
    X: Var,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Operand = None,
    initial_h: Operand = None,
    initial_c: Operand = None,
    P: Array | None = None,
    activation_alpha: Floats | None = None,
    activation_beta: Floats | None = None,
    activations: Texts | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Var, ...]:
    """Core ML bounds the cell where the standard clips what the activations get."""
    layer = Layer(X, W, R, B, sequence_lens, clip, direction, hidden_size, layout, P)
    functions = layer.activations(activations, activation_alpha, activation_beta, ("Sigmoid", "Tanh", "Tanh"))
    native = layer.is_plain(functions) and not input_forget
    step: Callable[[Direction], tuple[Array, Step]] = _coupled_lstm_step if input_forget else _lstm_step
    return answered(layer, functions, (initial_h, initial_c), native=_lstm if native else None, step=step)


def _lstm(way: Direction) -> tuple[Var, ...]:
    x, [h, c], [f, g, out] = way.x, way.states, way.functions
    given = {"weight_ih": way.w, "weight_hh": way.r, "bias": way.b}
    weights = {name: const(_reordered(value, "iofc", "ifoc"), like=x) for name, value in given.items()}
    if way.p is not None:
        weights["peephole"] = const(_reordered(way.p, "iof", "ifo"), like=x)
    names = {"recurrent_activation": f.plain, "cell_activation": g.plain, "activation": out.plain}
    answers: tuple[Var, ...] = mb.lstm(x=x, initial_h=h, initial_c=c, output_sequence=True, **weights, **names)
    return answers


def _lstm_step(way: Direction, *, coupled: bool = False) -> tuple[Array, Step]:
    *gates, out = way.functions
    f, g = (clipped(f, way.clip) for f in gates)  # the cell is not clipped before `out`, as in onnxruntime
    peeps = [None] * 3 if way.p is None else [peep[None].astype(np.float32) for peep in np.split(way.p, 3)]

    def peeped(gate: Var, c: Operand, peep: Array | None) -> Var:
        return gate if peep is None else mb.add(x=gate, y=product(c, peep))

    def step(part: Var, states: States) -> States:
        h, c = states
        i, o, forget, new = mb.split(x=mb.add(x=part, y=times(h, way.r)), num_splits=4, axis=1)
        i = f(peeped(i, c, peeps[0]))
        forget = mb.sub(x=1.0, y=i) if coupled else f(peeped(forget, c, peeps[2]))
        c = mb.add(x=mb.mul(x=forget, y=c), y=mb.mul(x=i, y=g(new)))
        return mb.mul(x=f(peeped(o, c, peeps[1])), y=out(c)), c

    return way.b, step


def _coupled_lstm_step(way: Direction) -> tuple[Array, Step]:
    return _lstm_step(way, coupled=True)


def _reordered(gates: Array, order: str, wanted: str) -> Array:
    parts = dict(zip(order, np.split(gates, len(order)), strict=True))
    return np.concatenate([parts[gate] for gate in wanted])
