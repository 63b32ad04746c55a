"""https://onnx.ai/onnx/operators, chapter math: element by element, matrix products, activations."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    NotConstant,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    is_var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
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
def Abs(X: Var) -> Var:
    return mb.abs(x=X)


@op
def Acos(input: Var) -> Var:
    return mb.acos(x=input)


@op
def Acosh(input: Var) -> Var:
    root = mb.sqrt(x=mb.sub(x=mb.square(x=input), y=1.0))
    return mb.log(x=mb.add(x=input, y=root), epsilon=0.0)


@op
def Add(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.add(x=A, y=aligned(A, B, axis, broadcast))


@op
def Asin(input: Var) -> Var:
    return mb.asin(x=input)


@op
def Asinh(input: Var) -> Var:
    """From the absolute value, because x + sqrt(x * x + 1) cancels where x is negative."""
    size = mb.abs(x=input)
    root = mb.sqrt(x=mb.add(x=mb.square(x=size), y=1.0))
    return mb.mul(x=mb.sign(x=input), y=mb.log(x=mb.add(x=size, y=root), epsilon=0.0))


@op
def Atan(input: Var) -> Var:
    return mb.atan(x=input)


@op
def Atanh(input: Var) -> Var:
    return mb.atanh(x=input)


@op
def Ceil(X: Var) -> Var:
    return mb.ceil(x=X)


@op
def Celu(X: Var, alpha: float = 1.0) -> Var:
    return mb.mul(x=mb.elu(x=mb.mul(x=X, y=1.0 / alpha), alpha=1.0), y=alpha)


@op
def Clip(input: Var, max: float = 3.4028234663852886e38, min: float = -3.4028234663852886e38) -> Var:
    return clip(input, np.array(min), np.array(max))


@op
def Clip_11(input: Var, min: Operand = None, max: Operand = None) -> Var:
    return clip(input, min, max)


def clip(x: Var, low: Operand, high: Operand) -> Var:
    if is_float(x) and isinstance(low, np.ndarray) and isinstance(high, np.ndarray) and low <= high:
        if (float(low), float(high)) == (0.0, 6.0):
            return mb.relu6(x=x)
        return mb.clip(x=x, alpha=float(low), beta=float(high))
    for bound, limit in ((low, mb.maximum), (high, mb.minimum)):
        if bound is not None:
            x = limit(x=x, y=bound if is_var(bound) else const(bound, like=x))
    return x


@op
def Cos(input: Var) -> Var:
    return mb.cos(x=input)


@op
def Cosh(input: Var) -> Var:
    return mb.cosh(x=input)


@op
def CumSum(x: Var, axis: int, exclusive: int = 0, reverse: int = 0) -> Var:
    return mb.cumsum(x=x, axis=normal_axis(axis, len(x.shape)), exclusive=bool(exclusive), reverse=bool(reverse))


@op
def Div(A: Var, B: Operand, axis: int | None = None, broadcast: int = 0) -> Var:
    """Integers are divided towards zero: the quotient of the absolute values, with the sign of the product."""
    if is_float(A):
        return mb.real_div(x=A, y=aligned(A, B if is_var(B) else const(B, like=A), axis, broadcast))
    size, sign = (aligned(A, part, axis, broadcast) for part in size_and_sign(B))
    return mb.mul(x=mb.floor_div(x=mb.abs(x=A), y=size), y=mb.sign(x=mb.mul(x=A, y=sign)))


def size_and_sign(x: Operand) -> tuple[Var, Var]:
    if is_var(x):
        return mb.abs(x=x), mb.sign(x=x)
    return const(np.abs(x)), const(np.sign(x))


@op
def Elu(X: Var, alpha: float = 1.0) -> Var:
    return mb.elu(x=X, alpha=alpha)


@op
def Erf(input: Var) -> Var:
    return mb.erf(x=input)


@op
def Exp(input: Var) -> Var:
    return mb.exp(x=input)


@op
def Expand(input: Var, shape: Ints) -> Var:
    given = shape_of(input)
    target = np.broadcast_shapes(given, tuple(shape))
    full = (*[1] * (len(target) - len(given)), *given)
    repeats = [size // old for size, old in zip(target, full, strict=True)]
    wide = reshape(input, full)
    return wide if prod(repeats) == 1 else mb.tile(x=wide, reps=repeats)


@op
def Floor(X: Var) -> Var:
    return mb.floor(x=X)


@op
def Gelu(X: Var, approximate: str = "none") -> Var:
    if approximate not in ("none", "tanh"):
        raise Unsupported(f"approximate = {approximate!r} is not known")
    return mb.gelu(x=X, mode="EXACT" if approximate == "none" else "TANH_APPROXIMATION")


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
def HardSigmoid(X: Var, alpha: float = 0.2, beta: float = 0.5) -> Var:
    return mb.sigmoid_hard(x=X, alpha=alpha, beta=beta)


@op
def HardSwish(X: Var) -> Var:
    return mb.mul(x=X, y=mb.sigmoid_hard(x=X, alpha=1.0 / 6.0, beta=0.5))


@op
def Hardmax(input: Var, axis: int = 1) -> Var:
    return _flattened(Hardmax_13, input, axis)


@op
def Hardmax_13(input: Var, axis: int = -1) -> Var:
    axis = normal_axis(axis, len(input.shape))
    where = mb.reduce_argmax(x=input, axis=axis, keep_dims=False)
    size = shape_of(input)[axis]
    return cast(
        mb.one_hot(indices=where, one_hot_vector_size=size, axis=axis, on_value=1, off_value=0), dtype_name(input)
    )


@op
def LeakyRelu(X: Var, alpha: float = 0.01) -> Var:
    return mb.leaky_relu(x=X, alpha=alpha)


@op
def Log(input: Var) -> Var:
    return mb.log(x=input, epsilon=0.0)


@op
def LogSoftmax(input: Var, axis: int = 1) -> Var:
    return _flattened(LogSoftmax_13, input, axis)


@op
def LogSoftmax_13(input: Var, axis: int = -1) -> Var:
    """Not the logarithm of softmax, which is lost where softmax underflows; from the largest, for exp and digits."""
    below = mb.sub(x=input, y=mb.reduce_max(x=input, axes=[axis], keep_dims=True))
    return mb.sub(x=below, y=mb.reduce_log_sum_exp(x=below, axes=[axis], keep_dims=True))


def _flattened(operator: Callable[[Var, int], Var], input: Var, axis: int) -> Var:
    """Before opset 13 the operator worked on rows: all axes from `axis` on taken together."""
    shape = shape_of(input)
    axis = normal_axis(axis, len(shape))
    if axis == len(shape) - 1:
        return operator(input, -1)
    rows = reshape(input, (prod(shape[:axis]), prod(shape[axis:])))
    return reshape(operator(rows, -1), shape)


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


@op
def Max(*data_0: Var) -> Var:
    return reduce(lambda x, y: mb.maximum(x=x, y=y), data_0)


@op
def Mean(*data_0: Var) -> Var:
    return mb.mul(x=Sum(*data_0), y=1.0 / len(data_0)) if len(data_0) > 1 else data_0[0]


@op
def Min(*data_0: Var) -> Var:
    return reduce(lambda x, y: mb.minimum(x=x, y=y), data_0)


@op
def Mish(X: Var) -> Var:
    return mb.mul(x=X, y=mb.tanh(x=mb.softplus(x=X)))


@op
def Mod(A: Var, B: Operand, fmod: int = 0) -> Var:
    """The remainder has the divisor's sign, with fmod the dividend's."""
    if not fmod:
        return mb.mod(x=A, y=B if is_var(B) else const(B, like=A))
    size = mb.abs(x=B) if is_var(B) else const(np.abs(B), like=A)
    return mb.mul(x=mb.mod(x=mb.abs(x=A), y=size), y=mb.sign(x=A))


@op
def Mul(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.mul(x=A, y=aligned(A, B, axis, broadcast))


@op
def Neg(X: Var) -> Var:
    return mb.mul(x=X, y=-1.0 if is_float(X) else -1)


@op
def PRelu(X: Var, slope: Operand) -> Var:
    """Slopes are one for all or one per channel."""
    rank = len(X.shape)
    if is_var(slope):
        raise NotConstant("slope")
    return PRelu_7(X, slope.reshape(-1, *[1] * (rank - 2)) if slope.size > 1 and rank > 1 else slope.reshape(-1))


@op
def PRelu_7(X: Var, slope: Operand) -> Var:
    """`prelu` where the slopes are one per channel, else from its two halves."""
    rank = len(X.shape)
    if 3 <= rank <= 5 and not is_var(slope):
        per_channel = (X.shape[1], *[1] * (rank - 2))
        if slope.shape in (per_channel, (1, *per_channel)):
            return mb.prelu(x=X, alpha=const(slope.reshape(-1), like=X))
    factor = slope if is_var(slope) else const(slope, like=X)
    zero = const(0.0, like=X)
    return mb.add(x=mb.maximum(x=X, y=zero), y=mb.mul(x=factor, y=mb.minimum(x=X, y=zero)))


@op
def Pow(X: Var, Y: Operand, axis: int | None = None, broadcast: int = 0) -> Var:
    if not is_var(Y) and Y.size == 1 and Y.ndim <= len(X.shape) and float(Y.reshape(-1)[0]) in _POWERS and is_float(X):
        return _POWERS[float(Y.reshape(-1)[0])](X)
    if not is_var(Y):
        exponent = const(Y.astype(np.float32) if is_float(X) else Y, like=X)
    else:
        exponent = cast(Y, dtype_name(X)) if is_float(X) else Y
    if is_float(exponent) and not is_float(X):
        raise Unsupported("an integer to the power of a float")
    return mb.pow(x=X, y=aligned(X, exponent, axis, broadcast))


# Exact, cheaper, and defined for negative numbers on every compute unit.
_POWERS = {0.5: lambda x: mb.sqrt(x=x), 1.0: lambda x: x, 2.0: lambda x: mb.square(x=x)}


@op
def Reciprocal(X: Var) -> Var:
    return mb.real_div(x=1.0, y=X)


@op
def Relu(X: Var) -> Var:
    return mb.relu(x=X) if is_float(X) else mb.maximum(x=X, y=0)


@op
def Round(X: Var) -> Var:
    return mb.round(x=X)


@op
def Selu(X: Var, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Var:
    return mb.mul(x=mb.elu(x=X, alpha=alpha), y=gamma)


@op
def Sigmoid(X: Var) -> Var:
    return mb.sigmoid(x=X)


@op
def Sign(input: Var) -> Var:
    return mb.sign(x=input)


@op
def Sin(input: Var) -> Var:
    return mb.sin(x=input)


@op
def Sinh(input: Var) -> Var:
    return mb.sinh(x=input)


@op
def Softmax(input: Var, axis: int = 1) -> Var:
    return _flattened(Softmax_13, input, axis)


@op
def Softmax_13(input: Var, axis: int = -1) -> Var:
    return mb.softmax(x=input, axis=axis)


@op
def Softplus(X: Var) -> Var:
    return mb.softplus(x=X)


@op
def Softsign(input: Var) -> Var:
    return mb.softsign(x=input)


@op
def Sqrt(X: Var) -> Var:
    return mb.sqrt(x=X)


@op
def Sub(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.sub(x=A, y=aligned(A, B, axis, broadcast))


@op
def Sum(*data_0: Var) -> Var:
    return reduce(lambda x, y: mb.add(x=x, y=y), data_0)


@op
def Swish(X: Var, alpha: float = 1.0) -> Var:
    return mb.mul(x=X, y=mb.sigmoid(x=X if alpha == 1.0 else mb.mul(x=X, y=alpha)))


@op
def Tan(input: Var) -> Var:
    return mb.tan(x=input)


@op
def Tanh(input: Var) -> Var:
    return mb.tanh(x=input)


@op
def ThresholdedRelu(X: Var, alpha: float = 1.0) -> Var:
    """MIL's own keeps the threshold itself, ONNX's does not."""
    return mb.select(cond=mb.greater(x=X, y=alpha), a=X, b=const(0.0, like=X))


@op
def TopK(X: Var, *, axis: int = -1, k: int) -> tuple[Var, Var]:
    return TopK_10(X, k, axis)


@op
def TopK_10(X: Var, K: int, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Var, Var]:
    values, indices = mb.topk(x=X, k=K, axis=axis, ascending=not largest)
    return values, indices
