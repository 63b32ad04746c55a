"""Activation functions."""

import torch
from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.table import Function, layers, messages
from converter.evaluate.layers.weights import Weights


def identity(x: Tensor) -> Tensor:
    """The linear activation by which coremltools writes a cast to float."""
    return x


def in_recurrent(activation: Function) -> Function:
    """The activation as a recurrent layer has it: there, parameters that are not set have their usual values.

    coremltools writes none for recurrent layers, and its tests expect x, tanh(x) and clip(0.2 x + 0.5, 0, 1).
    """
    return _USUAL.get(activation, activation)


def _unset_linear(x: Tensor) -> Tensor:
    return 0 * x


def _unset_scaled_tanh(x: Tensor) -> Tensor:
    return 0 * torch.tanh(0 * x)


def _unset_sigmoid_hard(x: Tensor) -> Tensor:
    return (0 * x).clamp(0, 1)


_USUAL: dict[Function, Function] = {
    _unset_linear: identity,
    _unset_scaled_tanh: torch.tanh,
    _unset_sigmoid_hard: lambda x: (0.2 * x + 0.5).clamp(0, 1),
}


@messages.op
def ActivationLinear(alpha: float = 0.0, beta: float = 0.0) -> Function:
    if (alpha, beta) == (0.0, 0.0):
        return _unset_linear
    return identity if (alpha, beta) == (1.0, 0.0) else lambda x: alpha * x + beta


@messages.op
def ActivationReLU() -> Function:
    return torch.relu


@messages.op
def ActivationLeakyReLU(alpha: float = 0.0) -> Function:
    return lambda x: torch.where(x >= 0, x, alpha * x)


@messages.op
def ActivationThresholdedReLU(alpha: float = 0.0) -> Function:
    return lambda x: torch.where(x >= alpha, x, 0.0)


@messages.op
def ActivationPReLU(alpha: Weights) -> Function:
    return lambda x: torch.where(x >= 0, x, _by_channel(alpha, x) * x)


@messages.op
def ActivationTanh() -> Function:
    return torch.tanh


@messages.op
def ActivationScaledTanh(alpha: float = 0.0, beta: float = 0.0) -> Function:
    return _unset_scaled_tanh if (alpha, beta) == (0.0, 0.0) else lambda x: alpha * torch.tanh(beta * x)


@messages.op
def ActivationSigmoid() -> Function:
    return torch.sigmoid


@messages.op
def ActivationSigmoidHard(alpha: float = 0.0, beta: float = 0.0) -> Function:
    return _unset_sigmoid_hard if (alpha, beta) == (0.0, 0.0) else lambda x: (alpha * x + beta).clamp(0, 1)


@messages.op
def ActivationELU(alpha: float = 0.0) -> Function:
    return lambda x: torch.where(x >= 0, x, alpha * torch.expm1(x))


@messages.op
def ActivationSoftsign() -> Function:
    return functional.softsign


@messages.op
def ActivationSoftplus() -> Function:
    return _softplus


@messages.op
def ActivationParametricSoftplus(alpha: Weights, beta: Weights) -> Function:
    return lambda x: _by_channel(alpha, x) * _softplus(_by_channel(beta, x) * x)


@messages.op
def ActivationParams(
    linear: Function | None = None,
    ReLU: Function | None = None,
    leakyReLU: Function | None = None,
    thresholdedReLU: Function | None = None,
    PReLU: Function | None = None,
    tanh: Function | None = None,
    scaledTanh: Function | None = None,
    sigmoid: Function | None = None,
    sigmoidHard: Function | None = None,
    ELU: Function | None = None,
    softsign: Function | None = None,
    softplus: Function | None = None,
    parametricSoftplus: Function | None = None,
) -> Function:
    kinds = (linear, ReLU, leakyReLU, thresholdedReLU, PReLU, tanh, scaledTanh)
    return _only(*kinds, sigmoid, sigmoidHard, ELU, softsign, softplus, parametricSoftplus)


@layers.op
def activation(
    x: Tensor,
    linear: Function | None = None,
    ReLU: Function | None = None,
    leakyReLU: Function | None = None,
    thresholdedReLU: Function | None = None,
    PReLU: Function | None = None,
    tanh: Function | None = None,
    scaledTanh: Function | None = None,
    sigmoid: Function | None = None,
    sigmoidHard: Function | None = None,
    ELU: Function | None = None,
    softsign: Function | None = None,
    softplus: Function | None = None,
    parametricSoftplus: Function | None = None,
) -> Tensor:
    kinds = (linear, ReLU, leakyReLU, thresholdedReLU, PReLU, tanh, scaledTanh)
    return _only(*kinds, sigmoid, sigmoidHard, ELU, softsign, softplus, parametricSoftplus)(x)


@layers.op
def clampedReLU(x: Tensor, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    return torch.where(x >= 0, x, alpha * x).clamp(max=beta)


@layers.op
def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return functional.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


@layers.op
def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, -3)


@layers.op
def softmaxND(x: Tensor, axis: int = 0) -> Tensor:
    return torch.softmax(x, axis)


def _only(*kinds: Function | None) -> Function:
    for function in kinds:
        if function is not None:
            return function
    raise EvaluationError("no activation function is set", fix="convert the model again")


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros(()))


def _by_channel(weights: Weights, x: Tensor) -> Tensor:
    """One number for all channels, or one for each; the channel axis is -3."""
    return weights.shaped(1) if weights.count == 1 else weights.shaped(x.shape[-3], 1, 1)
