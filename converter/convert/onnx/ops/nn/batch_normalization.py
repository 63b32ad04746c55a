"""https://onnx.ai/onnx/operators, chapter nn: batch normalisation."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_var,
    mb,
    no_epsilon,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def BatchNormalization(
    X: Var,
    scale: Operand,
    B: Operand,
    mean: Operand,
    var: Operand,
    epsilon: float = 1e-5,
    is_test: int = 0,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Var:
    """Only in opset 6 does a missing `is_test` mean training, and only there does it exist."""
    if not is_test:
        raise Unsupported("it is in training mode (is_test = 0); export the model in eval mode")
    return BatchNormalization_7(X, scale, B, mean, var, epsilon, momentum, spatial)


@op
def BatchNormalization_7(
    X: Var,
    scale: Operand,
    B: Operand,
    mean: Operand,
    var: Operand,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Var:
    """More than one output means training, of which these opsets do not say what they hold: `lower` refuses them."""
    if not spatial:
        return _scaled(X, scale, B, mean, var, epsilon, (1, *tuple(X.shape)[1:]))
    return _batch_normalized(X, scale, B, mean, var, epsilon)


@op
def BatchNormalization_14(
    X: Var,
    scale: Operand,
    B: Operand,
    input_mean: Operand,
    input_var: Operand,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    *,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """In training mode by the batch's own statistics, of which the running ones take their part."""
    if not training_mode:
        return (_batch_normalized(X, scale, B, input_mean, input_var, epsilon),)
    x = cast(X, "fp32")
    axes = [axis for axis in range(len(X.shape)) if axis != 1]
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    centred = mb.sub(x=x, y=mean)
    variance = mb.reduce_mean(x=mb.square(x=centred), axes=axes, keep_dims=True)
    normal = mb.real_div(x=centred, y=mb.sqrt(x=mb.add(x=variance, y=epsilon)))
    per_channel = tuple(mean.shape)
    scaled = mb.mul(x=cast(normal, dtype_name(X)), y=_shaped(scale, per_channel, X))
    results = (mb.add(x=scaled, y=_shaped(B, per_channel, X)),)
    if outputs == 1:
        return results
    now = (cast(mb.reshape(x=x, shape=(-1,)), dtype_name(X)) for x in (mean, variance))
    return (*results, *(_moved(*pair, momentum, X) for pair in zip((input_mean, input_var), now, strict=True)))


def _moved(before: Operand, now: Var, momentum: float, like: Var) -> Var:
    part = (
        mb.mul(x=before, y=momentum) if is_var(before) else const(np.asarray(before, np.float64) * momentum, like=like)
    )
    return mb.add(x=mb.mul(x=now, y=1 - momentum), y=part)


def _batch_normalized(X: Var, scale: Operand, B: Operand, mean: Operand, var: Operand, epsilon: float) -> Var:
    """`batch_norm` where Core ML has it (constant statistics, rank 3 to 5), else scale and shift."""
    rank = len(X.shape)
    given = {"gamma": scale, "beta": B, "mean": mean, "variance": var}
    if 3 <= rank <= 5 and not any(is_var(x) for x in given.values()):
        return mb.batch_norm(x=X, epsilon=epsilon, **{name: const(x, like=X) for name, x in given.items()})
    return _scaled(X, scale, B, mean, var, epsilon, (1, -1, *[1] * (rank - 2)) if rank > 1 else (1,))


def _scaled(X: Var, scale: Operand, B: Operand, mean: Operand, var: Operand, epsilon: float, shape: Ints) -> Var:
    """Statistics that fit X when reshaped; what is constant of them is computed here, in float64."""
    if not is_var(var) and not is_var(scale):
        factor: Operand = np.asarray(scale, np.float64) / np.sqrt(np.asarray(var, np.float64) + epsilon)
    elif not is_var(var):
        factor = mb.mul(x=scale, y=const(1 / np.sqrt(np.asarray(var, np.float64) + epsilon), like=scale))
    else:
        factor = mb.mul(x=mb.rsqrt(x=mb.add(x=var, y=epsilon), epsilon=no_epsilon()), y=_shaped(scale, (-1,), X))
    if not any(is_var(x) for x in (factor, mean, B)):
        offset = np.asarray(B, np.float64) - np.asarray(mean, np.float64) * factor
        scaled = mb.mul(x=X, y=_shaped(factor, shape, X))
        return mb.add(x=scaled, y=_shaped(offset, shape, X))
    centred = mb.sub(x=X, y=_shaped(mean, shape, X))
    return mb.add(x=mb.mul(x=centred, y=_shaped(factor, shape, X)), y=_shaped(B, shape, X))


def _shaped(x: Operand, shape: Ints, like: Var) -> Var:
    """Statistics in another shape; one that is constant in `like`'s precision."""
    return mb.reshape(x=x, shape=shape) if is_var(x) else const(x.reshape(shape), like=like)
