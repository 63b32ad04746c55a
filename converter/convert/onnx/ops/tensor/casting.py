"""https://onnx.ai/onnx/operators, chapter tensor: element types, and what only some of them hold."""

from converter.convert.onnx.builder import (
    Unsupported,
    Var,
    cast,
    dtype_name,
    mb,
    precision,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def Cast(input: Var, *, round_mode: str = "up", saturate: int = 1, to: int) -> Var:
    """Core ML has one float and one integer type beside bool; round_mode and saturate speak of 8-bit floats only.

    An integer that does not fit a narrower type wraps around, as the standard has it.
    """
    if to not in _NARROW or dtype_name(input) != "int32":
        return cast(input, kind_of(to))
    lowest, count = _NARROW[to]
    return mb.add(x=mb.mod(x=mb.sub(x=input, y=lowest), y=count), y=lowest) if lowest else mb.mod(x=input, y=count)


# The lowest value and the number of values of UINT8, INT8, UINT16 and INT16.
_NARROW = {2: (0, 1 << 8), 3: (-(1 << 7), 1 << 8), 4: (0, 1 << 16), 5: (-(1 << 15), 1 << 16)}


def kind_of(elem_type: int) -> str:
    """The MIL type of an ONNX element type (TensorProto.DataType) in the precision at hand."""
    if elem_type in (1, 10, 11, 16):  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
        return precision.get()
    if elem_type in (2, 3, 4, 5, 6, 7, 12, 13):  # UINT8 to INT64, UINT32, UINT64
        return "int32"
    if elem_type == 9:
        return "bool"
    raise Unsupported(f"Core ML has no place for element type {elem_type} (TensorProto.DataType)")


@op
def CastLike(input: Var, target_type: Var, round_mode: str = "up", saturate: int = 1) -> Var:
    return cast(input, dtype_name(target_type))


@op
def IsInf(X: Var, detect_negative: int = 1, detect_positive: int = 1) -> Var:
    """An infinity is what doubling leaves as it is and zero is not."""
    infinite = mb.logical_and(x=mb.equal(x=mb.mul(x=X, y=2.0), y=X), y=mb.not_equal(x=X, y=0.0))
    if detect_negative and detect_positive:
        return infinite
    if not detect_negative and not detect_positive:
        return mb.logical_and(x=infinite, y=False)
    side = mb.less(x=X, y=0.0) if detect_negative else mb.greater(x=X, y=0.0)
    return mb.logical_and(x=infinite, y=side)


@op
def IsNaN(X: Var) -> Var:
    return mb.not_equal(x=X, y=X)
