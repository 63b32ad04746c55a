"""A recurrent layer as one or two directions, each by Core ML's own layer where that says it exactly, else by steps.

Steps are taken in float32: what float16 loses at each would add up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Floats,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_var,
    mb,
    target_is,
)
from converter.convert.onnx.ops.rnn.activations import Activation, chosen
from converter.convert.onnx.ops.rnn.sequence import States, Step, initial, mask_of, stacked, walked

_REVERSES = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class Layer:
    """What RNN, GRU and LSTM have in common, as the standard gives it."""

    X: Var
    W: Array
    R: Array
    B: Array | None
    sequence_lens: Operand | None
    clip: float | None
    direction: str
    hidden_size: int | None
    layout: int
    P: Array | None = None

    @property
    def reverses(self) -> tuple[bool, ...]:
        """For each direction whether it begins at the end."""
        if self.direction not in _REVERSES:
            raise Unsupported(f"direction = {self.direction!r} is not known")
        return _REVERSES[self.direction]

    @property
    def size(self) -> int:
        size = int(self.R.shape[-1])
        if self.hidden_size not in (None, size):
            raise Unsupported(f"hidden_size is {self.hidden_size}, its weights say {size}")
        return size

    def activations(
        self, names: Sequence[str] | None, alphas: Floats | None, betas: Floats | None, default: Sequence[str]
    ) -> list[list[Activation]]:
        return chosen(names, alphas, betas, default, len(self.reverses))

    def is_plain(self, functions: list[list[Activation]]) -> bool:
        """Whether Core ML's layers say it: no clipping, all sequences of full length, activations that they have."""
        names = {f.plain for own in functions for f in own}
        if not target_is("iOS15") and "relu" in names:
            return False  # a NeuralNetwork clips what its activations get to ±50
        return self.clip is None and "" not in names and self.mask is None

    @cached_property
    def x(self) -> Var:
        """[time, batch, inputs]"""
        return mb.transpose(x=self.X, perm=[1, 0, 2]) if self.layout else self.X

    @cached_property
    def mask(self) -> Operand | None:
        return mask_of(self.x, self.sequence_lens)


@dataclass(frozen=True)
class Direction:
    """One direction: x [time, batch, inputs], and the weights, biases and peepholes of its gates."""

    x: Var
    w: Array
    r: Array
    wb: Array
    rb: Array
    p: Array | None
    functions: list[Activation]
    clip: float | None
    states: States

    @property
    def b(self) -> Array:
        both: Array = self.wb + self.rb
        return both

    @property
    def size(self) -> int:
        return int(self.r.shape[-1])


Native = Callable[[Direction], tuple[Var, ...]]
Stepped = Callable[[Direction], tuple[Array, Step]]


def answered(
    layer: Layer,
    functions: list[list[Activation]],
    given: Sequence[Operand | None],
    *,
    native: Native | None,
    step: Stepped,
) -> tuple[Var, ...]:
    """The answers of all steps and the last states, as the standard arranges them.

    `native` builds Core ML's own layer; without it, `step` gives the bias of x's part of the gates, and one step.
    """
    dtype = dtype_name(layer.X)
    x = layer.x
    if native is None or not target_is("iOS17"):  # until then Core ML's layers are float32 only
        x = cast(x, "fp32")
    answers, ends = [], []
    for place, reverse in enumerate(layer.reverses):
        bias = np.zeros(2 * len(layer.R[place])) if layer.B is None else layer.B[place]
        wb, rb = np.split(np.asarray(bias, np.float64), 2)
        way = Direction(
            x=_begun(x, reverse=reverse) if native else x,
            w=layer.W[place],
            r=layer.R[place],
            wb=wb,
            rb=rb,
            p=None if layer.P is None else layer.P[place],
            functions=functions[place],
            clip=layer.clip,
            states=tuple(_state(value, place, x, layer, known=native is None) for value in given),
        )
        if native:
            made = native(way)
            y, last = made[0], made[1:]
            y = mb.reverse(x=y, axes=[0]) if reverse else y
        else:
            part_bias, taken = step(way)
            parts = mb.linear(x=x, weight=const(way.w, like=x), bias=const(part_bias, like=x))
            y, last = walked(parts, way.states, taken, layer.mask, reverse=reverse)
        answers.append(y)
        ends.append(last)
    return stacked(answers, ends, layer.layout, dtype)


def _state(given: Operand, place: int, x: Var, layer: Layer, *, known: bool) -> Operand:
    """A first state, which steps may know as an array, and Core ML's own layers take as a tensor."""
    state = initial(given, place, x, layer.size, layer.layout)
    return state if known or is_var(state) else const(state, like=x)


def _begun(x: Var, *, reverse: bool) -> Var:
    """The steps in the order in which the layer takes them."""
    if reverse:
        return mb.reverse(x=x, axes=[0])
    if target_is("iOS15"):
        return x
    # A NeuralNetwork's layers name what they make of x after x, so that no two may have the same.
    return mb.squeeze(x=mb.expand_dims(x=x, axes=[0]), axes=[0])
