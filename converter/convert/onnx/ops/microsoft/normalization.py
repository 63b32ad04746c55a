"""com.microsoft: normalisations with what stands before and behind them; one that onnxruntime files under ai.onnx."""

import numpy as np

from converter.convert.onnx.builder import (
    Operand,
    OutputCount,
    Var,
    cast,
    const,
    is_var,
    mb,
    normal_axis,
    precision,
    shape_of,
)
from converter.convert.onnx.ops.microsoft.fused import to_channels_first, to_channels_last
from converter.convert.onnx.ops.nn.normalization import GroupNormalization_21, LayerNormalization, RMSNormalization
from converter.convert.onnx.ops.tables import com_microsoft
from converter.convert.onnx.ops.tensor.indexing import Gather
from converter.convert.onnx.views import reshape

op = com_microsoft.op


@op
def SimplifiedLayerNormalization(
    X: Var, scale: Var, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1, *, outputs: OutputCount
) -> tuple[Var, ...]:
    """RMSNormalization, before the standard had it; onnxruntime files it under ai.onnx."""
    y = RMSNormalization(X, scale, axis, epsilon, stash_type)
    return (y,) if outputs == 1 else (y, _statistics(X, epsilon, axis, centred=False)[1])


def _statistics(x: Var, epsilon: float, axis: int = -1, *, centred: bool = True) -> tuple[Var, Var]:
    """The mean over the axes from `axis` on, and 1 / sqrt(variance + epsilon); not centred, the mean counts as zero."""
    axes = list(range(normal_axis(axis, len(x.shape)), len(x.shape)))
    x = cast(x, "fp32")
    mean = mb.reduce_mean(x=x, axes=axes, keep_dims=True)
    variance = mb.reduce_mean(x=mb.square(x=mb.sub(x=x, y=mean) if centred else x), axes=axes, keep_dims=True)
    root = mb.sqrt(x=mb.add(x=variance, y=epsilon))
    return cast(mean, precision.get()), cast(mb.real_div(x=1.0, y=root), precision.get())


@op
def SkipLayerNormalization(
    input: Var,
    skip: Var,
    gamma: Var,
    beta: Var = None,
    bias: Var = None,
    epsilon: float = 9.999999960041972e-13,
    *,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """The layer normalisation of input + skip + bias, its statistics, and that sum."""
    total = _sum(input, skip, bias)
    (y,) = LayerNormalization(total, gamma, beta, -1, epsilon, outputs=OutputCount(1))
    return (y,) if outputs == 1 else (y, *_statistics(total, epsilon), total)


@op
def SkipSimplifiedLayerNormalization(
    input: Var,
    skip: Var,
    gamma: Var,
    bias: Var = None,
    epsilon: float = 9.999999960041972e-13,
    *,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    total = _sum(input, skip, bias)
    y = RMSNormalization(total, gamma, -1, epsilon)
    return (y,) if outputs == 1 else (y, *_statistics(total, epsilon, centred=False), total)


def _sum(input: Var, skip: Var, bias: Var) -> Var:
    total = mb.add(x=input, y=skip)
    return total if bias is None else mb.add(x=total, y=bias)


@op
def EmbedLayerNormalization(
    input_ids: Var,
    segment_ids: Operand = None,
    *,
    word_embedding: Var,
    position_embedding: Operand,
    segment_embedding: Operand = None,
    gamma: Var,
    beta: Var,
    mask: Operand = None,
    position_ids: Operand = None,
    epsilon: float = 9.999999960041972e-13,
    mask_index_type: int | None = None,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Words, positions and segments looked up and added, then normalised; how many words the mask lets through."""
    batch, length = shape_of(input_ids)
    total = mb.add(
        x=Gather(word_embedding, input_ids), y=_positions(position_embedding, position_ids, length, word_embedding)
    )
    if segment_ids is not None:
        total = mb.add(x=total, y=_looked_up(segment_embedding, segment_ids, word_embedding))
    (y,) = LayerNormalization(total, gamma, beta, -1, epsilon, outputs=OutputCount(1))
    if outputs == 1:
        return (y,)
    if mask is None:
        count = const(np.zeros(batch, np.int32))
    elif is_var(mask):
        count = mb.reduce_sum(x=mask, axes=[1], keep_dims=False)
    else:
        count = const(mask.sum(1).astype(np.int32))
    return y, count, total


def _positions(table: Operand, ids: Operand, length: int, like: Var) -> Var:
    if ids is not None:
        return _looked_up(table, ids, like)
    return mb.slice_by_size(x=table, begin=[0, 0], size=[length, -1]) if is_var(table) else const(table[:length], like)


def _looked_up(table: Operand, ids: Operand, like: Var) -> Var:
    if not is_var(table) and not is_var(ids):
        return const(table[ids], like)
    return Gather(table if is_var(table) else const(table, like), ids)


@op
def GroupNorm(
    X: Var,
    gamma: Var,
    beta: Var,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> Var:
    """GroupNormalization of one scale per channel; with `activation` silu follows."""
    x = to_channels_first(X) if channels_last else X
    y = GroupNormalization_21(x, gamma, beta, epsilon=epsilon, num_groups=groups)
    y = mb.silu(x=y) if activation else y
    return to_channels_last(y) if channels_last else y


@op
def SkipGroupNorm(
    X: Var,
    gamma: Var,
    beta: Var,
    skip: Var,
    bias: Var = None,
    *,
    activation: int,
    channels_last: int = 1,
    epsilon: float = 1e-5,
    groups: int,
) -> tuple[Var, Var]:
    """Of X + skip + bias, which is the second output; a skip [N, C] counts for every pixel."""
    shape = tuple(skip.shape)
    if len(shape) == 2:
        batch, channels = shape_of(skip)
        skip = reshape(skip, (batch, 1, 1, channels) if channels_last else (batch, channels, 1, 1))
    total = mb.add(x=X, y=skip)
    if bias is not None:
        total = mb.add(x=total, y=bias if channels_last else reshape(bias, (int(bias.shape[0]), 1, 1)))
    y = GroupNorm(
        total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon, groups=groups
    )
    return y, total
