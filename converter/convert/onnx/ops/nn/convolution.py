"""https://onnx.ai/onnx/operators, chapter nn: convolutions, and the way of a window over space."""

import math

import numpy as np

from converter.convert.onnx.builder import (
    Ints,
    NotConstant,
    Unsupported,
    Var,
    mb,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx

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
    window = Window(X, shape_of(W)[2:], auto_pad, pads, strides, dilations)
    if W.val is None and len(window.kernel) == 3:
        raise NotConstant("W")
    return mb.conv(
        x=X,
        weight=W,
        bias=B,
        strides=window.strides,
        dilations=window.dilations,
        groups=group,
        pad_type="custom",
        pad=window.pad,
    )


class Window:
    """A kernel's way over the spatial axes, with ONNX's defaults filled in; `pad` is in MIL's order."""

    def __init__(
        self,
        X: Var,
        kernel: Ints,
        auto_pad: str,
        pads: Ints | None,
        strides: Ints | None,
        dilations: Ints | None,
        ceil_mode: int = 0,
    ) -> None:
        count = len(kernel)
        self.kernel = kernel
        self.strides = strides or (1,) * count
        self.dilations = dilations or (1,) * count
        self.extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, self.dilations, strict=True))
        self.pad = self._pad(X, auto_pad, pads)
        self.overhang = self._overhang(X) if ceil_mode and auto_pad in ("NOTSET", "") else (0,) * count

    def _pad(self, X: Var, auto_pad: str, pads: Ints | None) -> Ints:
        count = len(self.kernel)
        if auto_pad in ("NOTSET", ""):
            pads = pads or (0,) * (2 * count)
            return tuple(pads[axis + end * count] for axis in range(count) for end in (0, 1))
        if auto_pad == "VALID":
            return (0,) * (2 * count)
        pad: list[int] = []
        for size, extent, stride in zip(spatial_shape(X), self.extents, self.strides, strict=True):
            total = max(0, (math.ceil(size / stride) - 1) * stride + extent - size)
            less, more = total // 2, total - total // 2
            pad += [less, more] if auto_pad == "SAME_UPPER" else [more, less]
        return tuple(pad)

    def _overhang(self, X: Var) -> Ints:
        """How far the last window of ceil_mode reaches beyond the padded input, axis by axis.

        A window that would begin in the padding at the end is left out, as PyTorch and onnxruntime do.
        """
        over = []
        for axis, size in enumerate(spatial_shape(X)):
            begin, end = self.pad[2 * axis : 2 * axis + 2]
            stride, extent = self.strides[axis], self.extents[axis]
            steps = math.ceil((size + begin + end - extent) / stride)
            if steps * stride >= size + begin:
                steps -= 1
            over.append(max(0, steps * stride + extent - (size + begin + end)))
        return tuple(over)

    @property
    def pad_with_overhang(self) -> Ints:
        return tuple(p + (self.overhang[i // 2] if i % 2 else 0) for i, p in enumerate(self.pad))


def spatial_shape(X: Var) -> Ints:
    dims = tuple(X.shape)[2:]
    if not all(isinstance(dim, int | np.integer) for dim in dims):
        raise Unsupported("its padding depends on a flexible size")
    return tuple(int(dim) for dim in dims)
