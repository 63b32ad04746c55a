"""Integers that stand for real numbers, `real = (level - zero_point) * scale`: to them, back, and as weights.

Core ML has int8 and uint8 tensors from iOS17 on, between `quantize` and `dequantize` alone; everywhere else a level is
an int32. So each quantize is followed by a cast, and a dequantize looks behind it: where both meet nothing of the cast
is left. Below iOS17, and for 16 bits, the same is done by arithmetic on floats.

A constant in levels is a weight, and stays as small in the file: 8 bits from iOS16 on, 4 bits and blocks from iOS18 on.
Where the target has no such thing it becomes floats.
"""

from typing import Any

import numpy as np

from converter.convert.onnx.builder import (
    FLOAT16_MAX,
    Array,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    float_dtype,
    is_const,
    is_var,
    mb,
    narrow,
    normal_axis,
    precision,
    target_is,
)

LIMITS = {
    "uint8": (0, 255),
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
    "uint4": (0, 15),
    "int4": (-8, 7),
    "uint2": (0, 3),
    "int2": (-2, 1),
}
_NATIVE = ("uint8", "int8")
_CLOSE = 2.0**-9  # of the largest weight: how far float16 may move one before floats are written instead


def quantize(
    x: Var, scale: Operand, zero_point: Operand = None, *, dtype: str, axis: int = 1, block_size: int = 0
) -> Var:
    """The levels of `x` as int32: round(x / scale) + zero_point, halves to even, held within `dtype`."""
    if dtype not in LIMITS or dtype.endswith(("2", "4")):
        raise Unsupported(f"values of type {dtype} have no place in Core ML")
    x = cast(x, "fp32") if dtype not in _NATIVE or _vanishes(scale, x) else x
    native = _native(float_dtype(x), scale, zero_point, dtype, axis, block_size)
    if native is not None:
        return mb.cast(x=mb.quantize(input=x, output_dtype=dtype, **native), dtype="int32")
    divisor = along(scale, x, axis, block_size)
    levels = mb.round(x=mb.real_div(x=x, y=_float(divisor, x)))
    if not _is_zero(zero_point):
        levels = mb.add(x=levels, y=_float(along(zero_point, x, axis, block_size), x))
    lowest, highest = LIMITS[dtype]
    return mb.cast(x=mb.clip(x=levels, alpha=float(lowest), beta=float(highest)), dtype="int32")


def dequantize(
    levels: Operand, scale: Operand, zero_point: Operand = None, *, dtype: str, axis: int = 1, block_size: int = 0
) -> Var:
    """The real numbers, in the precision at hand, that levels of the type `dtype` stand for."""
    if not is_var(levels):
        if not is_var(scale) and not is_var(zero_point):
            return weight(levels, scale, zero_point, axis=axis, block_size=block_size)
        levels = const(levels.astype(np.int32))
    scale = _wider(scale)
    wide = dtype not in _NATIVE or precision.get() == "fp32" or _vanishes(scale, None) or _is_wide(scale)
    stored = _behind_cast(levels)
    if stored is not None and dtype_name(stored) == dtype:
        native = _native(np.float32 if wide else np.float16, scale, zero_point, dtype, axis, block_size)
        if native is not None:
            return cast(mb.dequantize(input=stored, **native), precision.get())
    x = as_float(levels, "fp32" if wide else "fp16")
    if not _is_zero(zero_point):
        x = mb.sub(x=x, y=_float(along(zero_point, x, axis, block_size), x))
    return cast(mb.mul(x=x, y=_float(along(scale, x, axis, block_size), x)), precision.get())


def as_float(levels: Var, dtype: str) -> Var:
    """Levels as floats of the same values; what rounded floats were cast from is taken as it is."""
    if is_const(levels):
        return const(levels.val.astype(np.float32), like=const(np.zeros((), np.float16)) if dtype == "fp16" else None)
    source = _behind_cast(levels)
    return source if source is not None and dtype_name(source) == dtype and _is_whole(source) else cast(levels, dtype)


def weight(
    data: Array,
    scale: Array,
    zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    bits: int = 8,
    real: str | None = None,
) -> Var:
    """A constant that is dequantized when the model is loaded, or floats where the target cannot say it.

    Bytes that hold levels of 2 or 4 `bits` are stored in 4. It is of the type `real`, `fp16` or `fp32`; of the
    precision at hand where that is not given.
    """
    dtype = np.float16 if (real or precision.get()) == "fp16" else np.float32
    exact = _dequantized(data, scale, zero_point, axis, block_size)
    small = _with_rank(data, scale, zero_point, axis, block_size)
    name = _stored_as(data.dtype.name, bits)
    if data.size < 2 or small is None or not name or not _keeps(exact, name, small[0], dtype):
        return mb.const(val=narrow(exact, dtype))
    scales, zeros = small
    if target_is("iOS18"):
        return _blockwise(data, scales.astype(dtype), zeros, name)
    long = [a for a, size in enumerate(scales.shape) if size > 1]
    if not target_is("iOS16") or len(long) > 1 or (long and scales.shape[long[0]] != data.shape[long[0]]):
        return mb.const(val=narrow(exact, dtype))
    # iOS16 and iOS17 keep 8 bits, with one scale or one for each place along an axis.
    byte = np.dtype(name.replace("int4", "int8"))
    if not _fits(zeros, byte.name):
        return mb.const(val=narrow(exact, dtype))
    shape = (-1,) if long else ()
    return mb.constexpr_affine_dequantize(
        quantized_data=data.astype(byte),
        scale=scales.reshape(shape).astype(dtype)[()],
        zero_point=zeros.reshape(shape).astype(byte)[()],
        axis=np.int32(long[0] if long else 0),
    )


def _stored_as(name: str, bits: int) -> str:
    """The type that a weight is stored in, or '' where there is none."""
    name = {"uint2": "uint4", "int2": "int4"}.get(name, name)
    if bits < 8:
        return name.replace("int8", "int4")
    return name if name in ("int8", "uint8", "int4", "uint4") else ""


def _blockwise(data: Array, scales: Array, zeros: Array, name: str) -> Var:
    """From iOS18 on; the zero points are of the weights' type, or floats where they are not whole."""
    from coremltools.converters.mil.mil import types

    # numpy has no type of 4 bits; coremltools marks a byte.
    stored = {"int4": types.np_int4_dtype, "uint4": types.np_uint4_dtype}.get(name) or np.dtype(name)
    offset = {"offset": zeros.astype(stored if _fits(zeros, name) else scales.dtype)} if zeros.any() else {}
    return mb.constexpr_blockwise_shift_scale(data=data.astype(stored), scale=scales, **offset)


def _fits(zeros: Array, name: str) -> bool:
    lowest, highest = LIMITS[name]
    return _whole(zeros) and lowest <= float(zeros.min()) and float(zeros.max()) <= highest


def along(parameter: Operand, x: Var, axis: int, block_size: int = 0) -> Operand:
    """A scale or zero point as it broadcasts with `x`: one for all, for each place of `axis`, or for each block."""
    rank = len(x.shape)
    if len(parameter.shape) == 0 or (len(parameter.shape) == 1 and int(parameter.shape[0]) == 1):
        return parameter if is_var(parameter) else parameter.reshape(())
    axis = normal_axis(axis, rank)
    if block_size:
        blocks = np.arange(int(x.shape[axis]), dtype=np.int32) // block_size
        return mb.gather(x=parameter, indices=blocks, axis=axis) if is_var(parameter) else parameter.take(blocks, axis)
    if len(parameter.shape) > 1:
        return parameter
    shape = [-1 if place == axis else 1 for place in range(rank)]
    return mb.reshape(x=parameter, shape=shape) if is_var(parameter) else parameter.reshape(shape)


def _float(parameter: Operand, like: Var) -> Var:
    if not is_var(parameter):
        return const(parameter.astype(np.float32), like=like)
    return (
        as_float(parameter, dtype_name(like)) if dtype_name(parameter) == "int32" else cast(parameter, dtype_name(like))
    )


def _wider(scale: Operand) -> Operand:
    """A computed scale before it was rounded to float16, where it was."""
    source = _behind_cast(scale) if is_var(scale) else None
    return source if source is not None and dtype_name(source) == "fp32" else scale


def _is_wide(scale: Operand) -> bool:
    return is_var(scale) and dtype_name(scale) == "fp32"


def _is_zero(zero_point: Operand) -> bool:
    return zero_point is None or (not is_var(zero_point) and not zero_point.any())


def _vanishes(scale: Operand, x: Var) -> bool:
    """Whether float16 has no room for a scale; `x` is what it divides, None where it multiplies."""
    if is_var(scale) or (dtype_name(x) if x is not None else precision.get()) == "fp32":
        return False
    limits = np.finfo(np.float16)
    return bool(((scale < limits.smallest_normal) | (scale > limits.max)).any())


def _native(
    dtype_of_real: Any, scale: Operand, zero_point: Operand, dtype: str, axis: int, block_size: int
) -> dict[str, Any] | None:
    """The parameters of Core ML's own quantize and dequantize, where it can say so much."""
    if dtype not in _NATIVE or block_size or is_var(scale) or is_var(zero_point) or not target_is("iOS17"):
        return None
    if scale.ndim > 1 or not (scale > 0).all():
        return None
    zeros = np.zeros((), dtype) if zero_point is None else zero_point.astype(dtype)
    if scale.size == 1 and zeros.size == 1:
        given = {"scale": scale.reshape(()).astype(dtype_of_real)[()]}
        return given | ({"zero_point": zeros.reshape(())[()]} if zeros.any() else {})
    scales, zeros = np.broadcast_arrays(scale.astype(dtype_of_real), zeros)
    return {"scale": scales.copy(), "zero_point": zeros.copy(), "axis": np.int32(axis)}


def _behind_cast(levels: Var) -> Var | None:
    return levels.op.x if levels.op is not None and levels.op.op_type == "cast" else None


def _is_whole(x: Var) -> bool:
    """Whether floats are sure to be integers, by the operation that made them."""
    if x.op is None:
        return False
    given = {name: value.val for name, value in x.op.inputs.items() if value is not None and is_const(value)}
    match x.op.op_type:
        case "round" | "floor":
            return True
        case "add":
            return _whole(given.get("y")) and _is_whole(x.op.x)
        case "clip":
            return _whole(given.get("alpha")) and _whole(given.get("beta")) and _is_whole(x.op.x)
    return False


def _whole(value: Any) -> bool:
    return value is not None and bool(np.equal(value, np.round(value)).all())


def _dequantized(data: Array, scale: Array, zero_point: Array | None, axis: int, block_size: int) -> Array:
    """As the standard has it: the difference in integers, the product in float32."""
    wide: Any = np.int64 if data.dtype.name.startswith(("int", "uint")) else np.float32
    levels = data.astype(wide)
    if zero_point is not None:
        zeros = along(zero_point, data, axis, block_size)
        levels = levels - zeros.astype(np.float32 if zeros.dtype.kind == "f" else wide)
    real: Array = levels.astype(np.float32) * along(scale, data, axis, block_size).astype(np.float32)
    return real


def _with_rank(
    data: Array, scale: Array, zero_point: Array | None, axis: int, block_size: int
) -> tuple[Array, Array] | None:
    """Scales and zero points of the data's rank, or None where its blocks are not all of one size."""
    axis = normal_axis(axis, data.ndim)
    if block_size and (data.shape[axis] % block_size or data.shape[axis] // block_size != scale.shape[axis]):
        return None

    def ranked(parameter: Array) -> Array:
        if parameter.size == 1:
            return parameter.reshape([1] * data.ndim)
        return (
            parameter.reshape([-1 if a == axis else 1 for a in range(data.ndim)]) if parameter.ndim == 1 else parameter
        )

    scales = ranked(scale.astype(np.float32))
    zeros = np.zeros_like(scales) if zero_point is None else ranked(zero_point.astype(np.float32))
    scales, zeros = np.broadcast_arrays(scales, zeros)
    return scales, zeros


def _keeps(exact: Array, name: str, scales: Array, dtype: Any) -> bool:
    """Whether scales in this precision still give the weights."""
    if dtype is np.float32:
        return True
    largest = float(np.abs(exact).max())
    with np.errstate(over="ignore"):
        error = float(np.abs(scales.astype(np.float16).astype(np.float32) - scales).max())
    lowest, highest = LIMITS[name]
    return largest < FLOAT16_MAX and error * (highest - lowest) <= _CLOSE * largest
