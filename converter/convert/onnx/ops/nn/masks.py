"""Which keys a query of Attention sees: what is known at conversion in numpy, the rest in the model."""

from dataclasses import dataclass

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    float_dtype,
    is_bool,
    is_var,
    mb,
    shape_of,
)

FAR = 3e4  # hides in float16 as -inf does, and leaves room for the score beside it


@dataclass
class Mask:
    """`allowed` pairs see each other (None: all do); `added` goes on their scores. Each is broadcast to the scores."""

    allowed: Operand = None
    added: Operand = None

    def require(self, allowed: Operand) -> None:
        """Allow only what is allowed here too."""
        if self.allowed is None:
            self.allowed = allowed
        elif not is_var(self.allowed) and not is_var(allowed):
            self.allowed = self.allowed & allowed
        else:
            both = (x if is_var(x) else const(x) for x in (self.allowed, allowed))
            self.allowed = mb.logical_and(**dict(zip("xy", both, strict=True)))

    @property
    def is_fixed(self) -> bool:
        """Known at conversion, and with a key for every query."""
        return not is_var(self.allowed) and not is_var(self.added) and not self.has_blind_queries

    @property
    def has_blind_queries(self) -> bool:
        return self.allowed is not None and not is_var(self.allowed) and not bool(self.allowed.any(-1).all())

    def fixed(self) -> Array | None:
        """What is added to the scores, with -inf where nothing is seen; None where there is nothing to add."""
        if self.allowed is None:
            return self.added
        return np.where(self.allowed, 0 if self.added is None else self.added, np.float32(-np.inf)).astype(np.float32)


def given(attn_mask: Operand, keys: int) -> Mask:
    """The standard's attn_mask: True or a number, broadcast to [batch, heads, queries, keys]; -inf and False hide.

    Where it is shorter than the keys, the rest of them are hidden.
    """
    mask = Mask()
    if attn_mask is None:
        return mask
    size = shape_of(attn_mask, "the shape of attn_mask")[-1]
    if size == 1 != keys:
        raise Unsupported(
            "its attn_mask has one column for many keys, which is a broadcast to some and a padding to others"
        )
    if size < keys:
        mask.require(np.arange(keys) < size)
    if not is_var(attn_mask):
        padded = np.pad(attn_mask, [(0, 0)] * (attn_mask.ndim - 1) + [(0, keys - size)])
        if padded.dtype == bool:
            mask.require(padded)
        else:
            hidden = np.isneginf(padded.astype(np.float32))
            if hidden.any():
                mask.require(~hidden)
            mask.added = np.where(hidden, np.float32(0), padded.astype(np.float32))
        return mask
    padded = _padded(attn_mask, keys - size) if size < keys else attn_mask
    if is_bool(padded):
        mask.require(padded)
        return mask
    lowest = float(np.finfo(float_dtype(padded)).min)
    mask.require(mb.greater_equal(x=padded, y=lowest))
    mask.added = mb.clip(x=padded, alpha=-FAR, beta=FAR) if dtype_name(padded) == "fp16" else padded
    return mask


def _padded(x: Var, count: int) -> Var:
    wide = cast(x, "fp32") if is_bool(x) else x
    pad = [0] * (2 * len(x.shape) - 1) + [count]
    return cast(mb.pad(x=wide, pad=pad, mode="constant", constant_val=0.0), dtype_name(x))


def seen(
    mask: Mask,
    *,
    queries: int,
    keys: int,
    past: int,
    nonpad_kv_seqlen: Operand,
    is_causal: int,
    left_window_size: int,
    right_window_size: int,
) -> None:
    """Narrow the mask by causality, windows and padding. Query i stands at place i + offset among the keys.

    The offset is the number of past keys, or, where a cache is given as a whole, that of its keys less the queries'.
    """
    if min(left_window_size, right_window_size) < -1:
        raise Unsupported("a window of negative size")
    ahead = np.arange(keys) - np.arange(queries)[:, None]  # how far a key stands before its query, less the offset
    if nonpad_kv_seqlen is None:
        lowest = past - left_window_size if left_window_size >= 0 else None
        highest = past + min((x for x in (0 if is_causal else -1, right_window_size) if x >= 0), default=keys)
        if lowest is not None:
            mask.require(ahead >= lowest)
        if is_causal or right_window_size >= 0:
            mask.require(ahead <= highest)
        return
    if not is_var(nonpad_kv_seqlen):
        count = nonpad_kv_seqlen.reshape(-1, 1, 1, 1)
        mask.require(np.arange(keys) < count)
        bounds = count - queries
        if left_window_size >= 0:
            mask.require(ahead >= bounds - left_window_size)
        if right_window_size >= 0:
            mask.require(ahead <= bounds + right_window_size)
        if is_causal:
            mask.require(ahead <= bounds)
        return
    count = mb.reshape(x=nonpad_kv_seqlen, shape=(shape_of(nonpad_kv_seqlen)[0], 1, 1, 1))
    mask.require(mb.less(x=const(np.arange(keys).reshape(1, 1, 1, -1)), y=count))
    places = const((ahead + queries).reshape(1, 1, queries, keys))
    if left_window_size >= 0:
        mask.require(mb.greater_equal(x=places, y=mb.sub(x=count, y=left_window_size)))
    if right_window_size >= 0:
        mask.require(mb.less_equal(x=places, y=mb.add(x=count, y=right_window_size)))
    if is_causal:
        mask.require(mb.less_equal(x=places, y=count))
