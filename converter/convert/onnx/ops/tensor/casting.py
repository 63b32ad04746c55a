"""https://onnx.ai/onnx/operators, chapter tensor: element types, and what only some of them hold."""

from converter.convert.onnx.builder import (
    ElementTypes,
    Unsupported,
    Var,
    cast,
    dtype_name,
    is_bool,
    mb,
    precision,
    target_is,
)
from converter.convert.onnx.integers import bits_of, is_signed, wrapped
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def Cast(input: Var, *, round_mode: str = "up", saturate: int = 1, to: int) -> Var:
    """Core ML has one float and one integer type beside bool; round_mode and saturate speak of 8-bit floats only.

    A number that does not fit a narrower integer wraps around, as the standard has it.
    """
    numbers = cast(input, kind_of(to))
    return numbers if is_bool(input) else wrapped(numbers, dtype_name_of(to))


def dtype_name_of(elem_type: int) -> str:
    """The name of an ONNX integer type (TensorProto.DataType), '' for what is none."""
    return _INTEGERS.get(elem_type, "")


_INTEGERS = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 12: "uint32", 13: "uint64"}
_FLOATS = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16
_BOOL = 9


def kind_of(elem_type: int) -> str:
    """The MIL type of an ONNX element type (TensorProto.DataType) in the precision at hand."""
    if elem_type in _FLOATS:
        return precision.get()
    if elem_type in _INTEGERS:
        return "int32"
    if elem_type == _BOOL:
        return "bool"
    raise Unsupported(f"Core ML has no place for element type {elem_type} (TensorProto.DataType)")


@op
def CastLike(input: Var, target_type: Var, round_mode: str = "up", saturate: int = 1, *, types: ElementTypes) -> Var:
    numbers = cast(input, dtype_name(target_type))
    return numbers if is_bool(input) else wrapped(numbers, types[1])


@op
def BitCast(input: Var, *, to: int, types: ElementTypes) -> Var:
    """Between integers of one width, and from truth values: Core ML has no way to the bits of a float."""
    given, wanted = types[0], dtype_name_of(to) or ("bool" if to == _BOOL else "float")
    if given == wanted:
        return input
    if {given, wanted} <= {"bool", "uint8", "int8"}:
        return wrapped(cast(input, kind_of(to)), wanted)
    if given not in _INTEGERS.values() or wanted not in _INTEGERS.values():
        raise Unsupported("Core ML has no way to the bits of a float")
    if bits_of(wanted) > 16 and is_signed(given):
        raise Unsupported(f"a negative number as {wanted} would not fit Core ML's 32 bits")
    if bits_of(given) > 16 and not target_is("iOS15"):
        raise Unsupported("a NeuralNetwork counts in float32, which does not hold 32 bits; an ML Program does")
    return wrapped(input, wanted)


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
