"""https://onnx.ai/onnx/operators, chapter nn: convolutions."""

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    NotConstant,
    Unsupported,
    Var,
    is_const,
    is_weight,
    mb,
    prod,
    target_is,
)
from converter.convert.onnx.ops.nn.transposed import fold, transposed, with_bias
from converter.convert.onnx.ops.nn.windows import EXPLICIT, Window, extents, spatial_shape
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape

op = ai_onnx.op


@op
def Conv(
    X: Var,
    W: Var,
    B: Var = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    window = Window(X, _kernel(W, kernel_shape), auto_pad, pads, strides, dilations)
    if is_weight(W):
        bias = B if B is not None and is_const(B) else None
        y = mb.conv(x=X, weight=W, bias=bias, dilations=window.dilations, groups=group, **window.way())
        return y if bias is B else with_bias(y, B)
    y = _convolved(X, W, group, window)
    return y if B is None else with_bias(y, B)


def _kernel(W: Var, kernel_shape: Ints | None) -> Ints:
    if not all(isinstance(dim, int | np.integer) for dim in W.shape):
        raise Unsupported("the shape of its weights is flexible")
    kernel = tuple(W.shape)[2:]
    if kernel_shape is not None and tuple(kernel_shape) != kernel:
        raise Unsupported(f"kernel_shape is {list(kernel_shape)}, its weights say {list(kernel)}")
    return kernel


def _convolved(X: Var, W: Var, group: int, window: Window) -> Var:
    """Weights that the model computes: of one or two axes and not dilated, says Core ML, so zeros are put between."""
    if len(window.kernel) == 3:
        raise NotConstant("W")
    weights = W
    for axis, dilation in enumerate(window.dilations):
        weights = _spread(weights, 2 + axis, dilation)
    if group == 1 or target_is("iOS15"):
        return mb.conv(x=X, weight=weights, groups=group, **window.way())
    xs, ws = mb.split(x=X, num_splits=group, axis=1), mb.split(x=weights, num_splits=group, axis=0)
    parts = [mb.conv(x=x, weight=w, **window.way()) for x, w in zip(xs, ws, strict=True)]
    return mb.concat(values=parts, axis=1)


def _spread(W: Var, axis: int, dilation: int) -> Var:
    """The weights with zeros between, so that the kernel is as far as a dilated one."""
    shape = tuple(W.shape)
    size = shape[axis]
    if dilation == 1 or size == 1:
        return W
    before, after = shape[:axis], shape[axis + 1 :]
    cells = reshape(W, (prod(before), size, 1, prod(after)))
    cells = mb.pad(x=cells, pad=[0, 0, 0, 0, 0, dilation - 1, 0, 0], mode="constant", constant_val=0.0)
    cells = reshape(cells, (prod(before), size * dilation, prod(after)))
    extent = (size - 1) * dilation + 1
    cells = mb.slice_by_size(x=cells, begin=[0, 0, 0], size=[prod(before), extent, prod(after)])
    return reshape(cells, (*before, extent, *after))


@op
def ConvTranspose(
    X: Var,
    W: Var,
    B: Var = None,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    """What is cut from the whole transposed convolution at either end; output_padding cuts less, or adds zeros."""
    kernel = _kernel(W, kernel_shape)
    count = len(kernel)
    if not 1 <= count <= 3 or len(X.shape) != count + 2:
        raise Unsupported(f"its kernel has {count} axes, its input is of rank {len(X.shape)}; 1 to 3 are supported")
    strides = tuple(strides or (1,) * count)
    dilations = tuple(dilations or (1,) * count)
    more = output_padding or (0,) * count
    reach = extents(kernel, dilations)
    if output_shape is not None:
        sizes, wanted = spatial_shape(X), tuple(output_shape)[-count:]
        totals = [s * (n - 1) + m + r - w for s, n, m, r, w in zip(strides, sizes, more, reach, wanted, strict=True)]
    elif auto_pad in EXPLICIT or auto_pad == "VALID":
        given = (pads or (0,) * (2 * count)) if auto_pad in EXPLICIT else (0,) * (2 * count)
        begins = tuple(given[:count])
        ends = tuple(end - m for end, m in zip(given[count:], more, strict=True))
        return transposed(X, W, B, strides, dilations, group, begins, ends)
    else:
        totals = [m + r - s for m, r, s in zip(more, reach, strides, strict=True)]
    halves = [max(0, total) // 2 for total in totals]
    begins = tuple(
        half if auto_pad == "SAME_UPPER" else max(0, total) - half for half, total in zip(halves, totals, strict=True)
    )
    ends = tuple(total - begin - m for total, begin, m in zip(totals, begins, more, strict=True))
    return transposed(X, W, B, strides, dilations, group, begins, ends)


@op
def Col2Im(
    input: Var,
    image_shape: Ints,
    block_shape: Ints,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Var:
    count = len(block_shape)
    if count > 3:
        raise Unsupported(f"its blocks have {count} axes; Core ML ends at 3")
    strides = tuple(strides or (1,) * count)
    dilations = tuple(dilations or (1,) * count)
    pads = tuple(pads or (0,) * (2 * count))
    reach = extents(block_shape, dilations)
    padded = [n + a + b for n, a, b in zip(image_shape, pads[:count], pads[count:], strict=True)]
    steps = tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, strides, strict=True))
    whole = [(o - 1) * s + r for o, s, r in zip(steps, strides, reach, strict=True)]
    ends = tuple(w - begin - n for w, begin, n in zip(whole, pads, image_shape, strict=False))
    channels = int(input.shape[1]) // prod(block_shape)
    columns = mb.reshape(x=input, shape=(-1, input.shape[1], *steps))
    return fold(columns, channels, tuple(block_shape), strides, dilations, pads[:count], ends)


@op
def CausalConvWithState(
    input: Var, weight: Var, bias: Var = None, past_state: Var = None, activation: str = "none"
) -> tuple[Var, ...]:
    """A convolution of each channel by itself over what came before; the state is what the next call begins with.

    A kernel of one place has no state, and Core ML no empty tensor to say so: the output is missing then.
    """
    before = int(weight.shape[2]) - 1
    if before == 0:
        padded = input
    elif past_state is None:
        padded = mb.pad(x=input, pad=[0, 0, 0, 0, before, 0], mode="constant", constant_val=0.0)
    else:
        padded = mb.concat(values=[past_state, input], axis=2)
    y = Conv(padded, weight, bias, group=int(weight.shape[0]))
    if activation in ("silu", "swish"):
        y = mb.silu(x=y)
    elif activation != "none":
        raise Unsupported(f"activation = {activation!r} is not known")
    if before == 0:
        return (y,)
    state = mb.slice_by_index(
        x=padded, begin=[0, 0, -before], end=[0, 0, 0], begin_mask=[True, True, False], end_mask=[True] * 3
    )
    return y, state
