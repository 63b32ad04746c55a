"""https://onnx.ai/onnx/operators, chapter tensor: tensors read at other places, or another part of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    Floats,
    Ints,
    NotConstant,
    Sizes,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    is_var,
    mb,
    normal_axis,
    shape_of,
    target_is,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor import interpolation
from converter.convert.onnx.ops.tensor.interpolation import Axis, Sampling
from converter.convert.onnx.ops.tensor.padding import Pad_11
from converter.convert.onnx.sizes import is_static, size_of, vector

op = ai_onnx.op

_DENSE = 1 << 22  # a matrix of more elements gives way to a sum of gathered elements
_TRIALS = (5, 8)  # sizes that stand for a flexible one: what agrees on these agrees on all


@op
def Upsample(X: Var, *, height_scale: float, mode: str = "nearest", width_scale: float) -> Var:
    return Upsample_7(X, (1.0, 1.0, height_scale, width_scale), "linear" if mode == "bilinear" else mode)


@op
def Upsample_7(X: Var, scales: Floats, mode: str = "nearest") -> Var:
    return Resize_10(X, scales, mode)


@op
def Resize_10(X: Var, scales: Floats, mode: str = "nearest") -> Var:
    """Before opset 11 there was one way: from the corner on, and the pixel that lies there."""
    return _resized(X, dict(enumerate(scales)), {}, Sampling(mode, "asymmetric", "ceil_if_smaller"))


@op
def Resize_11(
    X: Var,
    roi: Array | None = None,
    scales: Floats | None = None,
    sizes: Sizes | None = None,
    antialias: int = 0,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Var:
    """Linear along the last two axes is MIL's own where it reads the same places; all else is composed exactly."""
    if antialias and mode == "nearest":
        raise Unsupported("antialias = 1 means nothing where mode = 'nearest'")
    rank = len(X.shape)
    chosen = [normal_axis(axis, rank) for axis in axes] if axes is not None else list(range(rank))
    sampling = Sampling(
        mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside), bool(antialias)
    )
    if sizes and any(is_var(size) for size in sizes):
        if keep_aspect_ratio_policy != "stretch" or antialias:
            raise NotConstant("sizes")
        return _to_computed_size(X, dict(zip(chosen, sizes, strict=True)), sampling)
    if sizes:
        stretched = _stretched(X, dict(zip(chosen, sizes, strict=True)), keep_aspect_ratio_policy)
        return _resized(X, {}, stretched, sampling, _rois(roi, chosen, sampling), extrapolation_value)
    if not scales:
        raise NotConstant("scales", "sizes")
    rois = _rois(roi, chosen, sampling)
    return _resized(X, dict(zip(chosen, scales, strict=True)), {}, sampling, rois, extrapolation_value)


def _rois(roi: Array | None, axes: Sequence[int], sampling: Sampling) -> dict[int, tuple[float, float]]:
    """`roi` is [all begins, all ends]; only tf_crop_and_resize looks at it."""
    if sampling.coordinates != "tf_crop_and_resize":
        return {}
    if roi is None or roi.size != 2 * len(axes):
        raise Unsupported("coordinate_transformation_mode = 'tf_crop_and_resize' needs a roi for each axis")
    begins, ends = np.asarray(roi, np.float64).reshape(2, -1).tolist()
    return {axis: (begins[place], ends[place]) for place, axis in enumerate(axes)}


def _stretched(X: Var, sizes: dict[int, int], policy: str) -> dict[int, tuple[int, float | None]]:
    """Each axis' new size, and the scale that they all have where the aspect ratio is kept."""
    if policy == "stretch":
        return {axis: (size, None) for axis, size in sizes.items()}
    given = shape_of(X)
    if policy not in ("not_larger", "not_smaller"):
        raise Unsupported(f"keep_aspect_ratio_policy = {policy!r} is not known")
    scale = (min if policy == "not_larger" else max)(size / given[axis] for axis, size in sizes.items())
    return {axis: (int(scale * given[axis] + 0.5), scale) for axis in sizes}


def _resized(
    X: Var,
    scales: dict[int, float],
    sizes: dict[int, tuple[int, float | None]],
    sampling: Sampling,
    rois: dict[int, tuple[float, float]] | None = None,
    beyond: float = 0.0,
) -> Var:
    rois = rois or {}

    def read(axis: int, size: int) -> Axis:
        if axis in scales:
            found = interpolation.scaled(size, scales[axis])
        else:
            count, scale = sizes[axis]
            found = Axis(size, count, count / size if scale is None else scale)
        return Axis(found.size, found.count, found.scale, rois.get(axis, (0.0, 1.0)))

    if not is_float(X) and sampling.mode != "nearest":
        raise Unsupported("the standard does not say how interpolated integers are rounded")
    x = X if is_float(X) else cast(X, "int32")  # gathers take no bool
    is_whole = {a: sampling.coordinates != "tf_crop_and_resize" and scales.get(a) == 1.0 for a in (*scales, *sizes)}
    flexible = [a for a, kept in is_whole.items() if not kept and not is_static(x.shape[a])]
    fixed = {a: read(a, int(x.shape[a])) for a, kept in is_whole.items() if not kept and a not in flexible}
    fixed = {a: axis for a, axis in fixed.items() if not axis.is_kept}
    if any(axis.count < 1 for axis in fixed.values()):
        raise Unsupported("its result is empty, which Core ML cannot hold")
    if flexible:
        if sampling.coordinates == "tf_crop_and_resize" or not is_float(x):
            raise Unsupported("it crops a flexible dimension, or one of integers")
        return _of_any_size(x, [{a: read(a, size) for a in flexible} for size in _TRIALS], fixed, scales, sampling)
    y = (_nearest if sampling.mode == "nearest" else _interpolated)(x, fixed, sampling)
    y = _extrapolated(y, fixed, sampling, beyond) if sampling.coordinates == "tf_crop_and_resize" else y
    return cast(y, dtype_name(X))


def _nearest(x: Var, axes: dict[int, Axis], sampling: Sampling) -> Var:
    chosen = {a: interpolation.nearest(axis, sampling) for a, axis in axes.items()}
    chosen = {a: index for a, index in chosen.items() if not np.array_equal(index, np.arange(axes[a].size))}
    rank = len(x.shape)
    factors = [_factor(chosen[a], axes[a]) if a in chosen else 1 for a in (rank - 2, rank - 1)]
    if is_float(x) and rank in (3, 4) and all(factors) and set(chosen) <= {rank - 2, rank - 1} and chosen:
        return mb.upsample_nearest_neighbor(x=x, scale_factor_height=factors[0], scale_factor_width=factors[1])
    for a, index in chosen.items():
        x = mb.gather(x=x, indices=const(index), axis=a)
    return x


def _factor(index: Array, axis: Axis) -> int:
    """How often each element is repeated, 0 where not all are equally often."""
    factor = axis.count // axis.size
    return factor if np.array_equal(index, np.arange(axis.size).repeat(factor)) else 0


def _interpolated(x: Var, axes: dict[int, Axis], sampling: Sampling) -> Var:
    rank = len(x.shape)
    last = [a for a in (rank - 2, rank - 1) if a in axes and not axes[a].is_kept]
    mode = interpolation.sampling_mode([axes[a] for a in last], sampling) if last and rank in (3, 4) else None
    # A NeuralNetwork has no mode of half pixels.
    if mode and (mode != "UNALIGN_CORNERS" or target_is("iOS15")):
        height, width = (axes[a].count if a in last else int(x.shape[a]) for a in (rank - 2, rank - 1))
        if rank == 3:  # the channels are no height
            x = mb.expand_dims(x=x, axes=[2]) if rank - 2 not in last else x
            height = height if rank - 2 in last else 1
        x = mb.resize_bilinear(x=x, target_size_height=height, target_size_width=width, sampling_mode=mode)
        x = mb.squeeze(x=x, axes=[2]) if len(x.shape) > rank else x
        axes = {a: axis for a, axis in axes.items() if a not in last}
    for a, axis in axes.items():
        if not axis.is_kept:
            x = _along(x, a, axis, sampling)
    return x


def _along(x: Var, a: int, axis: Axis, sampling: Sampling) -> Var:
    """One axis interpolated: times a matrix, or where that is large a sum over its columns."""
    rank = len(x.shape)
    if axis.size * axis.count > _DENSE:
        index, weight = interpolation.taps(axis, sampling)
        shape = [-1 if at == a else 1 for at in range(rank)]
        terms = [
            mb.mul(x=mb.gather(x=x, indices=const(i), axis=a), y=const(w.reshape(shape), like=x))
            for i, w in zip(index.T, weight.T, strict=True)
        ]
        return _sum(terms)
    rows = interpolation.matrix(axis, sampling)
    if a == rank - 2:
        return mb.matmul(x=const(rows.reshape(*[1] * (rank - 2), *rows.shape), like=x), y=x)
    order = [at for at in range(rank) if at != a] + [a]
    back = [order.index(at) for at in range(rank)]
    moved = x if a == rank - 1 else mb.transpose(x=x, perm=order)
    moved = mb.expand_dims(x=moved, axes=[0]) if rank == 1 else moved
    y = mb.matmul(x=moved, y=const(rows.T, like=x))
    y = mb.squeeze(x=y, axes=[0]) if rank == 1 else y
    return y if a == rank - 1 else mb.transpose(x=y, perm=back)


def _sum(terms: list[Var]) -> Var:
    total = terms[0]
    for term in terms[1:]:
        total = mb.add(x=total, y=term)
    return total


def _extrapolated(y: Var, axes: dict[int, Axis], sampling: Sampling, value: float) -> Var:
    rank = len(y.shape)
    mask = np.zeros([1] * rank, bool)
    for a, axis in axes.items():
        line = interpolation.outside(axis, sampling.coordinates)
        if line.any():
            mask = mask | line.reshape([-1 if at == a else 1 for at in range(rank)])
    if not mask.any():
        return y
    return mb.select(cond=const(mask), a=const(value, like=y) if is_float(y) else np.int32(value), b=y)


def _of_any_size(
    x: Var, trials: list[dict[int, Axis]], others: dict[int, Axis], scales: dict[int, float], sampling: Sampling
) -> Var:
    """Flexible height and width by whole factors, or to a fixed size, where MIL's own operation reads the same."""
    rank = len(x.shape)
    spatial = (rank - 2, rank - 1)
    if rank != 4 or not {*trials[0], *others} <= set(spatial):
        raise Unsupported("it resizes flexible dimensions other than height and width")
    by_scale = all(a in scales for a in trials[0])
    factors = [scales.get(a, 1.0) for a in spatial]
    if by_scale and any(factor != int(factor) for factor in factors):
        raise Unsupported("it resizes a flexible dimension by a factor that is not whole")
    axes = [axis for trial in trials for axis in (*trial.values(), *others.values())]
    height, width = (int(factor) for factor in factors)
    repeats = sampling.mode == "nearest" and all(_factor(interpolation.nearest(axis, sampling), axis) for axis in axes)
    if repeats and by_scale:
        return mb.upsample_nearest_neighbor(x=x, scale_factor_height=height, scale_factor_width=width)
    mode = interpolation.sampling_mode(axes, sampling)
    if mode is not None and by_scale and (mode != "DEFAULT" or target_is("iOS16")):
        named = {"half_pixel_centers": mode == "UNALIGN_CORNERS"} if target_is("iOS16") else {}
        align = mode == "STRICT_ALIGN_CORNERS"
        return mb.upsample_bilinear(
            x=x, scale_factor_height=height, scale_factor_width=width, align_corners=align, **named
        )
    if mode is not None and not by_scale and (mode != "UNALIGN_CORNERS" or target_is("iOS15")):
        counts = {a: int(x.shape[a]) for a in spatial if is_static(x.shape[a])}
        counts |= {a: axis.count for a, axis in (*trials[0].items(), *others.items())}
        if len(counts) == 2:
            return mb.resize_bilinear(
                x=x, target_size_height=counts[rank - 2], target_size_width=counts[rank - 1], sampling_mode=mode
            )
    raise Unsupported("it resizes a flexible dimension in a way that Core ML has only for fixed sizes")


_COMPUTED = {"half_pixel": "UNALIGN_CORNERS", "align_corners": "STRICT_ALIGN_CORNERS", "asymmetric": "DEFAULT"}


def _to_computed_size(x: Var, sizes: dict[int, Any], sampling: Sampling) -> Var:
    """Height and width that the running model knows: those of another picture."""
    rank = len(x.shape)
    spatial = (rank - 2, rank - 1)
    kept = all(a in spatial or (not is_var(size) and size == x.shape[a]) for a, size in sizes.items())
    if rank != 4 or not kept:
        raise Unsupported("it resizes flexible dimensions other than height and width")
    if sampling.mode == "nearest" and (sampling.coordinates, sampling.nearest) == ("asymmetric", "floor"):
        for a in (a for a in spatial if a in sizes):
            count = sizes[a] if is_var(sizes[a]) else np.array([sizes[a]], np.int32)
            end = mb.squeeze(x=count, axes=[0]) if is_var(count) else sizes[a]
            steps = mb.range_1d(start=0, end=end, step=1)
            index = mb.floor_div(x=mb.mul(x=steps, y=size_of(x, a)), y=count)
            x = mb.gather(x=x, indices=index, axis=a)
        return x
    mode = _COMPUTED.get(sampling.coordinates)
    if sampling.mode != "linear" or mode is None:
        raise NotConstant("sizes")
    if not target_is("iOS17"):
        raise Unsupported("it resizes to a flexible size; from deployment target iOS17 on Core ML can")
    shape = vector([sizes.get(a, 0) for a in spatial])  # 0: as it is
    return mb.resize(x=x, shape=shape, resized_dims=np.uint32(2), interpolation_mode="LINEAR", sampling_mode=mode)


@op
def CenterCropPad(input_data: Var, shape: Ints, axes: Ints | None = None) -> Var:
    """What is odd is cropped, and padded, at the end."""
    given = shape_of(input_data)
    chosen = [normal_axis(axis, len(given)) for axis in axes] if axes is not None else list(range(len(given)))
    more = [size - given[axis] for axis, size in zip(chosen, shape, strict=True)]
    begins = [int(d / 2) for d in more]
    ends = [d - begin for d, begin in zip(more, begins, strict=True)]
    return Pad_11(input_data, (*begins, *ends), None, tuple(chosen))
