"""https://onnx.ai/onnx/operators, chapter math: matrix products."""

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    Var,
    const,
    is_var,
    mb,
    prod,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


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


@op
def MatMul(A: Var, B: Operand) -> Var:
    if not is_var(B) and B.ndim == 2 and len(A.shape) > 1:
        return linear(A, B.T, None)
    x, y = A, B if is_var(B) else const(B, like=A)
    x_is_row, y_is_column = len(x.shape) == 1, len(y.shape) == 1
    if not x_is_row and not y_is_column:
        return mb.matmul(x=x, y=y)
    x = mb.expand_dims(x=x, axes=[0]) if x_is_row else x
    y = mb.expand_dims(x=y, axes=[1]) if y_is_column else y
    return mb.squeeze(x=mb.matmul(x=x, y=y), axes=[-2] * x_is_row + [-1] * y_is_column)
