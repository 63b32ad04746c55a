"""https://onnx.ai/onnx/operators, chapter nn: attention."""

import math

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    float_dtype,
    is_const,
    is_var,
    mb,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.math.activation import Softmax_13
from converter.convert.onnx.ops.nn.masks import FAR, Mask, given, seen
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op

_FLOAT16, _WIDE = 10, (1, 11)  # FLOAT16; FLOAT and DOUBLE of TensorProto.DataType


@op
def Attention(
    Q: Var,
    K: Var,
    V: Var,
    attn_mask: Operand = None,
    past_key: Var = None,
    past_value: Var = None,
    nonpad_kv_seqlen: Operand = None,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    *,
    outputs: OutputCount,
) -> tuple[Var, ...]:
    """A query that sees no key gives zeros. Of Core ML's one operation, from iOS18 on, where it says the same."""
    packed = len(Q.shape) == 3
    if packed and not (q_num_heads and kv_num_heads):
        raise Unsupported("inputs of rank 3 need q_num_heads and kv_num_heads")
    if past_key is not None and nonpad_kv_seqlen is not None:
        raise Unsupported("past_key and nonpad_kv_seqlen exclude each other")
    query = _split(Q, q_num_heads) if packed and q_num_heads else Q
    key, value = (_split(x, kv_num_heads) if packed and kv_num_heads else x for x in (K, V))
    past = 0
    if past_key is not None:
        past = shape_of(past_key)[2]
        key, value = (mb.concat(values=pair, axis=2) for pair in ((past_key, key), (past_value, value)))
    batch, heads, queries, size = shape_of(query)
    keys = shape_of(key)[2]
    mask = given(attn_mask, keys)
    seen(
        mask,
        queries=queries,
        keys=keys,
        past=past,
        nonpad_kv_seqlen=nonpad_kv_seqlen,
        is_causal=is_causal,
        left_window_size=left_window_size,
        right_window_size=right_window_size,
    )
    scale = scale if scale is not None else 1 / math.sqrt(size)
    if outputs < 4 and not softcap and softmax_precision in (None, _FLOAT16) and mask.is_fixed and target_is("iOS18"):
        y, scores = _fused(query, key, value, mask, scale), None
    else:
        stages = _stages(_scores(query, key, scale), mask, softcap, softmax_precision, qk_matmul_output_mode == 2)
        y, scores = _grouped_matmul(stages[3], value), stages[qk_matmul_output_mode]
    if packed:
        y = reshape(transpose(y, (0, 2, 1, 3)), (batch, queries, heads * shape_of(value)[3]))
    return (y, key, value, scores)[: max(outputs, 1)]


def _split(x: Var, heads: int) -> Var:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    batch, length, width = shape_of(x)
    if is_const(x):
        return mb.const(val=x.val.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3))
    return transpose(reshape(x, (batch, length, heads, width // heads)), (0, 2, 1, 3))


def _grouped(x: Var, heads: int) -> Var:
    """The query heads that share a key head side by side: [batch, heads, group * queries, size]."""
    batch, all_heads, queries, size = shape_of(x)
    return reshape(x, (batch, heads, all_heads // heads * queries, size))


def _times(x: Var, factor: float) -> Var:
    if abs(factor - 1) < 1e-7:
        return x
    # Learned queries are constant.
    return mb.const(val=x.val * x.val.dtype.type(factor)) if is_const(x) else mb.mul(x=x, y=factor)


def _scores(query: Var, key: Var, scale: float) -> Var:
    """Each query times each key: [batch, heads of the query, queries, keys]."""
    batch, heads, queries, _ = shape_of(query)
    scaled = _times(query, scale)
    scores = mb.matmul(x=_grouped(scaled, shape_of(key)[1]), y=key, transpose_y=True)
    return reshape(scores, (batch, heads, queries, shape_of(key)[2]))


def _grouped_matmul(weights: Var, value: Var) -> Var:
    batch, heads, queries, _ = shape_of(weights)
    y = mb.matmul(x=_grouped(weights, shape_of(value)[1]), y=value)
    return reshape(y, (batch, heads, queries, shape_of(value)[3]))


def _fused(query: Var, key: Var, value: Var, mask: Mask, scale: float) -> Var:
    batch, heads, queries, size = shape_of(query)
    factor = scale * math.sqrt(size)  # Core ML has the default scale only
    grouped = _grouped(_times(query, factor), shape_of(key)[1])
    bias = mask.fixed()
    named = {}
    if bias is not None:
        bias = bias.reshape((1,) * (4 - bias.ndim) + bias.shape)
        group = heads // shape_of(key)[1]
        if group > 1:
            bias = np.broadcast_to(bias, (*bias.shape[:2], queries, bias.shape[3]))
            rows = (bias.shape[0], -1, group * queries, bias.shape[3])
            bias = np.tile(bias, (1, 1, group, 1)) if bias.shape[1] == 1 else bias.reshape(rows)
        named = {"attn_mask": const(_narrowed(bias, query), like=query)}
    y = mb.scaled_dot_product_attention(query=grouped, key=key, value=value, **named)
    return reshape(y, (batch, heads, queries, shape_of(value)[3]))


def _narrowed(bias: Array, like: Var) -> Array:
    return np.clip(bias, -FAR, FAR) if dtype_name(like) == "fp16" else bias


def _stages(
    raw: Var, mask: Mask, softcap: float, softmax_precision: int | None, shows_hidden: bool
) -> tuple[Var, Var, Var, Var]:
    """The scores as they are, capped, with the mask on them, and as weights: what qk_matmul_output_mode counts."""
    capped = mb.mul(x=mb.tanh(x=mb.mul(x=raw, y=1 / softcap)), y=softcap) if softcap else raw
    if mask.is_fixed:
        bias = mask.fixed()
        if bias is None:
            return raw, capped, capped, _softmax(capped, softmax_precision)
        masked = mb.add(x=capped, y=const(bias if shows_hidden else _narrowed(bias, raw), like=raw))
        return raw, capped, masked, _softmax(masked, softmax_precision)
    added = mask.added if mask.added is None or is_var(mask.added) else const(_narrowed(mask.added, raw), like=raw)
    biased = capped if added is None else mb.add(x=capped, y=added)
    allowed = mask.allowed if is_var(mask.allowed) else const(mask.allowed)
    lowest = float(np.finfo(float_dtype(raw)).min)  # not -inf: a row of these must not become NaN
    weights = _softmax(mb.select(cond=allowed, a=biased, b=lowest), softmax_precision)
    masked = mb.select(cond=allowed, a=biased, b=-math.inf) if shows_hidden else biased
    return raw, capped, masked, mb.select(cond=allowed, a=weights, b=0.0)


def _softmax(scores: Var, softmax_precision: int | None) -> Var:
    """Over the keys; in float32 where that is asked for, or where there are many."""
    wide = softmax_precision in _WIDE
    return cast(Softmax_13(cast(scores, "fp32") if wide else scores), dtype_name(scores))
