"""https://onnx.ai/onnx/operators, chapter nn: convolutions that look where the model says."""

import numpy as np

from converter.convert.onnx.builder import Array, Ints, Unsupported, Var, cast, mb, prod, shape_of, target_is
from converter.convert.onnx.ops.nn.transposed import with_bias
from converter.convert.onnx.ops.nn.windows import Window
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


@op
def DeformConv(
    X: Var,
    W: Var,
    offset: Var,
    B: Var = None,
    mask: Var = None,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    """Each cell of each window is sampled between four pixels (0 outside the input), then weighted as usual."""
    if not target_is("iOS15"):
        raise Unsupported("a NeuralNetwork has no layer that samples at computed places; an ML Program has")
    if len(X.shape) != 4:
        raise Unsupported(f"its input is of rank {len(X.shape)}, only [N, C, H, W] is supported")
    batch, channels, height, width = shape_of(X)
    outputs = int(W.shape[0])
    window = Window(X, tuple(W.shape)[2:], "NOTSET", pads, strides, dilations)
    rows, columns = window.output_sizes((height, width))
    cells = prod(window.kernel)
    images = mb.reshape(x=X, shape=(batch * offset_group, channels // offset_group, height, width))
    places = _places(offset, window.cells((height, width)), batch * offset_group)
    sampled = mb.resample(
        x=images,
        coordinates=places,
        sampling_mode="bilinear",
        padding_mode="constant",
        padding_value=0.0,
        coordinates_mode="unnormalized",
        align_corners=True,
    )
    if mask is not None:
        shape = (batch, offset_group, channels // offset_group, cells, rows * columns)
        factors = mb.reshape(x=mask, shape=(batch, offset_group, 1, cells, rows * columns))
        sampled = mb.mul(x=mb.reshape(x=sampled, shape=shape), y=factors)
    patches = mb.reshape(x=sampled, shape=(batch, group, channels // group * cells, rows * columns))
    weights = reshape(W, (1, group, outputs // group, channels // group * cells))
    y = mb.matmul(x=weights, y=patches)
    return with_bias(mb.reshape(x=y, shape=(batch, outputs, rows, columns)), B)


def _places(offset: Var, cells: list[Array], images: int) -> Var:
    """Where to sample, x before y, in pixels: [images, cells * rows, columns, 2].

    In float32: float16 tells no fractions of a pixel far from the origin.
    """
    (tall, rows), (wide, columns) = (axis.shape for axis in cells)
    grid = np.zeros((tall, wide, 2, rows, columns), np.float32)
    grid[:, :, 0] = cells[1].reshape(1, wide, 1, columns)
    grid[:, :, 1] = cells[0].reshape(tall, 1, rows, 1)
    moves = mb.reshape(x=cast(offset, "fp32"), shape=(images, tall * wide, 2, rows, columns))
    places = mb.add(x=mb.reverse(x=moves, axes=[2]), y=grid.reshape(1, tall * wide, 2, rows, columns))
    order = mb.transpose(x=places, perm=[0, 1, 3, 4, 2])
    return mb.reshape(x=order, shape=(images, tall * wide * rows, columns, 2))
