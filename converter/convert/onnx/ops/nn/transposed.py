"""Transposed convolution, cut and padded at will; what folds columns back to an image is one too."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    NotConstant,
    Var,
    const,
    is_const,
    is_weight,
    mb,
    prod,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.nn.windows import spatial_shape
from converter.convert.onnx.views import reshape

_COMPUTED_WEIGHTS = "iOS17"  # the first release whose conv_transpose takes them


def transposed(X: Var, W: Var, B: Var, strides: Ints, dilations: Ints, groups: int, begins: Ints, ends: Ints) -> Var:
    """The whole transposed convolution of X [N, C, ...] by W [C, outputs / groups, kernel...], cut at both ends.

    A negative number at an end adds zeros there, to which the bias is added too.
    """
    if not is_weight(W) and not target_is(_COMPUTED_WEIGHTS):
        columns = _columns(X, W, groups)
        kernel = tuple(W.shape)[2:]
        return with_bias(fold(columns, int(W.shape[1]) * groups, kernel, strides, dilations, begins, ends), B)
    way = {"strides": strides, "dilations": dilations, "groups": groups}
    bias = B if B is not None and is_const(B) else None
    if begins == ends:  # NeuralNetwork cuts both ends alike, whatever it is told
        pad = [side for begin in begins for side in (begin, begin)]
        y = mb.conv_transpose(x=X, weight=W, bias=bias, pad_type="custom", pad=pad, **way)
        return y if bias is B else with_bias(y, B)
    if min(ends) < 0:
        bias = None
    y = mb.conv_transpose(x=X, weight=W, bias=bias, pad_type="valid", **way)
    y = _cut(y, begins, ends)
    return y if bias is B else with_bias(y, B)


def fold(columns: Var, channels: int, kernel: Ints, strides: Ints, dilations: Ints, begins: Ints, ends: Ints) -> Var:
    """The sum of blocks where they overlap: columns [N, channels * cells, steps...] to [N, channels, sizes...]."""
    cells = prod(kernel)
    blocks = np.tile(np.eye(cells).reshape(cells, 1, *kernel), (channels, 1, *[1] * len(kernel)))
    return transposed(columns, const(blocks, like=columns), None, strides, dilations, channels, begins, ends)


def _columns(X: Var, W: Var, groups: int) -> Var:
    """What each input pixel gives each cell of the kernel: [N, outputs * cells, ...]."""
    if len(W.shape) > 4:
        raise NotConstant("W")
    sizes = spatial_shape(X)
    channels, outputs = shape_of(W)[:2]
    cells = prod(tuple(W.shape)[2:])
    pixels = mb.reshape(x=X, shape=(-1, groups, channels // groups, prod(sizes)))
    weights = reshape(W, (1, groups, channels // groups, outputs * cells))
    products = mb.matmul(x=weights, y=pixels, transpose_x=True)
    return mb.reshape(x=products, shape=(-1, groups * outputs * cells, *sizes))


def _cut(y: Var, begins: Ints, ends: Ints) -> Var:
    if any(begins) or any(end > 0 for end in ends):
        whole = [True, True]
        y = mb.slice_by_index(
            x=y,
            begin=[0, 0, *begins],
            end=[0, 0, *(-max(0, end) for end in ends)],
            begin_mask=[*whole, *(begin == 0 for begin in begins)],
            end_mask=[*whole, *(end <= 0 for end in ends)],
        )
    if any(end < 0 for end in ends):
        pad = [0, 0, 0, 0, *(side for end in ends for side in (0, max(0, -end)))]
        y = mb.pad(x=y, pad=pad, mode="constant", constant_val=0.0)
    return y


def with_bias(y: Var, B: Var) -> Var:
    """[N, C, ...] and a bias [C], if there is one."""
    if B is None:
        return y
    shape = (1, -1, *[1] * (len(y.shape) - 2))
    return mb.add(x=y, y=mb.const(val=B.val.reshape(shape)) if is_const(B) else mb.reshape(x=B, shape=shape))
