"""com.microsoft: attention in its forms, and rotated positions."""

import numpy as np

from converter.convert.onnx.builder import (
    ElementTypes,
    Ints,
    NotConstant,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_var,
    mb,
    shape_of,
)
from converter.convert.onnx.levels import dequantize
from converter.convert.onnx.ops.microsoft.fused import FusedMatMul
from converter.convert.onnx.ops.nn.attention import Attention as StandardAttention
from converter.convert.onnx.ops.nn.rotary import RotaryEmbedding as StandardRotaryEmbedding
from converter.convert.onnx.ops.quantization import product
from converter.convert.onnx.ops.tables import com_microsoft
from converter.convert.onnx.views import reshape, transpose

op = com_microsoft.op

_AFTER_SOFTMAX = 3  # of the standard's qk_matmul_output_mode
_MASKED = -10000.0  # onnxruntime's default for what a mask hides


@op
def Attention(
    input: Var,
    weights: Operand,
    bias: Operand = None,
    mask_index: Operand = None,
    past: Var = None,
    attention_bias: Operand = None,
    past_sequence_length: int | None = None,
    do_rotary: int | None = None,
    mask_filter_value: float | None = None,
    *,
    num_heads: int,
    past_present_share_buffer: int | None = None,
    qkv_hidden_sizes: Ints | None = None,
    rotary_embedding_dim: int | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Self-attention of [batch, length, hidden] behind one projection to q, k and v."""
    if do_rotary or past_present_share_buffer or past_sequence_length is not None:
        raise Unsupported("do_rotary and a shared buffer are not supported")
    projected = FusedMatMul(input, weights)
    if bias is not None:
        projected = mb.add(x=projected, y=bias if is_var(bias) else const(bias, like=projected))
    width = int(weights.shape[1])
    sizes = qkv_hidden_sizes or (width // 3,) * 3
    return attended(
        projected, sizes, num_heads, mask_index, past, attention_bias, mask_filter_value, scale, unidirectional, outputs
    )


@op
def QAttention(
    input: Operand,
    weight: Operand,
    bias: Operand,
    input_scale: Operand,
    weight_scale: Operand,
    mask_index: Operand = None,
    input_zero_point: Operand = None,
    weight_zero_point: Operand = None,
    past: Var = None,
    do_rotary: int | None = None,
    mask_filter_value: float | None = None,
    *,
    num_heads: int,
    past_present_share_buffer: int | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
    elements: ElementTypes,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Attention whose input and weights are quantized; the rest of it is not."""
    if do_rotary or past_present_share_buffer:
        raise Unsupported("do_rotary and a shared buffer are not supported")
    x = dequantize(input, input_scale, input_zero_point, dtype=elements[0])
    projected = product(x, weight, weight_scale, weight_zero_point, elements[1], bias)
    sizes = (int(weight.shape[1]) // 3,) * 3
    return attended(
        projected, sizes, num_heads, mask_index, past, None, mask_filter_value, scale, unidirectional, outputs
    )


def attended(
    projected: Var,
    sizes: Ints,
    num_heads: int,
    mask_index: Operand,
    past: Var,
    attention_bias: Operand,
    mask_filter_value: float | None,
    scale: float | None,
    unidirectional: int,
    outputs: int,
) -> tuple[Var, ...]:
    """The attention of q, k and v that stand side by side, of these sizes, and the keys and values for the next."""
    q, k, v = (heads(x, num_heads) for x in mb.split(x=projected, split_sizes=list(sizes), axis=-1))
    pasts = (None, None)
    if past is not None:
        pasts = tuple(mb.squeeze(x=x, axes=[0]) for x in mb.split(x=past, num_splits=2, axis=0))
    hidden = _MASKED if mask_filter_value is None else mask_filter_value
    total = int(k.shape[2]) + (0 if past is None else int(past.shape[3]))
    mask = added(padding_mask(mask_index, q, total, hidden), attention_bias)
    y, k, v = StandardAttention(
        q, k, v, mask, *pasts, is_causal=unidirectional, scale=scale or None, outputs=OutputCount(3)
    )
    return (joined(y),) if outputs == 1 else (joined(y), mb.stack(values=[k, v], axis=0))


@op
def MultiHeadAttention(
    query: Var,
    key: Var = None,
    value: Var = None,
    bias: Operand = None,
    key_padding_mask: Operand = None,
    attention_bias: Operand = None,
    past_key: Var = None,
    past_value: Var = None,
    past_sequence_length: int | None = None,
    cache_indirection: Var = None,
    mask_filter_value: float | None = None,
    *,
    num_heads: int,
    scale: float | None = None,
    unidirectional: int = 0,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Attention of what is projected already: [batch, length, hidden], keys of cross attention by heads, too."""
    if key is None or value is None:
        raise Unsupported("its query, key and value are packed in one tensor")
    if past_sequence_length is not None or cache_indirection is not None:
        raise Unsupported("a shared buffer of past keys is not supported")
    q, k, v = _biased(query, key, value, bias)
    q = heads(q, num_heads)
    k, v = (x if len(x.shape) == 4 else heads(x, num_heads) for x in (k, v))
    hidden = _MASKED if mask_filter_value is None else mask_filter_value
    total = int(k.shape[2]) + (0 if past_key is None else int(past_key.shape[2]))
    y, *more = StandardAttention(
        q,
        k,
        v,
        added(padding_mask(key_padding_mask, q, total, hidden), attention_bias),
        past_key,
        past_value,
        is_causal=unidirectional,
        qk_matmul_output_mode=_AFTER_SOFTMAX,
        scale=scale or None,
        outputs=outputs,
    )
    return joined(y), *more


def _biased(query: Var, key: Var, value: Var, bias: Operand) -> tuple[Var, ...]:
    """The one bias of all three, in three; keys and values by heads have theirs already."""
    if bias is None:
        return query, key, value
    if is_var(bias):
        raise NotConstant("bias")
    sizes = [int(x.shape[-1]) for x in (query, query, value if len(value.shape) == 3 else query)]
    parts = np.split(bias, np.cumsum(sizes)[:-1])
    return tuple(
        mb.add(x=x, y=const(part, like=x)) if len(x.shape) == 3 else x
        for x, part in zip((query, key, value), parts, strict=True)
    )


@op
def GroupQueryAttention(
    query: Var,
    key: Var = None,
    value: Var = None,
    past_key: Var = None,
    past_value: Var = None,
    *,
    seqlens_k: Operand,
    total_sequence_length: int,
    cos_cache: Operand = None,
    sin_cache: Operand = None,
    position_ids: Operand = None,
    attention_bias: Operand = None,
    head_sink: Operand = None,
    k_scale: Operand = None,
    v_scale: Operand = None,
    q_norm_weight: Operand = None,
    k_norm_weight: Operand = None,
    query_seqlens: Operand = None,
    causal: int = 1,
    do_rotary: int | None = None,
    k_norm_epsilon: float | None = None,
    k_quant_type: str = "NONE",
    kv_cache_bit_width: int | None = None,
    kv_num_heads: int,
    local_window_size: int = -1,
    num_heads: int,
    q_norm_epsilon: float | None = None,
    qk_norm_epsilon: float = 9.999999974752427e-07,
    qk_output: int = 0,
    rotary_interleaved: int | None = None,
    scale: float | None = None,
    sliding_window_cache: int = 0,
    smooth_softmax: int = -1,
    softcap: float | None = None,
    v_quant_type: str = "NONE",
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """Heads in groups share their keys. The past is as long as `total_sequence_length` says, without padding."""
    unusual = {
        "head_sink": head_sink is not None,
        "k_scale": k_scale is not None or v_scale is not None,
        "q_norm_weight": q_norm_weight is not None or k_norm_weight is not None,
        "query_seqlens": query_seqlens is not None,
        "k_quant_type": k_quant_type != "NONE" or v_quant_type != "NONE",
        "qk_output": bool(qk_output),
        "sliding_window_cache": bool(sliding_window_cache),
        "smooth_softmax": smooth_softmax > 0,
    }
    if refused := [name for name, given in unusual.items() if given]:
        raise Unsupported(f"{' and '.join(refused)} are not supported")
    q, k, v = _grouped_heads(query, key, value, num_heads, kv_num_heads)
    length, past = int(q.shape[2]), 0 if past_key is None else int(past_key.shape[2])
    if total_sequence_length != past + length:
        raise Unsupported(
            f"total_sequence_length = {total_sequence_length}, {past} past and {length} new ones are {past + length}; "
            "a buffer that is longer than its contents is not supported"
        )
    _unpadded(seqlens_k, total_sequence_length, int(q.shape[0]))
    if do_rotary:
        if cos_cache is None or sin_cache is None:
            raise Unsupported("do_rotary without cos_cache and sin_cache")
        places = np.arange(past, past + length)[None] if position_ids is None else position_ids
        q, k = (rotated(x, places, cos_cache, sin_cache, bool(rotary_interleaved)) for x in (q, k))
    y, *more = StandardAttention(
        q,
        k,
        v,
        attention_bias,
        past_key,
        past_value,
        is_causal=causal,
        left_window_size=local_window_size - 1 if local_window_size > 0 else -1,
        scale=scale or None,
        softcap=softcap or 0.0,
        outputs=outputs,
    )
    return joined(y), *more


def _grouped_heads(query: Var, key: Var, value: Var, count: int, kv_count: int) -> tuple[Var, Var, Var]:
    if key is None or value is None:
        size = int(query.shape[-1]) // (count + 2 * kv_count)
        query, key, value = mb.split(x=query, split_sizes=[count * size, kv_count * size, kv_count * size], axis=-1)
    return heads(query, count), heads(key, kv_count), heads(value, kv_count)


def _unpadded(seqlens_k: Operand, total: int, batch: int) -> None:
    """onnxruntime skips the padding of a shorter sequence; of one sequence there is none."""
    if is_var(seqlens_k) and batch > 1:
        raise NotConstant("seqlens_k")
    if not is_var(seqlens_k) and (seqlens_k != total - 1).any():
        raise Unsupported("its sequences are of different lengths")


@op
def RotaryEmbedding(
    input: Var,
    position_ids: Operand,
    cos_cache: Operand,
    sin_cache: Operand,
    interleaved: int | None = None,
    is_packed_batching: int | None = None,
    num_heads: int | None = None,
    rotary_embedding_dim: int | None = None,
    scale: float | None = None,
) -> Var:
    """Of [batch, length, hidden], or of [batch, heads, length, size]; a lone position is the first of all."""
    if is_packed_batching:
        raise Unsupported("is_packed_batching is not supported")
    if scale not in (None, 1.0):
        raise Unsupported(f"scale = {scale} is not supported")
    split = len(input.shape) == 3
    if split:
        size = 2 * int(cos_cache.shape[1]) if not num_heads else int(input.shape[-1]) // num_heads
        x = heads(input, int(input.shape[-1]) // size)
    else:
        x = input
    y = rotated(x, _each(position_ids, int(x.shape[2])), cos_cache, sin_cache, bool(interleaved))
    return joined(y) if split else y


def _each(position_ids: Operand, length: int) -> Operand:
    """A lone first position as all that follow."""
    if len(position_ids.shape) == 2:
        return position_ids
    after = np.arange(length)[None]
    return mb.add(x=position_ids, y=const(after)) if is_var(position_ids) else position_ids.reshape(1, 1) + after


def rotated(x: Var, places: Operand, cos_cache: Operand, sin_cache: Operand, interleaved: bool) -> Var:
    """[batch, heads, length, size] turned by its places; what the caches do not reach stays."""
    turned = 2 * int(cos_cache.shape[-1])
    return StandardRotaryEmbedding(x, cos_cache, sin_cache, places, int(interleaved), rotary_embedding_dim=turned)


def heads(x: Var, count: int) -> Var:
    """[batch, length, count * size] as [batch, count, length, size]"""
    batch, length, width = shape_of(x)
    return transpose(reshape(x, (batch, length, count, width // count)), (0, 2, 1, 3))


def joined(x: Var) -> Var:
    batch, count, length, size = shape_of(x)
    return reshape(transpose(x, (0, 2, 1, 3)), (batch, length, count * size))


def added(*masks: Operand) -> Operand:
    """What masks put on the scores together."""
    given = [mask for mask in masks if mask is not None]
    if len(given) < 2:
        return given[0] if given else None
    first, second = given
    if not is_var(first) and not is_var(second):
        return first + second
    like = first if is_var(first) else second
    return mb.add(**{name: x if is_var(x) else const(x, like=like) for name, x in zip("xy", given, strict=True)})


def padding_mask(mask: Operand, q: Var, total: int, hidden: float) -> Operand:
    """What is added to the scores for a mask of ones and zeros, or for lengths (and beginnings) of the sequences."""
    if mask is None:
        return None
    shape = tuple(int(dim) for dim in mask.shape)
    batch = int(q.shape[0])
    if len(shape) == 1 and shape[0] in (batch, 2 * batch):
        return _by_length(mask, batch, total, q, hidden)
    match shape:
        case (_, size) if size == total:
            places: Ints = (shape[0], 1, 1, total)
        case (_, rows, size) if size == total and rows == int(q.shape[2]):
            places = (shape[0], 1, rows, total)
        case _:
            raise Unsupported(f"a mask of shape {list(shape)} is not supported")
    if not is_var(mask):
        return np.where(mask.reshape(places) > 0, 0.0, hidden).astype(np.float32)
    return _hiding(mb.less_equal(x=reshape(mask, places), y=0), q, hidden)


def _hiding(where: Var, like: Var, hidden: float) -> Var:
    return mb.mul(x=cast(where, dtype_name(like)), y=float(hidden))


def _by_length(mask: Operand, batch: int, total: int, q: Var, hidden: float) -> Operand:
    """Ends, then beginnings where there are twice as many numbers as sequences."""
    places = np.arange(total, dtype=np.int32).reshape(1, 1, 1, total)
    halves = int(mask.shape[0]) // batch
    if not is_var(mask):
        ends, begins = mask[:batch], mask[batch:] if halves == 2 else np.zeros(batch, mask.dtype)
        inside = (places < ends.reshape(batch, 1, 1, 1)) & (places >= begins.reshape(batch, 1, 1, 1))
        return np.where(inside, 0.0, hidden).astype(np.float32)
    parts = mb.split(x=mask, num_splits=2, axis=0) if halves == 2 else [mask]
    outside = mb.greater_equal(x=const(places), y=reshape(parts[0], (batch, 1, 1, 1)))
    if halves == 2:
        outside = mb.logical_or(x=outside, y=mb.less(x=const(places), y=reshape(parts[1], (batch, 1, 1, 1))))
    return _hiding(outside, q, hidden)
