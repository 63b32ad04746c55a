"""https://onnx.ai/onnx/operators, chapter math: matrix products."""

from itertools import combinations

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    Unsupported,
    Var,
    const,
    is_float,
    is_var,
    is_weight,
    mb,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op

_LARGEST_DETERMINANT = 5


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
    if not is_float(A):
        return _integer_gemm(x, B, C, alpha, beta, transB)
    bias = None if C is None or is_var(C) else C * np.float32(beta)
    if is_var(B) and not (is_weight(B) and transB and alpha == 1.0):
        product = mb.matmul(x=x, y=B, transpose_y=bool(transB))
        product = product if alpha == 1.0 else mb.mul(x=product, y=alpha)
    else:
        weight = B if is_var(B) else (B if transB else B.T) * np.float32(alpha)
        per_output = bias is not None and bias.size in (1, weight.shape[0]) and bias.size == prod(bias.shape[-1:])
        if bias is not None and per_output:
            return linear(x, weight, np.broadcast_to(bias.reshape(-1), weight.shape[:1]))
        product = linear(x, weight, None)
    if C is None:
        return product
    if bias is not None:
        return mb.add(x=product, y=const(bias, like=product))
    return mb.add(x=product, y=C if beta == 1.0 else mb.mul(x=C, y=beta))


def _integer_gemm(x: Var, B: Operand, C: Operand, alpha: float, beta: float, transB: int) -> Var:
    if not (alpha.is_integer() and beta.is_integer()):
        raise Unsupported("integers times a fraction")
    product = mb.matmul(x=x, y=B if is_var(B) else const(B), transpose_y=bool(transB))
    product = product if alpha == 1 else mb.mul(x=product, y=int(alpha))
    if C is None:
        return product
    if not is_var(C):
        return mb.add(x=product, y=const(C * int(beta)))
    return mb.add(x=product, y=C if beta == 1 else mb.mul(x=C, y=int(beta)))


def linear(x: Var, weight: Operand, bias: np.ndarray | None) -> Var:
    """x @ weight.T + bias, [..., in] to [..., out]."""
    bias = None if bias is None else const(bias, like=x)
    return mb.linear(x=x, weight=weight if is_var(weight) else const(weight, like=x), bias=bias)


@op
def MatMul(A: Operand, B: Operand) -> Var:
    """`linear` for constant weights; vectors as a row on the left, as a column on the right."""
    like = A if is_var(A) else B
    if is_var(A) and is_float(A) and not is_var(B) and B.ndim == 2 and len(A.shape) > 1:
        return linear(A, B.T, None)
    x_is_row, y_is_column = len(A.shape) == 1, len(B.shape) == 1
    x, transpose_x = _untransposed(_matrix(A, 0, like))
    y, transpose_y = _untransposed(_matrix(B, 1, like))
    product = mb.matmul(x=x, y=y, transpose_x=transpose_x, transpose_y=transpose_y)
    gone = [-2] * x_is_row + [-1] * y_is_column
    return mb.squeeze(x=product, axes=gone) if gone else product


def _matrix(x: Operand, axis: int, like: Var) -> Var:
    """A vector as a matrix with one row (axis 0) or column (axis 1)."""
    if is_var(x):
        return mb.expand_dims(x=x, axes=[axis]) if len(x.shape) == 1 else x
    return const(np.expand_dims(x, axis) if x.ndim == 1 else x, like=like)


def _untransposed(x: Var) -> tuple[Var, bool]:
    """What the last two axes were exchanged of, and whether they were: `matmul` does it itself."""
    *others, rows, columns = range(len(x.shape))
    if x.op is not None and x.op.op_type == "transpose" and list(x.op.perm.val) == [*others, columns, rows]:
        return x.op.x, True
    return x, False


@op
def Det(X: Var) -> Var:
    """By the minors of the last rows, each from those of one row less; small matrices only, as the sums double."""
    *batch, rows, columns = shape_of(X)
    if rows != columns or rows > _LARGEST_DETERMINANT:
        raise Unsupported(f"of a matrix of {rows} x {columns}; up to {_LARGEST_DETERMINANT} x {_LARGEST_DETERMINANT}")
    rank = len(batch)

    def element(row: int, column: int) -> Var:
        begin, end = [0] * rank + [row, column], [0] * rank + [row + 1, column + 1]
        masked = [True] * rank + [False] * 2
        return mb.slice_by_index(x=X, begin=begin, end=end, begin_mask=masked, end_mask=masked)

    minors: dict[tuple[int, ...], Var] = {(column,): element(rows - 1, column) for column in range(rows)}
    for row in reversed(range(rows - 1)):
        first = [element(row, column) for column in range(rows)]
        minors = {chosen: _expansion(first, chosen, minors) for chosen in combinations(range(rows), rows - row)}
    return mb.squeeze(x=minors[tuple(range(rows))], axes=[-2, -1])


def _expansion(first: list[Var], chosen: tuple[int, ...], minors: dict[tuple[int, ...], Var]) -> Var:
    """The determinant of the chosen columns, by its first row."""
    total = None
    for place, column in enumerate(chosen):
        term = mb.mul(x=first[column], y=minors[chosen[:place] + chosen[place + 1 :]])
        total = term if total is None else mb.sub(x=total, y=term) if place % 2 else mb.add(x=total, y=term)
    return total
