"""https://onnx.ai/onnx/operators, chapter quantization, and what other chapters compute with quantized numbers."""

from functools import reduce

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    ElementTypes,
    Ints,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    is_const,
    is_var,
    mb,
    narrow,
    precision,
    prod,
    shape_of,
)
from converter.convert.onnx.levels import LIMITS, along, as_float, dequantize, quantize, weight
from converter.convert.onnx.ops.math.matrix import MatMul
from converter.convert.onnx.ops.nn.convolution import Conv
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op

_NAMES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16"}  # TensorProto.DataType; others have no place in Core ML
_EXACT = 1 << 24  # float32 holds every integer up to here


@op
def QuantizeLinear(
    x: Var,
    y_scale: Operand,
    y_zero_point: Operand = None,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
    *,
    elements: ElementTypes,
) -> Var:
    """`saturate` speaks of 8-bit floats only; a `precision` of FLOAT divides in float32 in a float16 program, too."""
    if precision not in (0, 1):
        raise Unsupported(f"precision = {precision}; 0 and FLOAT are supported")
    if output_dtype and output_dtype not in _NAMES:
        raise Unsupported(f"Core ML has no place for element type {output_dtype} (TensorProto.DataType)")
    dtype = _NAMES[output_dtype] if output_dtype else "uint8" if y_zero_point is None else elements[2]
    x = cast(x, "fp32") if precision else x
    return quantize(x, y_scale, y_zero_point, dtype=dtype, axis=axis, block_size=block_size)


@op
def DequantizeLinear(
    x: Operand,
    x_scale: Operand,
    x_zero_point: Operand = None,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    *,
    elements: ElementTypes,
) -> Var:
    """A constant stays as small as it is: it becomes a constexpr. `output_dtype` is a float, of which there is one."""
    return dequantize(x, x_scale, x_zero_point, dtype=elements[0], axis=axis, block_size=block_size)


@op
def DynamicQuantizeLinear(x: Var) -> tuple[Var, Var, Var]:
    """In float32, because a step in float16 may be zero; of zeros alone the step is 1, as in onnxruntime."""
    x = cast(x, "fp32")
    axes = list(range(len(x.shape)))
    highest = mb.maximum(x=mb.reduce_max(x=x, axes=axes, keep_dims=False), y=0.0)
    lowest = mb.minimum(x=mb.reduce_min(x=x, axes=axes, keep_dims=False), y=0.0)
    span = mb.sub(x=highest, y=lowest)
    step = mb.real_div(x=span, y=255.0)
    scale = mb.select(cond=mb.equal(x=span, y=0.0), a=const(1.0), b=step)
    zero_point = mb.round(x=mb.clip(x=mb.real_div(x=mb.mul(x=lowest, y=-1.0), y=scale), alpha=0.0, beta=255.0))
    levels = mb.add(x=mb.round(x=mb.real_div(x=x, y=scale)), y=zero_point)
    y = mb.cast(x=mb.clip(x=levels, alpha=0.0, beta=255.0), dtype="int32")
    return y, cast(scale, precision.get()), mb.cast(x=zero_point, dtype="int32")


@op
def QLinearConv(
    x: Operand,
    x_scale: Operand,
    x_zero_point: Operand,
    w: Operand,
    w_scale: Operand,
    w_zero_point: Operand,
    y_scale: Operand,
    y_zero_point: Operand,
    B: Operand = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
    *,
    elements: ElementTypes,
) -> Var:
    """On the real numbers; the bias counts in steps of x_scale * w_scale."""
    bias = None if B is None else _bias(B, x_scale, w_scale)
    real = Conv(
        dequantize(x, x_scale, x_zero_point, dtype=elements[0]),
        dequantize(w, w_scale, w_zero_point, dtype=elements[3], axis=0),
        bias if bias is not None and is_const(bias) else None,
        auto_pad,
        dilations,
        group,
        kernel_shape,
        pads,
        strides,
    )
    if bias is not None and not is_const(bias):
        real = mb.add(x=real, y=reshape(bias, (-1, *[1] * (len(real.shape) - 2))))
    return quantize(real, y_scale, y_zero_point, dtype=elements[7])


def _bias(B: Operand, x_scale: Operand, w_scale: Operand) -> Var:
    """The bias in real numbers; in float32 until then, because float16 ends at 65504 steps."""
    if is_var(B) or is_var(x_scale) or is_var(w_scale):
        step = mb.mul(x=_wide(x_scale), y=_wide(w_scale))
        return cast(mb.mul(x=_wide(B), y=step), precision.get())
    steps = B.astype(np.float32) * (x_scale.astype(np.float32) * w_scale.astype(np.float32)).reshape(-1)
    return mb.const(val=narrow(steps, np.float16 if precision.get() == "fp16" else np.float32))


def _wide(x: Operand) -> Var:
    return as_float(x, "fp32") if is_var(x) else const(x.astype(np.float32))


@op
def QLinearMatMul(
    a: Operand,
    a_scale: Operand,
    a_zero_point: Operand,
    b: Operand,
    b_scale: Operand,
    b_zero_point: Operand,
    y_scale: Operand,
    y_zero_point: Operand,
    *,
    elements: ElementTypes,
) -> Var:
    """On the real numbers. A scale is one for all, one for each row of a, or one for each column of b."""
    x = dequantize(a, a_scale, a_zero_point, dtype=elements[0], axis=-2)
    y = product(x, b, b_scale, b_zero_point, elements[3])
    return quantize(y, y_scale, y_zero_point, dtype=elements[7], axis=-2)


def product(x: Var, b: Operand, scale: Operand, zero_point: Operand, dtype: str, bias: Operand = None) -> Var:
    """x @ b + bias, b in levels of the type `dtype`; one `linear` where b is a constant matrix."""
    fixed = not any(is_var(given) for given in (b, scale, zero_point) if given is not None)
    if fixed and b.ndim == 2 and len(x.shape) > 1 and scale.size in (1, b.shape[1]):
        zeros = None if zero_point is None else zero_point.reshape(-1)
        columns = weight(np.ascontiguousarray(b.T), scale.reshape(-1), zeros, axis=0)
        fused = not is_var(bias) and bias is not None and bias.shape == b.shape[1:]
        y = mb.linear(x=x, weight=columns, bias=const(bias, like=x) if fused else None)
        bias = None if fused else bias
    else:
        y = MatMul(x, dequantize(b, scale, zero_point, dtype=dtype, axis=-1))
    return y if bias is None else mb.add(x=y, y=bias if is_var(bias) else const(bias, like=y))


@op
def MatMulInteger(
    A: Operand,
    B: Operand,
    a_zero_point: Operand = None,
    b_zero_point: Operand = None,
    *,
    elements: ElementTypes,
) -> Var:
    """Exact: the products are added in float32 as far as it holds their sums, those sums in integers."""
    x = centred(A, a_zero_point, -2)
    if is_var(B) or B.ndim != 2 or is_var(b_zero_point) or len(x.shape) == 1:
        y = centred(B, b_zero_point, -1)
        depth = int(shape_of(y)[-1 if len(y.shape) == 1 else -2])
        parts = summands(np.full(depth, reach(a_zero_point, elements[0]) * reach(b_zero_point, elements[1])))
        rows, columns = len(x.shape) - 1, max(len(y.shape) - 2, 0)
        sums = [MatMul(sliced(x, rows, *part), sliced(y, columns, *part)) for part in parts]
    else:
        zeros = None if b_zero_point is None else b_zero_point.reshape(-1)
        columns_of = np.ascontiguousarray(B.T)
        size = np.abs(B.astype(np.int64) - (0 if zeros is None else zeros.astype(np.int64))).max(1)
        sums = [
            mb.linear(x=sliced(x, len(x.shape) - 1, *part), weight=whole(columns_of[:, slice(*part)], zeros))
            for part in summands(size * reach(a_zero_point, elements[0]))
        ]
    return reduce(lambda s, t: mb.add(x=s, y=t), [mb.cast(x=s, dtype="int32") for s in sums])


@op
def ConvInteger(
    x: Var,
    w: Operand,
    x_zero_point: Operand = None,
    w_zero_point: Operand = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
    *,
    elements: ElementTypes,
) -> Var:
    """Exact, as MatMulInteger is; what is padded counts as x's zero point."""
    real = centred(x, x_zero_point, 1)
    depth, taps = int(w.shape[1]), prod(tuple(int(d) for d in w.shape[2:]))
    size = np.full(depth, taps * reach(w_zero_point, elements[1]))
    if not is_var(w) and not is_var(w_zero_point):
        zeros = 0 if w_zero_point is None else along(w_zero_point, w, 0).astype(np.int64)
        size = np.abs(w.astype(np.int64) - zeros).sum(tuple(range(2, w.ndim))).max(0)
    parts = summands(size * reach(x_zero_point, elements[0]))
    if len(parts) > 1 and group > 1:
        raise Unsupported(f"the sums in its {group} groups may exceed 2 ** 24, up to which float32 is exact")

    def convolved(begin: int, end: int) -> Var:
        if is_var(w) or is_var(w_zero_point):
            kernel = sliced(centred(w, w_zero_point, 0), 1, begin, end)
        else:
            kernel = whole(w[:, begin:end], None if w_zero_point is None else w_zero_point.reshape(-1))
        return Conv(
            real if len(parts) == 1 else sliced(real, 1, begin, end),
            kernel,
            None,
            auto_pad,
            dilations,
            group,
            kernel_shape,
            pads,
            strides,
        )

    return reduce(lambda s, t: mb.add(x=s, y=t), [mb.cast(x=convolved(*part), dtype="int32") for part in parts])


def centred(levels: Operand, zero_point: Operand, axis: int) -> Var:
    """levels - zero_point in float32; what is constant is subtracted here."""
    if not is_var(levels) and not is_var(zero_point):
        zeros = 0 if zero_point is None else along(zero_point, levels, axis).astype(np.float32)
        return const(levels.astype(np.float32) - zeros)
    x = as_float(levels, "fp32") if is_var(levels) else const(levels.astype(np.float32))
    if zero_point is None or (not is_var(zero_point) and not zero_point.any()):
        return x
    zeros = along(zero_point, x, axis)
    return mb.sub(x=x, y=as_float(zeros, "fp32") if is_var(zeros) else const(zeros.astype(np.float32)))


def whole(levels: Array, zero_point: Array | None) -> Var:
    """Constant levels minus their zero point, along the first axis, as float32; as small in the file as they are."""
    return weight(np.ascontiguousarray(levels), np.ones(1, np.float32), zero_point, axis=0, real="fp32")


def reach(zero_point: Operand, dtype: str) -> int:
    """How far a level can be from its zero point."""
    lowest, highest = LIMITS[dtype]
    if is_var(zero_point):
        return highest - lowest
    zeros = np.zeros(1, np.int64) if zero_point is None else zero_point.astype(np.int64)
    return int(max(highest - zeros.min(), zeros.max() - lowest))


def summands(sizes: Array) -> list[tuple[int, int]]:
    """Ranges of the summed axis, in each of which the sizes add up to what float32 holds exactly."""
    if sizes.max() > _EXACT:
        raise Unsupported("one of its sums may exceed 2 ** 24, up to which float32 is exact")
    parts, begin, total = [], 0, 0
    for place, size in enumerate(sizes.tolist()):
        if total + size > _EXACT:
            parts.append((begin, place))
            begin, total = place, 0
        total += size
    return [*parts, (begin, len(sizes))]


def sliced(x: Var, axis: int, begin: int, end: int) -> Var:
    """The places `begin` to `end` of an axis of known size."""
    if (begin, end) == (0, x.shape[axis]):
        return x
    if is_const(x):
        return const(x.val.take(range(begin, end), axis), like=x)
    whole = [place != axis for place in range(len(x.shape))]
    first, last = ([0 if w else bound for w in whole] for bound in (begin, end))
    return mb.slice_by_index(x=x, begin=first, end=last, begin_mask=whole, end_mask=whole)
