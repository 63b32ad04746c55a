"""https://onnx.ai/onnx/operators, chapter generator; what depends on constants alone is folded before it gets here."""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Ints,
    Var,
    cast,
    dtype_name,
    is_float,
    mb,
    narrow,
    precision,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.casting import kind_of

op = ai_onnx.op


@op
def ConstantOfShape(input: Var, value: Array | None = None) -> Var:
    """A shape that the model computes gives a tensor whose size Core ML learns when it runs."""
    number = np.zeros((), np.float32) if value is None else value.reshape(())
    return mb.fill(shape=input, value=narrow(number, np.float16 if precision.get() == "fp16" else np.float32))


@op
def EyeLike(input: Var, dtype: int | None = None, k: int = 0) -> Var:
    rows, columns = shape_of(input)
    kind = dtype_name(input) if dtype is None else kind_of(dtype)
    numbers = {"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}[kind]
    return mb.const(val=np.eye(rows, columns, k).astype(numbers))


@op
def Range(start: Var, limit: Var, delta: Var, stash_type: int = 1) -> Var:
    """Its length is learned when the model runs. Floats are counted in float32, as stash_type asks for at least."""
    if not is_float(start):
        return mb.range_1d(start=start, end=limit, step=delta)
    first, end, step = (cast(x, "fp32") for x in (start, limit, delta))
    return cast(mb.range_1d(start=first, end=end, step=step), dtype_name(start))


# Random numbers are others in Core ML than in onnxruntime, whatever the seed; a seed makes them the same in each run.


@op
def RandomNormal(
    *, dtype: int = 1, mean: float = 0.0, scale: float = 1.0, seed: float | None = None, shape: Ints
) -> Var:
    return _normal(shape, mean, scale, seed, dtype)


@op
def RandomNormalLike(
    input: Var, dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Var:
    return _normal(_shape_like(input), mean, scale, seed, dtype, input)


@op
def RandomUniform(
    *, dtype: int = 1, high: float = 1.0, low: float = 0.0, seed: float | None = None, shape: Ints
) -> Var:
    return _uniform(shape, low, high, seed, dtype)


@op
def RandomUniformLike(
    input: Var, dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Var:
    return _uniform(_shape_like(input), low, high, seed, dtype, input)


@op
def Bernoulli(input: Var, dtype: int | None = None, seed: float | None = None) -> Var:
    """1 where a number drawn from [0, 1) lies below the input."""
    drawn = mb.random_uniform(shape=_shape_like(input), low=0.0, high=1.0, seed=_seed(seed))
    hit = mb.less(x=drawn, y=cast(input, "fp32"))
    return cast(hit, dtype_name(input) if dtype is None else kind_of(dtype))


@op
def Multinomial(input: Var, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Var:
    """`input` [N, classes] are logarithms of what is not yet a probability."""
    drawn = mb.random_categorical(x=cast(input, "fp32"), mode="logits", size=sample_size, seed=_seed(seed))
    return cast(drawn, kind_of(dtype))


def _normal(
    shape: Ints | Var, mean: float, scale: float, seed: float | None, dtype: int | None, like: Var | None = None
) -> Var:
    drawn = mb.random_normal(shape=shape, mean=mean, stddev=scale, seed=_seed(seed))
    return cast(drawn, dtype_name(like) if dtype is None else kind_of(dtype))


def _uniform(
    shape: Ints | Var, low: float, high: float, seed: float | None, dtype: int | None, like: Var | None = None
) -> Var:
    drawn = mb.random_uniform(shape=shape, low=low, high=high, seed=_seed(seed))
    return cast(drawn, dtype_name(like) if dtype is None else kind_of(dtype))


def _seed(seed: float | None) -> int:
    """ONNX's are floats; -1 asks Core ML for another one in each run."""
    return -1 if seed is None else int(abs(seed)) % (1 << 31)


def _shape_like(x: Var) -> Ints | Var:
    if all(isinstance(dim, int | np.integer) for dim in x.shape):
        return shape_of(x)
    return mb.shape(x=x)
