"""com.microsoft: operators on quantized numbers. Each computes on the real numbers and quantizes the result."""

from functools import partial

import numpy as np

from converter.convert.onnx.builder import (
    ElementTypes,
    Ints,
    Operand,
    Unsupported,
    Var,
    const,
    is_var,
    mb,
)
from converter.convert.onnx.levels import dequantize, quantize
from converter.convert.onnx.ops.math.activation import LeakyRelu, Softmax, Softmax_13
from converter.convert.onnx.ops.microsoft.fused import to_channels_first, to_channels_last
from converter.convert.onnx.ops.nn.pooling import AveragePool, GlobalAveragePool
from converter.convert.onnx.ops.quantization import DynamicQuantizeLinear, product
from converter.convert.onnx.ops.quantization import QLinearConv as StandardQLinearConv
from converter.convert.onnx.ops.tables import com_microsoft
from converter.convert.onnx.ops.tensor.indexing import Where

op = com_microsoft.op


@op
def QuantizeLinear(
    x: Var, y_scale: Operand, y_zero_point: Operand = None, axis: int | None = None, *, elements: ElementTypes
) -> Var:
    """The standard's, before it had 16 bits."""
    dtype = "uint8" if y_zero_point is None else elements[2]
    return quantize(x, y_scale, y_zero_point, dtype=dtype, axis=1 if axis is None else axis)


@op
def DequantizeLinear(
    x: Operand, x_scale: Operand, x_zero_point: Operand = None, axis: int | None = None, *, elements: ElementTypes
) -> Var:
    return dequantize(x, x_scale, x_zero_point, dtype=elements[0], axis=1 if axis is None else axis)


@op
def QLinearAdd(
    A: Operand,
    A_scale: Operand,
    A_zero_point: Operand = None,
    *,
    B: Operand,
    B_scale: Operand,
    B_zero_point: Operand = None,
    C_scale: Operand,
    C_zero_point: Operand = None,
    elements: ElementTypes,
) -> Var:
    a = dequantize(A, A_scale, A_zero_point, dtype=elements[0])
    b = dequantize(B, B_scale, B_zero_point, dtype=elements[3])
    return quantize(mb.add(x=a, y=b), C_scale, C_zero_point, dtype=elements[0])


@op
def QLinearMul(
    A: Operand,
    A_scale: Operand,
    A_zero_point: Operand = None,
    *,
    B: Operand,
    B_scale: Operand,
    B_zero_point: Operand = None,
    C_scale: Operand,
    C_zero_point: Operand = None,
    elements: ElementTypes,
) -> Var:
    a = dequantize(A, A_scale, A_zero_point, dtype=elements[0])
    b = dequantize(B, B_scale, B_zero_point, dtype=elements[3])
    return quantize(mb.mul(x=a, y=b), C_scale, C_zero_point, dtype=elements[0])


@op
def QLinearSigmoid(
    X: Var,
    X_scale: Operand,
    X_zero_point: Operand = None,
    *,
    Y_scale: Operand,
    Y_zero_point: Operand = None,
    elements: ElementTypes,
) -> Var:
    x = dequantize(X, X_scale, X_zero_point, dtype=elements[0])
    return quantize(mb.sigmoid(x=x), Y_scale, Y_zero_point, dtype=elements[0])


@op
def QLinearLeakyRelu(
    X: Var,
    X_scale: Operand,
    X_zero_point: Operand = None,
    *,
    Y_scale: Operand,
    Y_zero_point: Operand = None,
    alpha: float = 0.009999999776482582,
    elements: ElementTypes,
) -> Var:
    x = dequantize(X, X_scale, X_zero_point, dtype=elements[0])
    return quantize(LeakyRelu(x, alpha), Y_scale, Y_zero_point, dtype=elements[0])


@op
def QLinearSoftmax(
    X: Var,
    X_scale: Operand,
    x_zero_point: Operand = None,
    *,
    y_scale: Operand,
    y_zero_point: Operand,
    axis: int = -1,
    opset: int,
    elements: ElementTypes,
) -> Var:
    """`opset` says which Softmax it was: before 13 all axes from `axis` on are taken together."""
    x = dequantize(X, X_scale, x_zero_point, dtype=elements[0])
    y = Softmax(x, axis) if opset < 13 else Softmax_13(x, axis)
    return quantize(y, y_scale, y_zero_point, dtype=elements[0])


@op
def QLinearGlobalAveragePool(
    X: Var,
    x_scale: Operand,
    x_zero_point: Operand,
    y_scale: Operand,
    y_zero_point: Operand,
    channels_last: int = 0,
    *,
    elements: ElementTypes,
) -> Var:
    x = dequantize(X, x_scale, x_zero_point, dtype=elements[0])
    y = to_channels_last(GlobalAveragePool(to_channels_first(x))) if channels_last else GlobalAveragePool(x)
    return quantize(y, y_scale, y_zero_point, dtype=elements[0])


@op
def QLinearAveragePool(
    X: Var,
    x_scale: Operand,
    x_zero_point: Operand = None,
    *,
    y_scale: Operand,
    y_zero_point: Operand = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
    elements: ElementTypes,
) -> Var:
    x = dequantize(X, x_scale, x_zero_point, dtype=elements[0])
    pooled = partial(
        AveragePool,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    y = to_channels_last(pooled(to_channels_first(x))) if channels_last else pooled(x)
    return quantize(y, y_scale, y_zero_point, dtype=elements[0])


@op
def QLinearConcat(Y_scale: Operand, Y_zero_point: Operand, *inputs: Operand, axis: int, elements: ElementTypes) -> Var:
    """The inputs are triples: levels, scale, zero point."""
    triples = [inputs[place : place + 3] for place in range(0, len(inputs), 3)]
    names = elements[2::3]
    parts = [dequantize(*triple, dtype=name) for triple, name in zip(triples, names, strict=False)]
    y = mb.concat(values=parts, axis=axis) if len(parts) > 1 else parts[0]
    return quantize(y, Y_scale, Y_zero_point, dtype=elements[1])


@op
def QLinearWhere(
    condition: Var,
    X: Operand,
    x_scale: Operand,
    x_zero_point: Operand,
    Y: Operand,
    y_scale: Operand,
    y_zero_point: Operand,
    z_scale: Operand,
    z_zero_point: Operand,
    elements: ElementTypes,
) -> Var:
    x = dequantize(X, x_scale, x_zero_point, dtype=elements[1])
    y = dequantize(Y, y_scale, y_zero_point, dtype=elements[4])
    return quantize(Where(condition, x, y), z_scale, z_zero_point, dtype=elements[1])


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
    channels_last: int = 0,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
    *,
    elements: ElementTypes,
) -> Var:
    """The standard's; with channels_last its pictures, but not its weights, are [N, H, W, C]."""
    parameters = (x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B)
    window = (auto_pad, dilations, group, kernel_shape, pads, strides)
    if not channels_last:
        return StandardQLinearConv(x, *parameters, *window, elements=elements)
    if not is_var(x):
        raise Unsupported("its picture is constant")
    return to_channels_last(StandardQLinearConv(to_channels_first(x), *parameters, *window, elements=elements))


@op
def QGemm(
    A: Operand,
    a_scale: Operand,
    a_zero_point: Operand,
    B: Operand,
    b_scale: Operand,
    b_zero_point: Operand,
    C: Operand = None,
    y_scale: Operand = None,
    y_zero_point: Operand = None,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    *,
    elements: ElementTypes,
) -> Var:
    """alpha * A' @ B' + C in steps of alpha * a_scale * b_scale; real numbers where there is no y_scale."""
    if is_var(B) or (C is not None and (is_var(C) or is_var(a_scale) or is_var(b_scale))):
        raise Unsupported("its matrix B and its bias C must be constant")
    x = dequantize(A, a_scale, a_zero_point, dtype=elements[0])
    x = mb.transpose(x=x, perm=(1, 0)) if transA else x
    y = product(x, B.T if transB else B, b_scale * np.float32(alpha), b_zero_point, elements[3])
    if C is not None:
        y = mb.add(x=y, y=const(C * (a_scale.reshape(-1) * b_scale.reshape(-1) * np.float32(alpha)), like=y))
    return y if y_scale is None else quantize(y, y_scale, y_zero_point, dtype=elements[8])


@op
def MatMulIntegerToFloat(
    A: Operand,
    B: Operand,
    a_scale: Operand,
    b_scale: Operand,
    a_zero_point: Operand = None,
    b_zero_point: Operand = None,
    bias: Operand = None,
    *,
    elements: ElementTypes,
) -> Var:
    x = dequantize(A, a_scale, a_zero_point, dtype=elements[0], axis=-2)
    return product(x, B, b_scale, b_zero_point, elements[1], bias)


@op
def DynamicQuantizeMatMul(
    A: Var, B: Operand, b_scale: Operand, b_zero_point: Operand = None, bias: Operand = None, *, elements: ElementTypes
) -> Var:
    """A is rounded to 8 bits over the range that it has at run time."""
    levels, scale, zero_point = DynamicQuantizeLinear(A)
    x = dequantize(levels, scale, zero_point, dtype="uint8")
    return product(x, B, b_scale, b_zero_point, elements[1], bias)
