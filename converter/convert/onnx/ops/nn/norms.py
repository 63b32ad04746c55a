"""Sums of powers, which leave float16's range long before their roots do."""

from collections.abc import Callable

from converter.convert.onnx.builder import Unsupported, Var, cast, dtype_name, mb


def check_stash_type(stash_type: int) -> None:
    """The precision that the standard asks for at least: FLOAT, or one below it, which is more than was asked for."""
    if stash_type not in (1, 10, 16):  # FLOAT, FLOAT16, BFLOAT16 of TensorProto.DataType
        raise Unsupported(f"stash_type = {stash_type}; Core ML computes in float32 at most")


def in_float32(compute: Callable[..., Var], x: Var) -> Var:
    """What `compute` makes of x, in float32 even where x is float16: squares and long sums leave float16's range."""
    return cast(compute(cast(x, "fp32")), dtype_name(x))


def lp_norm(x: Var, p: int, summed: Callable[[Var], Var]) -> Var:
    """The p-th root of what `summed` makes of the p-th powers."""
    if p == 1:
        return summed(mb.abs(x=x))
    if p == 2:
        return mb.sqrt(x=summed(mb.square(x=x)))
    if p < 1:
        raise Unsupported(f"p = {p} makes no norm")
    return mb.pow(x=summed(mb.pow(x=mb.abs(x=x), y=float(p))), y=1 / p)
