"""https://onnx.ai/onnx/operators, chapter nn: pools."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    Unsupported,
    Var,
    const,
    mb,
)
from converter.convert.onnx.ops.nn.convolution import Window, spatial_shape
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def MaxPool(
    X: Var,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
) -> Var:
    if any(dilation != 1 for dilation in dilations or ()):
        raise Unsupported("Core ML has no dilated pools")
    window = Window(X, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode)
    return mb.max_pool(
        x=X, kernel_sizes=kernel_shape, strides=window.strides, pad_type="custom", pad=window.pad_with_overhang
    )


@op
def AveragePool(
    X: Var,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    if any(dilation != 1 for dilation in dilations or ()):
        raise Unsupported("Core ML has no dilated pools")
    window = Window(X, kernel_shape, auto_pad, pads, strides, dilations, ceil_mode)
    pooled = mb.avg_pool(
        x=X,
        kernel_sizes=kernel_shape,
        strides=window.strides,
        pad_type="custom",
        pad=window.pad_with_overhang,
        exclude_padding_from_average=not count_include_pad,
    )
    if not count_include_pad or not any(window.overhang):
        return pooled
    return mb.mul(x=pooled, y=const(_overhang_weights(window, spatial_shape(X)), like=pooled))


def _overhang_weights(window: Window, sizes: Ints) -> np.ndarray:
    """Kernel size over the cells that count: the padding does, what ceil_mode adds beyond it does not."""
    weights = np.ones((1, 1, *[1] * len(sizes)))
    for axis, size in enumerate(sizes):
        begin, end = window.pad[2 * axis : 2 * axis + 2]
        padded, kernel = size + begin + end, window.kernel[axis]
        starts = np.arange(0, padded + window.overhang[axis] - kernel + 1, window.strides[axis])
        counted = np.minimum(starts + kernel, padded) - starts
        weights = weights * (kernel / counted).reshape([-1 if a == axis + 2 else 1 for a in range(len(sizes) + 2)])
    return weights


@op
def GlobalAveragePool(X: Var) -> Var:
    return mb.reduce_mean(x=X, axes=list(range(2, len(X.shape))), keep_dims=True)


@op
def GlobalMaxPool(X: Var) -> Var:
    return mb.reduce_max(x=X, axes=list(range(2, len(X.shape))), keep_dims=True)


@op
def GlobalLpPool(X: Var, p: int = 2) -> Var:
    axes = list(range(2, len(X.shape)))
    if p not in (1, 2):
        raise Unsupported(f"p = {p}; 1 and 2 are supported")
    return (mb.reduce_l1_norm if p == 1 else mb.reduce_l2_norm)(x=X, axes=axes, keep_dims=True)
