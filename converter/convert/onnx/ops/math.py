"""https://onnx.ai/onnx/operators, chapter math: element by element, matrix products, activations."""

import numpy as np

from converter.convert.onnx.builder import Operand, Var, const, is_float, is_var, mb, normal_axis, prod
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


def aligned(A: Var, B: Var, axis: int | None, broadcast: int) -> Var:
    """Before opset 7 the second operand was broadcast from `axis` on, and only where it was asked for."""
    if not broadcast or axis is None:
        return B
    rank, shape = len(A.shape), tuple(B.shape)
    after = rank - normal_axis(axis, rank) - len(shape)
    return reshape(B, (*shape, *[1] * after))


@op
def Add(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.add(x=A, y=aligned(A, B, axis, broadcast))


@op
def Sub(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.sub(x=A, y=aligned(A, B, axis, broadcast))


@op
def Mul(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.mul(x=A, y=aligned(A, B, axis, broadcast))


@op
def Div(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    """Integers are divided towards zero."""
    divisor = aligned(A, B, axis, broadcast)
    if is_float(A):
        return mb.real_div(x=A, y=divisor)
    quotient = mb.floor_div(x=mb.abs(x=A), y=mb.abs(x=divisor))
    return mb.mul(x=quotient, y=mb.mul(x=mb.sign(x=A), y=mb.sign(x=divisor)))


@op
def Relu(X: Var) -> Var:
    return mb.relu(x=X)


@op
def Sigmoid(X: Var) -> Var:
    return mb.sigmoid(x=X)


@op
def Clip(input: Var, max: float = 3.4028234663852886e38, min: float = -3.4028234663852886e38) -> Var:
    return _clip(input, np.array(min), np.array(max))


@op
def Clip_11(input: Var, min: Operand = None, max: Operand = None) -> Var:
    return _clip(input, min, max)


def _clip(x: Var, low: Operand, high: Operand) -> Var:
    fixed = not is_var(low) and not is_var(high)
    if fixed and is_float(x) and low is not None and high is not None and low <= high:
        if (float(low), float(high)) == (0.0, 6.0):
            return mb.relu6(x=x)
        return mb.clip(x=x, alpha=float(low), beta=float(high))
    for bound, limit in ((low, mb.maximum), (high, mb.minimum)):
        if bound is not None:
            x = limit(x=x, y=bound if is_var(bound) else const(bound, like=x))
    return x


@op
def Gemm(
    A: Var,
    B: Operand,
    C: Operand = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> Var:
    """alpha * A' @ B' + beta * C; one `linear` where B is constant."""
    x = mb.transpose(x=A, perm=(1, 0)) if transA else A
    bias = None if C is None or is_var(C) else C * np.float32(beta)
    if is_var(B):
        product = mb.matmul(x=x, y=B, transpose_y=bool(transB))
        product = product if alpha == 1.0 else mb.mul(x=product, y=alpha)
    else:
        weight = (B if transB else B.T) * np.float32(alpha)
        per_output = bias is not None and bias.size in (1, len(weight)) and bias.size == prod(bias.shape[-1:])
        if bias is not None and per_output:
            return linear(x, weight, np.broadcast_to(bias.reshape(-1), (len(weight),)))
        product = linear(x, weight, None)
    if C is None:
        return product
    if bias is not None:
        return mb.add(x=product, y=const(bias, like=product))
    return mb.add(x=product, y=C if beta == 1.0 else mb.mul(x=C, y=beta))


def linear(x: Var, weight: np.ndarray, bias: np.ndarray | None) -> Var:
    """x @ weight.T + bias, [..., in] to [..., out]."""
    bias = None if bias is None else const(bias, like=x)
    return mb.linear(x=x, weight=const(weight, like=x), bias=bias)
