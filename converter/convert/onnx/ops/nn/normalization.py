"""https://onnx.ai/onnx/operators, chapter nn: normalisations."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    OutputCount,
    Unsupported,
    Var,
    cast,
    dtype_name,
    is_const,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.nn.norms import check_stash_type, in_float32, lp_norm
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


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
    check_stash_type(stash_type)
    axes = list(range(normal_axis(axis, len(X.shape)), len(X.shape)))
    results = (_layer_normalized(X, Scale, B, axes, epsilon),)
    if outputs == 1:
        return results
    x = cast(X, "fp32")
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    variance = mb.reduce_mean(x=mb.square(x=mb.sub(x=x, y=mean)), axes=axes, keep_dims=True)
    deviation = mb.sqrt(x=mb.add(x=variance, y=epsilon))
    return (*results, cast(mean, dtype_name(X)), cast(mb.real_div(x=1.0, y=deviation), dtype_name(X)))


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
    if rank < 3:
        raise Unsupported(f"its input is of rank {rank}, which has nothing to normalise over")
    if rank in (3, 4) and is_const(scale) and is_const(B):
        return mb.instance_norm(x=input, gamma=scale, beta=B, epsilon=epsilon)
    normal = mb.layer_norm(x=input, axes=list(range(2, rank)), epsilon=epsilon)
    per_channel = (1, *scale.shape, *[1] * (rank - 2))
    return mb.add(x=mb.mul(x=normal, y=reshape(scale, per_channel)), y=reshape(B, per_channel))


@op
def GroupNormalization(X: Var, scale: Var, bias: Var, *, epsilon: float = 1e-5, num_groups: int) -> Var:
    """Scale and bias are one per group; from 21 on one per channel."""
    normal = mb.layer_norm(x=_grouped(X, num_groups), axes=[2], epsilon=epsilon)
    per_group = (1, num_groups, 1)
    scaled = mb.add(x=mb.mul(x=normal, y=reshape(scale, per_group)), y=reshape(bias, per_group))
    return _ungrouped(scaled, X)


@op
def GroupNormalization_21(
    X: Var, scale: Var, bias: Var, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1
) -> Var:
    check_stash_type(stash_type)
    per_channel = (1, int(X.shape[1]), *[1] * (len(X.shape) - 2))
    normal = _ungrouped(mb.layer_norm(x=_grouped(X, num_groups), axes=[2], epsilon=epsilon), X)
    return mb.add(x=mb.mul(x=normal, y=reshape(scale, per_channel)), y=reshape(bias, per_channel))


def _grouped(X: Var, num_groups: int) -> Var:
    """[N, C, ...] to [N, groups, channels of a group and space]."""
    batch, *rest = tuple(X.shape)
    if all(isinstance(dim, int | np.integer) for dim in rest):
        return mb.reshape(x=X, shape=(-1, num_groups, prod(rest) // num_groups))
    if isinstance(batch, int | np.integer):
        return mb.reshape(x=X, shape=(batch, num_groups, -1))
    first = mb.slice_by_size(x=mb.shape(x=X), begin=[0], size=[1])
    return mb.reshape(x=X, shape=mb.concat(values=[first, np.array([num_groups, -1], np.int32)], axis=0))


def _ungrouped(x: Var, like: Var) -> Var:
    shape = tuple(like.shape)
    flexible = [axis for axis, dim in enumerate(shape) if not isinstance(dim, int | np.integer)]
    if len(flexible) > 1:
        return mb.reshape(x=x, shape=mb.shape(x=like))
    return mb.reshape(x=x, shape=[-1 if axis in flexible else dim for axis, dim in enumerate(shape)])


@op
def LRN(X: Var, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Var:
    """Core ML's window of an even size lies the other way round, and its channels are the third axis from the end."""
    if size % 2 and len(X.shape) == 4:
        return mb.local_response_norm(x=X, size=size, alpha=alpha, beta=beta, k=bias)
    return in_float32(lambda x: _locally_normalized(x, alpha, beta, bias, size), X)


def _locally_normalized(x: Var, alpha: float, beta: float, bias: float, size: int) -> Var:
    """A mean over neighbouring channels, of which those beyond the ends are 0, is a pool over [1, C, space]."""
    batch, channels, *space = shape_of(x)
    images = reshape(mb.square(x=x), (batch, 1, channels, prod(space)))
    mean = mb.avg_pool(
        x=images,
        kernel_sizes=(size, 1),
        strides=(1, 1),
        pad_type="custom",
        pad=((size - 1) // 2, size // 2, 0, 0),
        exclude_padding_from_average=False,
    )
    scale = mb.add(x=mb.mul(x=reshape(mean, (batch, channels, *space)), y=alpha), y=bias)
    return mb.real_div(x=x, y=mb.pow(x=scale, y=beta))


@op
def LpNormalization(input: Var, axis: int = -1, p: int = 2) -> Var:
    def divided(x: Var) -> Var:
        norm = lp_norm(x, p, lambda powers: mb.reduce_sum(x=powers, axes=[axis], keep_dims=True))
        zero = mb.equal(x=norm, y=0.0)  # a vector of zeros stays one
        return mb.real_div(x=x, y=mb.select(cond=zero, a=mb.add(x=norm, y=1.0), b=norm))

    return in_float32(divided, input)


@op
def MeanVarianceNormalization(X: Var, axes: Ints = (0, 2, 3)) -> Var:
    """(X - mean) / (standard deviation + 1e-9), as the standard's function body has it."""

    def normalized(x: Var) -> Var:
        centred = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=axes, keep_dims=True))
        variance = mb.reduce_mean(x=mb.square(x=centred), axes=axes, keep_dims=True)
        return mb.real_div(x=centred, y=mb.add(x=mb.sqrt(x=variance), y=1e-9))

    return in_float32(normalized, X)


@op
def RMSNormalization(X: Var, scale: Var, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Var:
    check_stash_type(stash_type)
    axes = list(range(normal_axis(axis, len(X.shape)), len(X.shape)))

    def normalized(x: Var) -> Var:
        square = mb.reduce_mean(x=mb.square(x=x), axes=axes, keep_dims=True)
        return mb.real_div(x=x, y=mb.sqrt(x=mb.add(x=square, y=epsilon)))

    return mb.mul(x=in_float32(normalized, X), y=scale)
