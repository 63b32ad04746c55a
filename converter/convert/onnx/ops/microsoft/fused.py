"""com.microsoft: an operator and what stood behind it, made one."""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import (
    Floats,
    Ints,
    Operand,
    Unsupported,
    Var,
    const,
    is_var,
    is_weight,
    mb,
)
from converter.convert.onnx.ops.math import activation as standard
from converter.convert.onnx.ops.math.activation import Elu, HardSigmoid, LeakyRelu, Relu, Softplus
from converter.convert.onnx.ops.math.matrix import Gemm, linear
from converter.convert.onnx.ops.nn.convolution import Conv
from converter.convert.onnx.ops.tables import com_microsoft
from converter.convert.onnx.ops.tensor import indexing
from converter.convert.onnx.views import transpose

op = com_microsoft.op

_ACTIVATIONS: dict[str, Callable[..., Var]] = {
    "Elu": Elu,
    "HardSigmoid": HardSigmoid,
    "LeakyRelu": LeakyRelu,
    "Relu": Relu,
    "Sigmoid": lambda x: mb.sigmoid(x=x),
    "Softplus": Softplus,
    "Tanh": lambda x: mb.tanh(x=x),
    "Clip": lambda x, low, high: mb.clip(x=x, alpha=low, beta=high),
}


def activated(x: Var, activation: str | None, parameters: Floats = ()) -> Var:
    """`x` behind one of the standard's activations, with the parameters that onnxruntime wrote down."""
    if activation is None or activation == "":
        return x
    if activation not in _ACTIVATIONS:
        raise Unsupported(f"activation = {activation!r} is not known")
    return _ACTIVATIONS[activation](x, *parameters)


@op
def FusedConv(
    X: Var,
    W: Var,
    B: Var = None,
    Z: Var = None,
    activation: str | None = None,
    activation_params: Floats | None = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    """The activation of Conv(X, W, B) + Z."""
    y = Conv(X, W, B, auto_pad, dilations, group, kernel_shape, pads, strides)
    return activated(y if Z is None else mb.add(x=y, y=Z), activation, activation_params or ())


@op
def NhwcConv(
    X: Var,
    W: Operand,
    B: Var = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    """Channels last, in the weights [M, kH, kW, C / group] too."""
    x = to_channels_first(X)
    weight = to_channels_first(W) if is_var(W) else const(np.moveaxis(W, -1, 1), like=X)
    return to_channels_last(Conv(x, weight, B, auto_pad, dilations, group, kernel_shape, pads, strides))


def to_channels_first(x: Var) -> Var:
    rank = len(x.shape)
    return transpose(x, (0, rank - 1, *range(1, rank - 1)))


def to_channels_last(x: Var) -> Var:
    rank = len(x.shape)
    return transpose(x, (0, *range(2, rank), 1))


@op
def FusedGemm(
    A: Var,
    B: Operand,
    C: Operand = None,
    activation: str | None = None,
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Var:
    parameters = (activation_alpha, activation_beta, activation_gamma)
    given = tuple(parameter for parameter in parameters if parameter is not None)
    return activated(Gemm(A, B, C, alpha, beta, transA=transA, transB=transB), activation, given)


@op
def FusedMatMul(
    A: Var,
    B: Operand,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Var:
    """alpha * A' @ B'. With transBatch the first axis goes behind the batch's; then the last two change places."""
    if not is_var(B) and B.ndim == 2 and len(A.shape) > 1:
        weight = (B if transB else B.T) * np.float32(alpha)
        return linear(_oriented(A, transA, transBatchA), weight, None)
    x = _oriented(A, 0, transBatchA)
    y = B if is_var(B) else const(B, like=A)
    fixed = is_weight(y) and len(y.shape) == 2 and len(x.shape) > 1
    if fixed and transB and not transBatchB:  # weights in 8 bits or less
        product = mb.linear(x=_oriented(x, transA, 0), weight=y)
    else:
        y = _oriented(y, 0, transBatchB)
        product = _matmul(x, y, bool(transA), bool(transB))
    return product if alpha == 1.0 else mb.mul(x=product, y=alpha)


def _oriented(x: Var, swapped: int, batch_behind: int) -> Var:
    rank = len(x.shape)
    if batch_behind and rank > 2:
        x = transpose(x, (*range(1, rank - 1), 0, rank - 1))
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2)) if swapped and rank > 1 else x


def _matmul(x: Var, y: Var, transpose_x: bool, transpose_y: bool) -> Var:
    """Vectors are one row, or one column, which the result does not have."""
    row, column = len(x.shape) == 1, len(y.shape) == 1
    x = mb.expand_dims(x=x, axes=[0]) if row else x
    y = mb.expand_dims(x=y, axes=[1]) if column else y
    product = mb.matmul(x=x, y=y, transpose_x=transpose_x and not row, transpose_y=transpose_y and not column)
    gone = [-2] * row + [-1] * column
    return mb.squeeze(x=product, axes=gone) if gone else product


@op
def TransposeMatMul(A: Var, B: Operand, alpha: float = 1.0, transA: int = 0, transB: int = 0) -> Var:
    return FusedMatMul(A, B, alpha, transA, transB)


@op
def Gelu(X: Var) -> Var:
    return standard.Gelu(X)


@op
def BiasGelu(A: Var, B: Var) -> Var:
    return standard.Gelu(mb.add(x=A, y=B))


@op
def FastGelu(X: Var, bias: Var = None) -> Var:
    return standard.Gelu(X if bias is None else mb.add(x=X, y=bias), "tanh")


@op
def QuickGelu(X: Var, alpha: float = 1.7020000219345093) -> Var:
    return mb.mul(x=X, y=mb.sigmoid(x=mb.mul(x=X, y=alpha)))


@op
def ScaledSiLU(X: Var, scale: Var = None, alpha: float = 1.0) -> Var:
    y = QuickGelu(X, alpha) if alpha != 1.0 else mb.mul(x=X, y=mb.sigmoid(x=X))
    return y if scale is None else mb.mul(x=y, y=scale)


@op
def BiasAdd(X: Var, bias: Var, skip: Var) -> Var:
    return mb.add(x=mb.add(x=X, y=bias), y=skip)


@op
def BiasSplitGelu(X: Var, bias: Var) -> Var:
    """The left half of the last axis times the gelu of the right one."""
    left, right = mb.split(x=mb.add(x=X, y=bias), num_splits=2, axis=-1)
    return mb.mul(x=left, y=standard.Gelu(right))


@op
def ExpandDims(X: Var, axis: int) -> Var:
    return mb.expand_dims(x=X, axes=[axis])


@op
def Trilu(X: Var, k: int = 0, upper: int = 1) -> Var:
    return indexing.Trilu(X, k, upper)
