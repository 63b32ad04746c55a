"""https://onnx.ai/onnx/operators, chapter nn: places of tokens as rotations."""

from converter.convert.onnx.builder import Operand, Unsupported, Var, const, is_var, mb, shape_of
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


@op
def RotaryEmbedding(
    X: Var,
    cos_cache: Operand,
    sin_cache: Operand,
    position_ids: Operand = None,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Var:
    """Pairs of numbers turned by the angle of their token; what lies behind rotary_embedding_dim stays.

    X is [batch, heads, tokens, size] or [batch, tokens, heads * size], the caches [places, half] by position_ids or
    [batch, tokens, half].
    """
    if len(X.shape) == 4:
        heads_axis, x = 1, X
    elif num_heads:
        batch, tokens, width = shape_of(X)
        heads_axis, x = 2, reshape(X, (batch, tokens, num_heads, width // num_heads))
    else:
        raise Unsupported("an input of rank 3 needs num_heads")
    size = int(x.shape[3])
    turned = rotary_embedding_dim or size
    cos, sin = (_angles(cache, position_ids, X, heads_axis) for cache in (cos_cache, sin_cache))
    parts = mb.split(x=x, split_sizes=[turned, size - turned], axis=3) if turned < size else (x,)
    y = (_turned_pairs if interleaved else _turned_halves)(parts[0], cos, sin)
    y = mb.concat(values=[y, *parts[1:]], axis=3) if turned < size else y
    return reshape(y, shape_of(X)) if len(X.shape) == 3 else y


def _angles(cache: Operand, position_ids: Operand, like: Var, heads_axis: int) -> Var:
    """Of every token, with an axis for the heads."""
    if position_ids is not None:
        if is_var(cache) or is_var(position_ids):
            table = cache if is_var(cache) else const(cache, like=like)
            places = position_ids if is_var(position_ids) else const(position_ids)
            cache = mb.gather(x=table, indices=places, axis=0)
        else:
            cache = cache[position_ids]
    if is_var(cache):
        return mb.expand_dims(x=cache, axes=[heads_axis])
    return const(cache.reshape((*cache.shape[:heads_axis], 1, *cache.shape[heads_axis:])), like=like)


def _turned_halves(x: Var, cos: Var, sin: Var) -> Var:
    real, imaginary = mb.split(x=x, num_splits=2, axis=3)
    return mb.concat(values=_turned(real, imaginary, cos, sin), axis=3)


def _turned_pairs(x: Var, cos: Var, sin: Var) -> Var:
    """Real and imaginary parts by turns."""
    pairs = reshape(x, (*shape_of(x)[:3], shape_of(x)[3] // 2, 2))
    real, imaginary = (mb.squeeze(x=part, axes=[4]) for part in mb.split(x=pairs, num_splits=2, axis=4))
    return reshape(mb.stack(values=_turned(real, imaginary, cos, sin), axis=4), shape_of(x))


def _turned(real: Var, imaginary: Var, cos: Var, sin: Var) -> tuple[Var, Var]:
    return (
        mb.sub(x=mb.mul(x=real, y=cos), y=mb.mul(x=imaginary, y=sin)),
        mb.add(x=mb.mul(x=real, y=sin), y=mb.mul(x=imaginary, y=cos)),
    )
