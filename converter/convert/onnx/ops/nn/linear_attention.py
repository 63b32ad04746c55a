"""https://onnx.ai/onnx/operators, chapter nn: attention as a state that every token changes."""

import math

from converter.convert.onnx.builder import Unsupported, Var, cast, dtype_name, mb, shape_of
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape, transpose

op = ai_onnx.op


@op
def LinearAttention(
    query: Var,
    key: Var,
    value: Var,
    past_state: Var = None,
    decay: Var = None,
    beta: Var = None,
    chunk_size: int = 64,
    *,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Var, Var]:
    """Token after token, seven operations each; the state is kept in float32, as the standard has it.

    The query heads that share a state stand side by side. Inputs are [batch, tokens, heads * size].
    """
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise Unsupported(f"update_rule = {update_rule!r} is not known")
    if ("gated" in update_rule) != (decay is not None) or ("delta" in update_rule) != (beta is not None):
        raise Unsupported(f"update_rule = {update_rule!r} and its inputs decay and beta do not fit")
    batch, _, width = shape_of(query)
    size = width // q_num_heads
    narrow = dtype_name(query)
    scaled = mb.mul(x=cast(query, "fp32"), y=scale or 1 / math.sqrt(size))
    groups = ((scaled, q_num_heads // kv_num_heads), (key, 1), (value, 1))
    queries, keys, values = (_by_token(x, kv_num_heads, rows) for x, rows in groups)
    gates = shares = None
    if decay is not None:  # one number for each row of the state, or for all
        gates = mb.exp(x=_by_token(decay, kv_num_heads, shape_of(decay)[2] // kv_num_heads))
    if beta is not None:
        shares = _by_token(_for_each_head(beta, kv_num_heads), kv_num_heads, 1)
    tokens = [_tokens(x, shape_of(query)[1]) for x in (queries, keys, values, gates, shares)]
    state = None
    if past_state is not None:
        state = reshape(cast(past_state, "fp32"), (1, batch * kv_num_heads, size, shape_of(past_state)[3]))
    answers = []
    for q, k, v, gate, share in zip(*tokens, strict=True):
        if state is not None:
            state = state if gate is None else mb.mul(x=state, y=gate)
            v = v if share is None else mb.sub(x=v, y=mb.matmul(x=k, y=state))
        v = v if share is None else mb.mul(x=v, y=share)
        written = mb.matmul(x=k, y=v, transpose_x=True)
        state = written if state is None else mb.add(x=state, y=written)
        answers.append(mb.matmul(x=q, y=state))
    y = mb.concat(values=answers, axis=0) if len(answers) > 1 else answers[0]
    y = transpose(reshape(y, (len(answers), batch, -1)), (1, 0, 2))
    return cast(y, narrow), cast(reshape(state, (batch, kv_num_heads, size, -1)), narrow)


def _by_token(x: Var, heads: int, rows: int) -> Var:
    """[batch, tokens, heads * rows * columns] in float32 as [tokens, batch * heads, rows, columns]."""
    batch, tokens, width = shape_of(x)
    split = transpose(reshape(cast(x, "fp32"), (batch, tokens, heads, width // heads)), (1, 0, 2, 3))
    return reshape(split, (tokens, batch * heads, rows, width // heads // rows))


def _for_each_head(x: Var, heads: int) -> Var:
    """One number for all heads becomes one for each."""
    return mb.tile(x=x, reps=[1, 1, heads]) if shape_of(x)[2] == 1 < heads else x


def _tokens(x: Var | None, count: int) -> tuple[Var | None, ...]:
    if x is None:
        return (None,) * count
    return tuple(mb.split(x=x, num_splits=count, axis=0)) if count > 1 else (x,)
