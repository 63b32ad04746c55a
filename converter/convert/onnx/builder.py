"""coremltools' MIL Builder as the op chapters see it: loaded on first use, constants in the precision around them.

A lowering folds what is constant in numpy, where it arrives as an array: an operation over constants alone would be
computed by MIL's value inference, which is no oracle, and which the NeuralNetwork back end then names twice.

Importing this module imports neither coremltools nor torch, so that the op tables can be listed in a blink.
"""

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NewType, TypeAlias

import numpy as np

# What a parameter's type says. A Var is a value of the running model; a constant arrives as a constant Var. An Operand
# is an array where it is constant, else a Var. What the standard does not pass: an OutputCount is how many outputs the
# node has; ElementTypes are ONNX's names of its inputs' element types ('' where not known), which tell an int8 from an
# int64 where Core ML has one integer. Sizes are integers that follow from shapes: each an int, or a Var of shape [1]
# where it is flexible. Every other type (but views.Shaped) must be known at conversion, and arrives as
# that Python value.
Var: TypeAlias = Any
Array: TypeAlias = np.ndarray
Operand: TypeAlias = np.ndarray | Any
OutputCount = NewType("OutputCount", int)
ElementTypes = NewType("ElementTypes", tuple[str, ...])
Sizes: TypeAlias = tuple[Any, ...]
Ints: TypeAlias = tuple[int, ...]
Body: TypeAlias = Callable[..., list[Any]]  # an attribute that is a graph: builds it in the block at hand
Floats: TypeAlias = tuple[float, ...]

MAX_RANK = 5  # of a tensor in Core ML
FLOAT16_MAX = float(np.finfo(np.float16).max)
_FLOAT16_TINY = float(np.finfo(np.float16).smallest_subnormal)
_MASK = 1e300  # of float64; what lies beyond is its lowest or the like
_SENTINEL = 1 << 62  # exporters write "to the end" as INT64_MAX, or a little less


# The float type that the node at hand is built in, `fp16` or `fp32`; for what cannot be read off a tensor beside it.
precision: ContextVar[str] = ContextVar("precision")


class Unsupported(Exception):  # noqa: N818  it reads `raise Unsupported("...")` in a lowering
    """Why a node cannot be lowered; `lower` collects these and adds the node."""


class NotConstant(Unsupported):
    """Parameters that must be known at conversion, here if not everywhere."""

    def __init__(self, *parameters: str) -> None:
        names = " and ".join(map(repr, parameters))
        word = "parameter" if len(parameters) == 1 else "parameters"
        super().__init__(f"{word} {names} must be known at conversion, but is computed by the model")
        self.parameters = parameters


class _Builder:
    """`mb.op(...)` of coremltools, where plain floats take the precision of the tensors beside them."""

    def __getattr__(self, op: str) -> Any:
        from coremltools.converters.mil.mil import Builder

        build = getattr(Builder, op)

        def call(**arguments: Any) -> Any:
            return build(**_with_precision(arguments))

        setattr(self, op, call)
        return call


mb = _Builder()


def _with_precision(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, their Python floats (and lists of them) in the precision of the first float tensor."""
    loose = {name: value for name, value in arguments.items() if _is_float(value)}
    if not loose:
        return arguments
    dtype = np.float32
    for value in arguments.values():
        tensors = value if isinstance(value, list | tuple) else (value,)
        if found := next((t for t in tensors if is_var(t) and is_float(t)), None):
            dtype = float_dtype(found)
            break
    return arguments | {name: narrow(np.asarray(value), dtype) for name, value in loose.items()}


def _is_float(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(type(item) is float for item in value)
    return type(value) is float


# The MIL type that holds each ONNX element type, `float` being the program's precision. No other narrowing is allowed:
# `lower` compares every value that it builds with this.
#
# Computed integers beyond 32 bits are the one thing that this cannot see: Core ML has no wider ones, and whether a sum
# of int64 passes 2 ** 31 shows on the device alone, where it wraps. What models count in int64 are indices and sizes,
# which stay far below; refusing them would refuse every model. Constants beyond 32 bits are refused (`narrow`), and the
# command `ops` says how many values are narrowed. Narrow types are taken as integers that wrap where ONNX's do.
HELD_AS = {
    **dict.fromkeys(("float16", "float32", "float64", "bfloat16"), "float"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "int32"),
    "bool": "bool",
}


def mil_dtype(dtype: str, precision: str) -> str:
    """The MIL type that holds an ONNX element type: one float, one integer, bool; Unsupported for any other."""
    if dtype in HELD_AS:
        return HELD_AS[dtype].replace("float", precision)
    raise Unsupported(f"values of type {dtype} have no place in Core ML")


def is_var(value: Any) -> bool:
    return hasattr(value, "sym_type")


def dtype_name(x: Var) -> str:
    """`fp16`, `fp32`, `int32` or `bool`: the element type as MIL writes it."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(x.dtype))


def is_float(x: Var) -> bool:
    return dtype_name(x) in ("fp16", "fp32")


def is_bool(x: Var) -> bool:
    return dtype_name(x) == "bool"


def float_dtype(x: Var) -> type[np.floating[Any]]:
    return np.float16 if dtype_name(x) == "fp16" else np.float32


def shape_of(x: Var, what: str = "its input's shape") -> Ints:
    """The static shape, or Unsupported where it is flexible."""
    shape = tuple(x.shape)
    if not all(isinstance(dim, int | np.integer) for dim in shape):
        raise Unsupported(f"{what} must be known at conversion")
    return tuple(int(dim) for dim in shape)


def normal_axis(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def const(value: Any, like: Var | None = None) -> Var:
    """A constant of the program; floats take `like`'s precision, float32 without it."""
    dtype = float_dtype(like) if like is not None and is_float(like) else np.float32
    return mb.const(val=narrow(np.asarray(value), dtype))


_NUMPY = {"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}


def cast(x: Var, dtype: str) -> Var:
    """`x` as `fp16`, `fp32`, `int32` or `bool`; nothing is emitted where it already is."""
    if dtype_name(x) == dtype:
        return x
    return mb.const(val=x.val.astype(_NUMPY[dtype])) if is_const(x) else mb.cast(x=x, dtype=dtype)


def narrow(value: Array, float_dtype: type[np.floating[Any]]) -> Array:
    """The value in a type that Core ML has: floats as `float_dtype`, integers as int32.

    In float16, infinities and the like of float32's lowest (attention masks) saturate, and what is not zero stays so.
    Float64's own lowest saturates in both. Of integers beyond int32 those that mean "to the end" saturate. Other
    numbers beyond 32 bits raise Unsupported. What has rank 0 comes back as numpy's scalar, because the NeuralNetwork
    back end refuses an array of rank 0.
    """
    return _narrowed(value, float_dtype)[()]


def _narrowed(value: Array, float_dtype: type[np.floating[Any]]) -> Array:
    if value.dtype == bool:
        return value
    if value.dtype.kind in "iu":
        return _narrow_int(value)
    if value.dtype.kind not in "fV" or "int" in value.dtype.name:  # ml_dtypes' bfloat16, float8 and int4 are of kind V
        raise Unsupported(f"constants of type {value.dtype} have no place in Core ML")
    wide = _single(value) if value.dtype == np.float64 else value.astype(np.float32, copy=False)
    if float_dtype is np.float32:
        return wide
    half: Array = (wide if _fits_float16(wide) else np.clip(wide, -FLOAT16_MAX, FLOAT16_MAX)).astype(np.float16)
    if wide.size == 1 and wide.any() and not half.any():  # a lone epsilon keeps a division from zero
        half = np.copysign(np.full_like(half, _FLOAT16_TINY), wide).astype(np.float16)
    return half


def _single(value: Array) -> Array:
    """float64 as float32."""
    limit = float(np.finfo(np.float32).max)
    beyond = value[np.isfinite(value) & (np.abs(value) > limit)]
    stray = beyond[np.abs(beyond) < _MASK]
    if stray.size:
        raise Unsupported(f"the number {stray[0]:g} does not fit Core ML's 32 bits")
    if beyond.size:
        value = np.where(np.isfinite(value), np.clip(value, -limit, limit), value)
    single: Array = value.astype(np.float32)
    if value.size == 1 and value.any() and not single.any():  # a lone epsilon keeps a division from zero
        single = np.copysign(np.full_like(single, np.finfo(np.float32).tiny), single)
    return single


def _narrow_int(value: Array) -> Array:
    limits = np.iinfo(np.int32)
    if value.size and (int(value.max()) > limits.max or int(value.min()) < limits.min):
        beyond = value[(value > limits.max) | (value < limits.min)]
        stray = [int(v) for v in beyond.reshape(-1) if abs(int(v)) < _SENTINEL]
        if stray:
            raise Unsupported(f"the integer {stray[0]} does not fit Core ML's 32 bits")
        value = np.clip(value, limits.min, limits.max)
    return value.astype(np.int32)


def needs_float32(value: Array) -> bool:
    """Whether a constant's finite numbers exceed float16 without being a mask (an infinity or float32's lowest)."""
    if value.dtype.kind != "f" or value.dtype == np.float16 or _fits_float16(value):
        return False
    size = np.abs(value)
    return bool(((size > FLOAT16_MAX) & (size < 1e38)).any())


def _fits_float16(value: Array) -> bool:
    """Whether all numbers lie within float16's range and none is NaN; without copies, as weights are large."""
    return not value.size or bool(value.max() <= FLOAT16_MAX and value.min() >= -FLOAT16_MAX)


def target_is(oldest: str) -> bool:
    """Whether the deployment target is `oldest` (`iOS17`) or newer; a NeuralNetwork's is iOS13 or iOS14."""
    import coremltools as ct
    from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with

    return bool(is_current_opset_version_compatible_with(getattr(ct.target, oldest)))


def no_epsilon() -> float:
    """The epsilon of a `log` or `rsqrt` that shall have none: a NeuralNetwork's layer takes 0 for 1e-6.

    With it a NeuralNetwork's logarithm of 0 is -103 and not -inf.
    """
    return 0.0 if target_is("iOS15") else 1e-45


def is_const(x: Var) -> bool:
    return x.op is not None and x.op.op_type == "const"


def is_weight(x: Var) -> bool:
    """Whether it is constant, as it is or compressed."""
    return x.op is not None and (x.op.op_type == "const" or x.op.op_type.startswith("constexpr_"))


def prod(dims: Sequence[int]) -> int:
    return math.prod(dims)
