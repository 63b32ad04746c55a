"""Recurrent layers.

Inputs are [Seq, Batch, size, 1, 1]; outputs the sequence (or its last step), then the final states [1, Batch, size, 1,
1]. With reverseInput the steps are taken, and answered, from the last to the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from converter.evaluate.layers.activation import in_recurrent
from converter.evaluate.layers.table import Function, layers, messages
from converter.evaluate.layers.weights import Weights

_LIMIT = 50.0  # what an activation is given is clipped to ±50


@layers.op
def simpleRecurrent(
    x: Tensor,
    y: Tensor | None = None,
    *,
    weightMatrix: Weights,
    recursionMatrix: Weights,
    activation: Function,
    biasVector: Weights | None = None,
    inputVectorSize: int = 0,
    outputVectorSize: int = 0,
    sequenceOutput: bool = False,
    hasBiasVector: bool = False,
    reverseInput: bool = False,
) -> tuple[Tensor, Tensor]:
    act = in_recurrent(activation)
    matrix = weightMatrix.shaped(outputVectorSize, inputVectorSize)
    recursion = recursionMatrix.shaped(outputVectorSize, outputVectorSize)
    offset = _vector(biasVector, outputVectorSize, hasBiasVector)

    def step(x_t: Tensor, state: Tensor) -> Tensor:
        return act(_clipped(x_t @ matrix.T + state @ recursion.T + offset))

    answers = []
    state = _state(y, x, outputVectorSize)
    for x_t in _steps(x, reverseInput):
        state = step(x_t, state)
        answers.append(state)
    return _sequence(answers, sequenceOutput), _sequence([state], True)


@layers.op
def gru(
    x: Tensor,
    y: Tensor | None = None,
    *,
    activations: tuple[Function, ...],
    updateGateWeightMatrix: Weights,
    resetGateWeightMatrix: Weights,
    outputGateWeightMatrix: Weights,
    updateGateRecursionMatrix: Weights,
    resetGateRecursionMatrix: Weights,
    outputGateRecursionMatrix: Weights,
    updateGateBiasVector: Weights | None = None,
    resetGateBiasVector: Weights | None = None,
    outputGateBiasVector: Weights | None = None,
    inputVectorSize: int = 0,
    outputVectorSize: int = 0,
    sequenceOutput: bool = False,
    hasBiasVectors: bool = False,
    reverseInput: bool = False,
) -> tuple[Tensor, Tensor]:
    """The reset gate scales the state before its matrix (not after, as torch's GRU does)."""
    f, g = map(in_recurrent, activations)
    size = outputVectorSize
    matrices = [
        w.shaped(size, inputVectorSize).T
        for w in (updateGateWeightMatrix, resetGateWeightMatrix, outputGateWeightMatrix)
    ]
    recursions = [
        w.shaped(size, size).T for w in (updateGateRecursionMatrix, resetGateRecursionMatrix, outputGateRecursionMatrix)
    ]
    offsets = [
        _vector(w, size, hasBiasVectors) for w in (updateGateBiasVector, resetGateBiasVector, outputGateBiasVector)
    ]
    answers = []
    state = _state(y, x, size)
    for x_t in _steps(x, reverseInput):
        update = f(_clipped(x_t @ matrices[0] + state @ recursions[0] + offsets[0]))
        reset = f(_clipped(x_t @ matrices[1] + state @ recursions[1] + offsets[1]))
        output = g(_clipped(x_t @ matrices[2] + (state * reset) @ recursions[2] + offsets[2]))
        state = (1 - update) * output + update * state
        answers.append(state)
    return _sequence(answers, sequenceOutput), _sequence([state], True)


@dataclass(frozen=True)
class Lstm:
    """LSTMParams."""

    sequence_output: bool
    has_biases: bool
    forget_bias: bool
    has_peepholes: bool
    coupled: bool
    bound: float


@messages.op
def LSTMParams(
    sequenceOutput: bool = False,
    hasBiasVectors: bool = False,
    forgetBias: bool = False,
    hasPeepholeVectors: bool = False,
    coupledInputAndForgetGate: bool = False,
    cellClipThreshold: float = 50.0,
) -> Lstm:
    return Lstm(
        sequenceOutput, hasBiasVectors, forgetBias, hasPeepholeVectors, coupledInputAndForgetGate, cellClipThreshold
    )


@dataclass(frozen=True)
class Gates:
    """LSTMWeightParams, each in the order input, forget, block input, output."""

    matrices: tuple[Weights, ...]
    recursions: tuple[Weights, ...]
    biases: tuple[Weights | None, ...]
    peepholes: tuple[Weights | None, ...]


@messages.op
def LSTMWeightParams(
    inputGateWeightMatrix: Weights,
    forgetGateWeightMatrix: Weights,
    blockInputWeightMatrix: Weights,
    outputGateWeightMatrix: Weights,
    inputGateRecursionMatrix: Weights,
    forgetGateRecursionMatrix: Weights,
    blockInputRecursionMatrix: Weights,
    outputGateRecursionMatrix: Weights,
    inputGateBiasVector: Weights | None = None,
    forgetGateBiasVector: Weights | None = None,
    blockInputBiasVector: Weights | None = None,
    outputGateBiasVector: Weights | None = None,
    inputGatePeepholeVector: Weights | None = None,
    forgetGatePeepholeVector: Weights | None = None,
    outputGatePeepholeVector: Weights | None = None,
) -> Gates:
    return Gates(
        (inputGateWeightMatrix, forgetGateWeightMatrix, blockInputWeightMatrix, outputGateWeightMatrix),
        (inputGateRecursionMatrix, forgetGateRecursionMatrix, blockInputRecursionMatrix, outputGateRecursionMatrix),
        (inputGateBiasVector, forgetGateBiasVector, blockInputBiasVector, outputGateBiasVector),
        (inputGatePeepholeVector, forgetGatePeepholeVector, None, outputGatePeepholeVector),
    )


@layers.op
def uniDirectionalLSTM(
    x: Tensor,
    y: Tensor | None = None,
    c: Tensor | None = None,
    *,
    activations: tuple[Function, ...],
    params: Lstm,
    weightParams: Gates,
    inputVectorSize: int = 0,
    outputVectorSize: int = 0,
    reverseInput: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    cell = _cell(weightParams, params, activations, inputVectorSize, outputVectorSize)
    answers, last_y, last_c = _run(cell, x, y, c, outputVectorSize, reverseInput)
    return _sequence(answers, params.sequence_output), _sequence([last_y], True), _sequence([last_c], True)


@layers.op
def biDirectionalLSTM(
    x: Tensor,
    y: Tensor | None = None,
    c: Tensor | None = None,
    y_reverse: Tensor | None = None,
    c_reverse: Tensor | None = None,
    *,
    activationsForwardLSTM: tuple[Function, ...],
    activationsBackwardLSTM: tuple[Function, ...],
    params: Lstm,
    weightParams: tuple[Gates, ...],
    inputVectorSize: int = 0,
    outputVectorSize: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of a sequence each step holds both directions' answers to that step; else both directions' last ones."""
    size = outputVectorSize
    forward = _cell(weightParams[0], params, activationsForwardLSTM, inputVectorSize, size)
    backward = _cell(weightParams[1], params, activationsBackwardLSTM, inputVectorSize, size)
    there, there_y, there_c = _run(forward, x, y, c, size, False)
    back, back_y, back_c = _run(backward, x, y_reverse, c_reverse, size, True)
    aligned = back[::-1] if params.sequence_output else back
    answers = [torch.cat(pair, -1) for pair in zip(there, aligned, strict=True)]
    states = [_sequence([state], True) for state in (there_y, there_c, back_y, back_c)]
    return _sequence(answers, params.sequence_output), states[0], states[1], states[2], states[3]


Cell = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _cell(gates: Gates, params: Lstm, activations: tuple[Function, ...], inputs: int, size: int) -> Cell:
    f, g, h = map(in_recurrent, activations)
    matrices = [w.shaped(size, inputs).T for w in gates.matrices]
    recursions = [w.shaped(size, size).T for w in gates.recursions]
    offsets = [_vector(w, size, params.has_biases) for w in gates.biases]
    peepholes = [_vector(w, size, params.has_peepholes) for w in gates.peepholes]
    if params.forget_bias:
        offsets[1] = offsets[1] + 1

    def step(x_t: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        sums = [x_t @ w + y @ r + b for w, r, b in zip(matrices, recursions, offsets, strict=True)]
        gate = f(_clipped(sums[0] + peepholes[0] * c))
        forget = 1 - gate if params.coupled else f(_clipped(sums[1] + peepholes[1] * c))
        c = (c * forget + gate * g(_clipped(sums[2]))).clamp(-params.bound, params.bound)
        return h(c) * f(_clipped(sums[3] + peepholes[3] * c)), c

    return step


def _run(
    cell: Cell, x: Tensor, y: Tensor | None, c: Tensor | None, size: int, reverse: bool
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Every step's answer in the order taken, and the final states."""
    state, memory = _state(y, x, size), _state(c, x, size)
    answers = []
    for x_t in _steps(x, reverse):
        state, memory = cell(x_t, state, memory)
        answers.append(state)
    return answers, state, memory


def _steps(x: Tensor, reverse: bool) -> list[Tensor]:
    steps = list(x.flatten(2).unbind(0))
    return steps[::-1] if reverse else steps


def _state(given: Tensor | None, x: Tensor, size: int) -> Tensor:
    """The state before the first step, [batch, size]. One of more rows, all the same, is cut."""
    if given is None:
        return torch.zeros(x.shape[1], size)
    rows = given.reshape(-1, size)
    if len(rows) > x.shape[1] and bool((rows == rows[:1]).all()):
        rows = rows[: x.shape[1]]
    return rows.reshape(x.shape[1], size)


def _sequence(answers: list[Tensor], everything: bool) -> Tensor:
    return torch.stack(answers if everything else answers[-1:])[..., None, None]


def _vector(weights: Weights | None, size: int, present: bool) -> Tensor:
    return weights.shaped(size) if present and weights is not None else torch.zeros(size)


def _clipped(x: Tensor) -> Tensor:
    return x.clamp(-_LIMIT, _LIMIT)
