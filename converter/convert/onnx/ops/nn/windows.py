"""The way of a window over the spatial axes of [N, C, D1, ...], as convolutions and pools share it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.convert.onnx.builder import Array, Ints, Unsupported, Var

EXPLICIT = ("NOTSET", "")


class Window:
    """A kernel's way over the spatial axes, with ONNX's defaults filled in; `pad` is in MIL's order.

    Where a size is flexible, MIL itself pads for SAME_UPPER and SAME_LOWER: then `pad` is None.
    """

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
        if len(X.shape) - 2 != count:
            raise Unsupported(f"its kernel has {count} axes, its input {len(X.shape) - 2} of space")
        if count > 3:
            raise Unsupported(f"its window has {count} axes; Core ML ends at 3")
        self.kernel = kernel
        self.strides = tuple(strides or (1,) * count)
        self.dilations = tuple(dilations or (1,) * count)
        self.extents = extents(kernel, self.dilations)
        self.auto_pad = auto_pad
        self.is_flexible = not is_static(X)
        self.pad = None if self.is_flexible and auto_pad.startswith("SAME") else self._pad(X, auto_pad, pads)
        self.ceil = bool(ceil_mode) and auto_pad in EXPLICIT
        self.overhang = self._overhang(X) if self.ceil and not self.is_flexible else (0,) * count

    def _pad(self, X: Var, auto_pad: str, pads: Ints | None) -> Ints:
        count = len(self.kernel)
        if auto_pad in EXPLICIT:
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
            begin, end = self.known_pad[2 * axis : 2 * axis + 2]
            stride, extent = self.strides[axis], self.extents[axis]
            steps = math.ceil((size + begin + end - extent) / stride)
            if steps * stride >= size + begin:
                steps -= 1
            over.append(max(0, steps * stride + extent - (size + begin + end)))
        return tuple(over)

    @property
    def known_pad(self) -> Ints:
        if self.pad is None:
            raise Unsupported("its padding depends on a flexible size")
        return self.pad

    @property
    def pad_with_overhang(self) -> Ints:
        return tuple(p + (self.overhang[i // 2] if i % 2 else 0) for i, p in enumerate(self.known_pad))

    @property
    def is_dilated(self) -> bool:
        return any(d != 1 and k != 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def way(self) -> dict[str, Any]:
        """MIL's parameters of a convolution's way."""
        if self.pad is None:
            return {"strides": self.strides, "pad_type": "same" if self.auto_pad == "SAME_UPPER" else "same_lower"}
        return {"strides": self.strides, "pad_type": "custom", "pad": self.pad_with_overhang}

    def way_of_pool(self) -> dict[str, Any]:
        """MIL's parameters of a pool's way: over a flexible size MIL itself counts the windows of ceil_mode."""
        way = {"kernel_sizes": self.kernel, **self.way()}
        if not (self.ceil and self.is_flexible):
            return way
        pad = self.known_pad
        symmetric = pad[::2] == pad[1::2] and len(self.kernel) < 3
        # Without padding MIL keeps a window that begins beyond the end, which the standard leaves out.
        if not symmetric or (not any(pad) and any(s > k for s, k in zip(self.strides, self.kernel, strict=True))):
            raise Unsupported("ceil_mode over a flexible size, with this padding, these strides or three axes")
        return {**way, "ceil_mode": True}

    def output_sizes(self, sizes: Ints) -> Ints:
        pad = self.pad_with_overhang
        return tuple(
            (size + pad[2 * axis] + pad[2 * axis + 1] - self.extents[axis]) // self.strides[axis] + 1
            for axis, size in enumerate(sizes)
        )

    def cells(self, sizes: Ints) -> list[Array]:
        """Axis by axis [kernel, outputs]: where each window's cells lie; what is below 0 or past the end is padding."""
        return [
            np.arange(kernel)[:, None] * dilation + np.arange(count)[None] * stride - begin
            for kernel, dilation, count, stride, begin in zip(
                self.kernel,
                self.dilations,
                self.output_sizes(sizes),
                self.strides,
                self.pad_with_overhang[::2],
                strict=True,
            )
        ]

    def cells_inside(self, sizes: Ints) -> list[Array]:
        """`cells`, one in the padding moved to the next of its window in the input, so that a maximum stays the same.

        The order of a window's cells stays too, so that the first of several maxima is the same as without padding.
        """
        moved = []
        for size, places in zip(sizes, self.cells(sizes), strict=True):
            inside = (places >= 0) & (places < size)
            if not inside.any(axis=0).all():
                raise Unsupported("one of its windows holds nothing but padding")
            first, last = inside.argmax(axis=0), len(inside) - 1 - inside[::-1].argmax(axis=0)
            chosen = np.clip(np.arange(len(inside))[:, None], first, last)
            moved.append(np.take_along_axis(places, chosen, axis=0))
        return moved

    def counted(self, sizes: Ints, *, padding: bool) -> Array:
        """[1, 1, outputs...]: how many cells of each window lie in the input (or in its padding, if that counts)."""
        counts = np.ones((1, 1, *[1] * len(sizes)))
        for axis, (size, places) in enumerate(zip(sizes, self.cells(sizes), strict=True)):
            begin, end = self.known_pad[2 * axis : 2 * axis + 2] if padding else (0, 0)
            number = ((places >= -begin) & (places < size + end)).sum(axis=0)
            counts = counts * number.reshape(-1, *[1] * (len(sizes) - 1 - axis))
        return counts


def extents(kernel: Sequence[int], dilations: Sequence[int]) -> Ints:
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def is_static(X: Var) -> bool:
    return all(isinstance(dim, int | np.integer) for dim in tuple(X.shape)[2:])


def spatial_shape(X: Var) -> Ints:
    if not is_static(X):
        raise Unsupported("its padding depends on a flexible size")
    return tuple(int(dim) for dim in tuple(X.shape)[2:])
