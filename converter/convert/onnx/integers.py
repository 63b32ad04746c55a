"""Integers narrower than Core ML's 32 bits: what leaves their range wraps around, as in numpy and onnxruntime."""

from converter.convert.onnx.builder import Var, mb

# The lowest value and the number of values.
_NARROW = {"uint8": (0, 1 << 8), "int8": (-(1 << 7), 1 << 8), "uint16": (0, 1 << 16), "int16": (-(1 << 15), 1 << 16)}
_BITS = {"8": 8, "16": 16, "32": 32, "64": 64}


def wrapped(x: Var, element_type: str) -> Var:
    """An int32 as the element type of ONNX's name holds it; types of 32 bits and more, and floats, stay as they are."""
    if element_type not in _NARROW:
        return x
    lowest, count = _NARROW[element_type]
    return mb.add(x=mb.mod(x=mb.sub(x=x, y=lowest), y=count), y=lowest) if lowest else mb.mod(x=x, y=count)


def is_signed(element_type: str) -> bool:
    return element_type.startswith("int")


def bits_of(element_type: str) -> int:
    return _BITS[element_type.lstrip("uint")]
