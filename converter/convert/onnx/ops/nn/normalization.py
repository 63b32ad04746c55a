"""https://onnx.ai/onnx/operators, chapter nn: normalisations."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    const,
    is_const,
    is_var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape, static_shape

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
    if not spatial:
        raise Unsupported("spatial = 0 is not supported")
    return BatchNormalization_14(X, scale, B, mean, var, epsilon, momentum)


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
) -> Var:
    """`batch_norm` where Core ML has it (constant statistics, rank 3 to 5), else scale and shift."""
    if training_mode:
        raise Unsupported("it is in training mode; export the model in eval mode")
    rank = len(X.shape)
    per_channel = (1, -1, *[1] * (rank - 2)) if rank > 1 else (1,)
    statistics = (scale, B, input_mean, input_var)
    if not any(is_var(x) for x in statistics):
        gamma, beta, mean, variance = (np.asarray(x, np.float64) for x in statistics)
        if 3 <= rank <= 5:
            named = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
            return mb.batch_norm(x=X, epsilon=epsilon, **{name: const(x, like=X) for name, x in named.items()})
        factor = gamma / np.sqrt(variance + epsilon)
        scaled = mb.mul(x=X, y=const(factor.reshape(per_channel), like=X))
        return mb.add(x=scaled, y=const((beta - mean * factor).reshape(per_channel), like=X))
    gamma, beta, mean, variance = (
        mb.reshape(x=x, shape=per_channel) if is_var(x) else const(x.reshape(per_channel), like=X) for x in statistics
    )
    if is_const(variance):
        raise Unsupported("its variance is constant, other statistics are computed")
    normal = mb.mul(x=mb.sub(x=X, y=mean), y=mb.rsqrt(x=mb.add(x=variance, y=epsilon), epsilon=0.0))
    return mb.add(x=mb.mul(x=normal, y=gamma), y=beta)


@op
def LayerNormalization(
    X: Var,
    Scale: Var,
    B: Var = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    *,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    axes = list(range(normal_axis(axis, len(X.shape)), len(X.shape)))
    results = (_layer_normalized(X, Scale, B, axes, epsilon),)
    if outputs == 1:
        return results
    mean = mb.reduce_mean(x=X, axes=axes, keep_dims=True)
    variance = mb.reduce_mean(x=mb.square(x=mb.sub(x=X, y=mean)), axes=axes, keep_dims=True)
    return (*results, mean, mb.real_div(x=1.0, y=mb.sqrt(x=mb.add(x=variance, y=epsilon))))


def _layer_normalized(X: Var, Scale: Var, B: Var, axes: list[int], epsilon: float) -> Var:
    normalized = tuple(X.shape)[axes[0] :]
    fixed = Scale.val is not None and (B is None or B.val is not None)
    if fixed and tuple(Scale.shape) == normalized and (B is None or tuple(B.shape) == normalized):
        return mb.layer_norm(x=X, axes=axes, gamma=Scale, beta=B, epsilon=epsilon)
    y = mb.mul(x=mb.layer_norm(x=X, axes=axes, epsilon=epsilon), y=Scale)
    return y if B is None else mb.add(x=y, y=B)


@op
def InstanceNormalization(input: Var, scale: Var, B: Var, epsilon: float = 1e-5) -> Var:
    rank = len(input.shape)
    if rank in (3, 4) and scale.val is not None and B.val is not None:
        return mb.instance_norm(x=input, gamma=scale, beta=B, epsilon=epsilon)
    normal = mb.layer_norm(x=input, axes=list(range(2, rank)), epsilon=epsilon)
    per_channel = (1, *scale.shape, *[1] * (rank - 2))
    return mb.add(x=mb.mul(x=normal, y=reshape(scale, per_channel)), y=reshape(B, per_channel))


@op
def GroupNormalization(X: Var, scale: Var, bias: Var, *, epsilon: float = 1e-5, num_groups: int) -> Var:
    """Scale and bias are one per group; from 21 on one per channel."""
    normal = _grouped(X, epsilon, num_groups)
    per_group = (1, num_groups, 1)
    shape = static_shape(X)
    grouped = reshape(normal, (shape[0], num_groups, -1 if 0 in shape else prod(shape[1:]) // num_groups))
    scaled = mb.add(x=mb.mul(x=grouped, y=reshape(scale, per_group)), y=reshape(bias, per_group))
    return reshape(scaled, shape)


@op
def GroupNormalization_21(
    X: Var, scale: Var, bias: Var, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1
) -> Var:
    per_channel = (1, int(X.shape[1]), *[1] * (len(X.shape) - 2))
    normal = _grouped(X, epsilon, num_groups)
    return mb.add(x=mb.mul(x=normal, y=reshape(scale, per_channel)), y=reshape(bias, per_channel))


def _grouped(X: Var, epsilon: float, num_groups: int) -> Var:
    shape = shape_of(X)
    grouped = reshape(X, (shape[0], num_groups, prod(shape[1:]) // num_groups))
    return reshape(mb.layer_norm(x=grouped, axes=[2], epsilon=epsilon), shape)


@op
def LRN(X: Var, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Var:
    # Core ML's window of an even size lies the other way round, and its channels are the third axis from the end.
    if size % 2 == 0:
        raise Unsupported(f"size = {size}; only odd sizes are supported")
    if len(X.shape) != 4:
        raise Unsupported(f"its input is of rank {len(X.shape)}, only [N, C, H, W] is supported")
    return mb.local_response_norm(x=X, size=size, alpha=alpha, beta=beta, k=bias)


@op
def LpNormalization(input: Var, axis: int = -1, p: int = 2) -> Var:
    if p not in (1, 2):
        raise Unsupported(f"p = {p}; 1 and 2 are supported")
    norm = (mb.reduce_l1_norm if p == 1 else mb.reduce_l2_norm)(x=input, axes=[axis], keep_dims=True)
    zero = mb.equal(x=norm, y=0.0)  # a vector of zeros stays one
    return mb.real_div(x=input, y=mb.select(cond=zero, a=mb.add(x=norm, y=1.0), b=norm))


@op
def MeanVarianceNormalization(X: Var, axes: Ints = (0, 2, 3)) -> Var:
    """(X - mean) / (standard deviation + 1e-9), as the standard's function body has it."""
    centred = mb.sub(x=X, y=mb.reduce_mean(x=X, axes=axes, keep_dims=True))
    variance = mb.reduce_mean(x=mb.square(x=centred), axes=axes, keep_dims=True)
    return mb.real_div(x=centred, y=mb.add(x=mb.sqrt(x=variance), y=1e-9))


@op
def RMSNormalization(X: Var, scale: Var, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Var:
    axes = list(range(normal_axis(axis, len(X.shape)), len(X.shape)))
    square = mb.reduce_mean(x=mb.square(x=X), axes=axes, keep_dims=True)
    return mb.mul(x=mb.real_div(x=X, y=mb.sqrt(x=mb.add(x=square, y=epsilon))), y=scale)
