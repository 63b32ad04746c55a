"""Where each output of a Resize lies in its input, and what it takes from there: one axis at a time, in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.convert.onnx.builder import Array, Unsupported


@dataclass(frozen=True)
class Axis:
    """An axis of `size` elements that becomes one of `count`; `roi` is the part of it that is read."""

    size: int
    count: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)

    @property
    def is_kept(self) -> bool:
        return self.size == self.count and abs(self.scale - 1.0) < 1e-9 and self.roi == (0.0, 1.0)


@dataclass(frozen=True)
class Sampling:
    """What all axes share: the attributes of Resize."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False

    def is_plainly_linear(self, axes: list[Axis]) -> bool:
        """Whether the two neighbours of each place say it all."""
        return self.mode == "linear" and not (self.antialias and any(axis.scale < 1 for axis in axes))


def scaled(size: int, scale: float) -> Axis:
    """An axis by its scale; the product is rounded to float32, as the standard's own shape inference does."""
    count = int(np.floor(np.float32(size) * np.float32(scale)))
    # What stands for a ratio of integers is taken as that ratio, lest an edge between two pixels be missed by 1e-8.
    near = abs(scale * size - count) < 1e-6 * count
    return Axis(size, count, count / size if near else scale)


def places(axis: Axis, coordinates: str) -> Array:
    """The outputs' places on the input axis, in elements."""
    y = np.arange(axis.count, dtype=np.float64)
    last, width = axis.size - 1, axis.scale * axis.size
    begin, end = axis.roi
    match coordinates:
        case "half_pixel":
            return (y + 0.5) / axis.scale - 0.5
        case "half_pixel_symmetric":
            return axis.size / 2 * (1 - axis.count / width) + (y + 0.5) / axis.scale - 0.5
        case "pytorch_half_pixel":
            return (y + 0.5) / axis.scale - 0.5 if axis.count > 1 else y
        case "align_corners":
            return y * last / (width - 1) if axis.count > 1 else y
        case "asymmetric":
            return y / axis.scale
        case "tf_half_pixel_for_nn":
            return (y + 0.5) / axis.scale
        case "tf_crop_and_resize" if axis.count > 1:
            return begin * last + y * (end - begin) * last / (width - 1)
        case "tf_crop_and_resize":
            return y + 0.5 * (begin + end) * last
    raise Unsupported(f"coordinate_transformation_mode = {coordinates!r} is not known")


def nearest(axis: Axis, sampling: Sampling) -> Array:
    """The input element that each output takes."""
    x = places(axis, sampling.coordinates)
    halves = np.round(2 * x)
    x = np.where(np.abs(2 * x - halves) < 1e-6 * np.maximum(1, np.abs(x)), halves / 2, x)
    match sampling.nearest:
        case "round_prefer_floor":
            x = np.ceil(x - 0.5)
        case "round_prefer_ceil":
            x = np.floor(x + 0.5)
        case "floor":
            x = np.floor(x)
        case "ceil":
            x = np.ceil(x)
        case "ceil_if_smaller":  # before opset 11
            x = np.floor(x) if axis.scale >= 1 else np.ceil(x)
        case _:
            raise Unsupported(f"nearest_mode = {sampling.nearest!r} is not known")
    return np.clip(x, 0, axis.size - 1).astype(np.int32)


def taps(axis: Axis, sampling: Sampling) -> tuple[Array, Array]:
    """The input elements that each output is a sum of, and their weights: [count, taps] each."""
    x = places(axis, sampling.coordinates)
    low = np.floor(x)
    left = np.where(low == x, low - 1, low)[:, None]  # of an element itself the right neighbour has the whole weight
    shrink = min(axis.scale, 1.0) if sampling.antialias else 1.0
    reach = {"linear": 1, "cubic": 2}.get(sampling.mode)
    if reach is None:
        raise Unsupported(f"mode = {sampling.mode!r} is not known")
    first = int(np.floor(-reach / shrink)) + 1
    index = left + np.arange(first, 2 - first)
    distance = np.abs(index - x[:, None]) * shrink
    weight = np.clip(1 - distance, 0, 1) if reach == 1 else _cubic(distance, sampling.cubic_a)
    if shrink < 1:
        weight = weight / weight.sum(1, keepdims=True)
    if sampling.exclude_outside:
        weight = np.where((index < 0) | (index >= axis.size), 0.0, weight)
        total = weight.sum(1, keepdims=True)
        weight = weight / np.where(total == 0, 1.0, total)
    return np.clip(index, 0, axis.size - 1).astype(np.int32), weight


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel, https://doi.org/10.1109/TASSP.1981.1163711."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def matrix(axis: Axis, sampling: Sampling) -> Array:
    """[count, size]: the outputs are this times the inputs."""
    index, weight = taps(axis, sampling)
    dense = np.zeros((axis.count, axis.size))
    np.add.at(dense, (np.arange(axis.count)[:, None], index), weight)
    return dense


def outside(axis: Axis, coordinates: str) -> Array:
    """Which outputs of tf_crop_and_resize lie beyond the input, and take extrapolation_value."""
    x = places(axis, coordinates)
    return (x < 0) | (x > axis.size - 1)


_GRIDS: dict[str, Callable[[Array, int, int], Array]] = {
    "UNALIGN_CORNERS": lambda y, size, count: (y + 0.5) * size / count - 0.5,
    "STRICT_ALIGN_CORNERS": lambda y, size, count: y * (size - 1) / max(count - 1, 1),
    "DEFAULT": lambda y, size, count: y * size / count,
}


def sampling_mode(axes: list[Axis], sampling: Sampling) -> str | None:
    """The mode in which MIL's resize_bilinear reads these axes just so, if there is one."""
    if not sampling.is_plainly_linear(axes):
        return None
    agreed = (m for m, grid in _GRIDS.items() if all(_agree(axis, sampling.coordinates, grid) for axis in axes))
    return next(agreed, None)


def _agree(axis: Axis, coordinates: str, grid: Callable[[Array, int, int], Array]) -> bool:
    """Both kept inside the input, as linear interpolation does with what lies beyond."""
    own = np.clip(places(axis, coordinates), 0, axis.size - 1)
    mils = np.clip(grid(np.arange(axis.count, dtype=np.float64), axis.size, axis.count), 0, axis.size - 1)
    return bool(np.allclose(own, mils, rtol=0, atol=1e-6))
