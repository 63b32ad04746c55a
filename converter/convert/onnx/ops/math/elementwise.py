"""https://onnx.ai/onnx/operators, chapter math: element by element."""

from functools import reduce

import numpy as np

from converter.convert.onnx.builder import (
    ElementTypes,
    Operand,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    is_var,
    mb,
    no_epsilon,
)
from converter.convert.onnx.integers import wrapped
from converter.convert.onnx.ops.math.broadcasting import aligned
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def Abs(X: Var, *, types: ElementTypes) -> Var:
    return wrapped(mb.abs(x=X), types[0])


@op
def Acos(input: Var) -> Var:
    return mb.acos(x=input)


@op
def Acosh(input: Var) -> Var:
    """In float32, because the square soon leaves float16."""
    wide = cast(input, "fp32")
    root = mb.sqrt(x=mb.sub(x=mb.square(x=wide), y=1.0))
    return cast(mb.log(x=mb.add(x=wide, y=root), epsilon=no_epsilon()), dtype_name(input))


@op
def Add(A: Var, B: Var, axis: int | None = None, broadcast: int = 0, *, types: ElementTypes) -> Var:
    return wrapped(mb.add(x=A, y=aligned(A, B, axis, broadcast)), types[0])


@op
def Asin(input: Var) -> Var:
    return mb.asin(x=input)


@op
def Asinh(input: Var) -> Var:
    """From the absolute value, because x + sqrt(x * x + 1) cancels where x is negative; in float32 as Acosh."""
    wide = cast(input, "fp32")
    size = mb.abs(x=wide)
    root = mb.sqrt(x=mb.add(x=mb.square(x=size), y=1.0))
    return cast(mb.mul(x=mb.sign(x=wide), y=mb.log(x=mb.add(x=size, y=root), epsilon=no_epsilon())), dtype_name(input))


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
def Div(A: Operand, B: Operand, axis: int | None = None, broadcast: int = 0, *, types: ElementTypes) -> Var:
    like = A if is_var(A) else B
    if not is_float(like):
        return wrapped(truncated_quotient(A, aligned(A, B, axis, broadcast)), types[0])
    x, y = (v if is_var(v) else const(v, like=like) for v in (A, B))
    return mb.real_div(x=x, y=aligned(x, y, axis, broadcast))


def truncated_quotient(x: Operand, y: Operand) -> Var:
    """Integers divided towards zero: the quotient of the absolute values, with the sign of the product."""
    (x_size, x_sign), (y_size, y_sign) = size_and_sign(x), size_and_sign(y)
    return mb.mul(x=mb.floor_div(x=x_size, y=y_size), y=mb.mul(x=x_sign, y=y_sign))


def size_and_sign(x: Operand) -> tuple[Var, Var]:
    if is_var(x):
        return mb.abs(x=x), mb.sign(x=x)
    return const(np.abs(x)), const(np.sign(x))


@op
def Erf(input: Var) -> Var:
    return mb.erf(x=input)


@op
def Exp(input: Var) -> Var:
    return mb.exp(x=input)


@op
def Floor(X: Var) -> Var:
    return mb.floor(x=X)


@op
def Log(input: Var) -> Var:
    return mb.log(x=input, epsilon=no_epsilon())


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
def Mod(A: Operand, B: Operand, fmod: int = 0) -> Var:
    """The remainder has the divisor's sign, with fmod the dividend's."""
    like = B if is_var(B) else A
    if not fmod:
        return mb.mod(x=A if is_var(A) else const(A, like=like), y=B if is_var(B) else const(B, like=like))
    size = mb.abs(x=B) if is_var(B) else const(np.abs(B), like=like)
    x_size, x_sign = (mb.abs(x=A), mb.sign(x=A)) if is_var(A) else (const(np.abs(A), like), const(np.sign(A), like))
    return mb.mul(x=mb.mod(x=x_size, y=size), y=x_sign)


@op
def Mul(A: Var, B: Var, axis: int | None = None, broadcast: int = 0, *, types: ElementTypes) -> Var:
    return wrapped(mb.mul(x=A, y=aligned(A, B, axis, broadcast)), types[0])


@op
def Neg(X: Var, *, types: ElementTypes) -> Var:
    return wrapped(mb.mul(x=X, y=-1.0 if is_float(X) else -1), types[0])


@op
def Pow(X: Var, Y: Operand, axis: int | None = None, broadcast: int = 0) -> Var:
    """The result is of the base's type: an integer to the power of a float is computed in float32, and cut off."""
    if not is_float(X):
        return _integer_power(X, Y, axis, broadcast)
    if not is_var(Y) and Y.size == 1 and Y.ndim <= len(X.shape):
        Y = Y.reshape(())  # noqa: N806  as a number, which is all that a NeuralNetwork raises to
        if float(Y) in _POWERS:
            return _POWERS[float(Y)](X)
    exponent = cast(Y, dtype_name(X)) if is_var(Y) else const(Y.astype(np.float32), like=X)
    return mb.pow(x=X, y=aligned(X, exponent, axis, broadcast))


def _integer_power(X: Var, Y: Operand, axis: int | None, broadcast: int) -> Var:
    whole = not is_float(Y) if is_var(Y) else Y.dtype.kind != "f" and (Y >= 0).all()
    if whole:
        return mb.pow(x=X, y=aligned(X, Y if is_var(Y) else const(Y), axis, broadcast))
    exponent = cast(Y, "fp32") if is_var(Y) else const(Y.astype(np.float32))
    return cast(mb.pow(x=cast(X, "fp32"), y=aligned(X, exponent, axis, broadcast)), "int32")


# Exact, cheaper, and defined for negative numbers on every compute unit.
_POWERS = {0.5: lambda x: mb.sqrt(x=x), 1.0: lambda x: x, 2.0: lambda x: mb.square(x=x)}


@op
def Reciprocal(X: Var) -> Var:
    return mb.real_div(x=1.0, y=X)


@op
def Round(X: Var) -> Var:
    return mb.round(x=X)


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
def Sqrt(X: Var) -> Var:
    return mb.sqrt(x=X)


@op
def Sub(A: Var, B: Var, axis: int | None = None, broadcast: int = 0, *, types: ElementTypes) -> Var:
    return wrapped(mb.sub(x=A, y=aligned(A, B, axis, broadcast)), types[0])


@op
def Sum(*data_0: Var) -> Var:
    return reduce(lambda x, y: mb.add(x=x, y=y), data_0)


@op
def Tan(input: Var) -> Var:
    return mb.tan(x=input)
