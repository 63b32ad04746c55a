"""Convolution and pooling at random shapes, against loops over windows as NeuralNetwork.proto tells them.

Everything is computed in float64, position by position.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

RANDOM = settings(derandomize=True, deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()
HEAVY = ["BOTTOM_RIGHT_HEAVY", "TOP_LEFT_HEAVY"]


def uniform(shape, seed, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def per_axis(draw, rank, low, high):
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


def pixels(x, pads, value=0.0):
    """x with its spatial axes padded, in float64."""
    return np.pad(np.asarray(x, np.float64), [(0, 0), (0, 0), *pads], constant_values=value)


def divided(total, mode):
    """The halves of an amount of padding; the odd one lies at the heavy end."""
    half = total // 2
    return (half, total - half) if mode == "BOTTOM_RIGHT_HEAVY" else (total - half, half)


def same_padding(size, kernel, stride, mode):
    totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=True)]
    return [divided(total, mode) for total in totals]


def convolved(x, w, stride, dilation, pads, groups):
    x = pixels(x, pads)
    size = [
        (n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), len(w), *size))
    per_group = len(w) // groups
    for o in range(len(w)):
        first = o // per_group * w.shape[1]
        for at in np.ndindex(*size):
            for tap in np.ndindex(*w.shape[2:]):
                place = tuple(a * s + t * d for a, s, t, d in zip(at, stride, tap, dilation, strict=True))
                for c in range(w.shape[1]):
                    y[(slice(None), o, *at)] += x[(slice(None), first + c, *place)] * w[(o, c, *tap)]
    return y


def deconvolved(x, w, stride, dilation, groups):
    """The full output, w being [in, out / groups, ...]."""
    size = [
        (n - 1) * s + (k - 1) * d + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    ]
    y = np.zeros((len(x), w.shape[1] * groups, *size))
    for c in range(len(w)):
        first = c // (len(w) // groups) * w.shape[1]
        for at in np.ndindex(*x.shape[2:]):
            for tap in np.ndindex(*w.shape[2:]):
                place = tuple(a * s + t * d for a, s, t, d in zip(at, stride, tap, dilation, strict=True))
                for o in range(w.shape[1]):
                    y[(slice(None), first + o, *place)] += x[(slice(None), c, *at)].astype(float) * w[(c, o, *tap)]
    return y


def cropped(y, edges):
    """Negative amounts add zeros."""
    y = np.pad(y, [(0, 0), (0, 0), *[(max(0, -a), max(0, -b)) for a, b in edges]])
    places = [slice(max(0, a), n - max(0, b)) for (a, b), n in zip(edges, y.shape[2:], strict=True)]
    return y[(slice(None), slice(None), *places)]


def amounts(pads):
    sizes = [{"startEdgeSize": start, "endEdgeSize": end} for start, end in pads]
    return {"paddingAmounts": {"borderAmounts": sizes}}


@st.composite
def convolutions(draw, rank, is_transposed=False):
    """Sizes of x and w, groups, stride, dilation, padding ("valid", "same" or amounts), bias, seed."""
    groups = draw(st.integers(1, 2))
    inputs, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, stride = per_axis(draw, rank, 1, 3), per_axis(draw, rank, 1, 3)
    dilation = per_axis(draw, rank, 1, 2)
    size = per_axis(draw, rank, 1, 5 if rank == 2 else 3)
    pads = tuple(per_axis(draw, 2, 0, 2) for _ in range(rank))
    padding = draw(st.sampled_from(["none", "same", "custom"]))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    shape = (draw(st.integers(1, 2)), inputs, *size)
    if not is_transposed and padding != "same":
        padded = [n + sum(p) * (padding == "custom") for n, p in zip(size, pads, strict=True)]
        assume(all(n >= k for n, k in zip(padded, extents, strict=True)))
    w = (inputs, outputs // groups, *kernel) if is_transposed else (outputs, inputs // groups, *kernel)
    return shape, w, outputs, groups, stride, dilation, padding, pads, draw(FLAGS), draw(SEEDS)


def fields2(w, outputs, groups, stride, dilation, padding, pads, mode):
    chosen = {"none": {}, "same": {"same": {"asymmetryMode": mode}}, "custom": {"valid": amounts(pads)}}[padding]
    sizes = {"outputChannels": outputs, "kernelChannels": w[1], "nGroups": groups, "kernelSize": w[2:]}
    return sizes | {"stride": stride, "dilationFactor": dilation} | chosen


@given(case=convolutions(2), mode=st.sampled_from(HEAVY), leading=st.integers(0, 2))
@RANDOM
def test_convolution(same, case, mode, leading):
    shape, w, outputs, groups, stride, dilation, padding, pads, has_bias, seed = case
    x, weights, bias = uniform(shape, seed), uniform(w, seed + 1), uniform(outputs, seed + 2)
    extents = [(k - 1) * d + 1 for k, d in zip(w[2:], dilation, strict=True)]
    used = {"none": [(0, 0)] * 2, "custom": pads, "same": same_padding(shape[2:], extents, stride, mode)}[padding]
    expected = convolved(x, weights, stride, dilation, used, groups)
    fields = fields2(w, outputs, groups, stride, dilation, padding, pads, mode) | {"weights": weights}
    if has_bias:
        expected, fields = expected + bias[:, None, None], fields | {"hasBias": True, "bias": bias}
    if leading == 1:
        x, expected = x[None], expected[None]
    same("convolution", [x], fields, expected)


def deconvolution_edges(full, shape, stride, padding, pads, mode):
    if padding == "none":
        return [(0, 0)] * len(full)
    if padding == "custom":
        return pads
    surplus = [n - m * s for n, m, s in zip(full, shape[2:], stride, strict=True)]
    return [divided(n, mode) if n > 0 else (0, n) for n in surplus]


@given(case=convolutions(2, True), mode=st.sampled_from(HEAVY), sized=FLAGS)
@RANDOM
def test_deconvolution(same, case, mode, sized):
    shape, w, outputs, groups, stride, dilation, padding, pads, has_bias, seed = case
    x, weights, bias = uniform(shape, seed), uniform(w, seed + 1), uniform(outputs, seed + 2)
    full = deconvolved(x, weights, stride, dilation, groups)
    edges = deconvolution_edges(full.shape[2:], shape, stride, padding, pads, mode)
    fields = fields2(w, outputs, groups, stride, dilation, padding, pads, mode)
    fields |= {"weights": weights, "isDeconvolution": True, "kernelChannels": w[0]}
    if sized:
        edges = [(1, 1) if n > 2 else (0, 0) for n in full.shape[2:]]
        fields |= {"outputShape": [n - a - b for n, (a, b) in zip(full.shape[2:], edges, strict=True)]}
    assume(all(n > a + b for n, (a, b) in zip(full.shape[2:], edges, strict=True)))
    expected = cropped(full, edges)
    if has_bias:
        expected, fields = expected + bias[:, None, None], fields | {"hasBias": True, "bias": bias}
    same("convolution", [x], fields, expected)


AXES = ("Depth", "Height", "Width")
SIDES = ("Front", "Back", "Top", "Bottom", "Left", "Right")
TYPES = {"none": "VALID", "same": "SAME", "custom": "CUSTOM"}


def fields3(kernel, stride, padding, pads):
    fields = {f"kernel{axis}": k for axis, k in zip(AXES, kernel, strict=True)}
    fields |= {f"stride{axis}": s for axis, s in zip(AXES, stride, strict=True)}
    fields |= {f"customPadding{side}": n for side, n in zip(SIDES, (n for pair in pads for n in pair), strict=True)}
    return fields | {"paddingType": TYPES[padding]}


@given(case=st.booleans().flatmap(lambda back: st.tuples(st.just(back), convolutions(3, back))))
@RANDOM
def test_convolution_in_three_dimensions(same, case):
    is_transposed, (shape, w, outputs, groups, stride, dilation, padding, pads, has_bias, seed) = case
    x, weights, bias = uniform(shape, seed), uniform(w, seed + 1), uniform(outputs, seed + 2)
    fields = fields3(w[2:], stride, padding, pads) | {"weights": weights, "isDeconvolution": is_transposed}
    fields |= {f"dilation{axis}": d for axis, d in zip(AXES, dilation, strict=True)}
    fields |= {"inputChannels": shape[1], "outputChannels": outputs, "nGroups": groups}
    if is_transposed:
        full = deconvolved(x, weights, stride, dilation, groups)
        edges = deconvolution_edges(full.shape[2:], shape, stride, padding, pads, HEAVY[0])
        assume(all(n > a + b for n, (a, b) in zip(full.shape[2:], edges, strict=True)))
        expected = cropped(full, edges)
    else:
        extents = [(k - 1) * d + 1 for k, d in zip(w[2:], dilation, strict=True)]
        used = {"none": [(0, 0)] * 3, "custom": pads, "same": same_padding(shape[2:], extents, stride, HEAVY[0])}
        expected = convolved(x, weights, stride, dilation, used[padding], groups)
    if has_bias:
        expected, fields = expected + bias[:, None, None, None], fields | {"hasBias": True, "bias": bias}
    same("convolution3d", [x], fields, expected)


def pooled(x, kind, kernel, stride, pads, counts, exclude):
    """`counts` windows on each axis; what lies past the padding holds nothing, and counts in no average."""
    sums = pixels(x, pads, -np.inf if kind == "MAX" else 0)
    ones = pixels(np.ones((1, 1, *x.shape[2:])), pads, 0 if exclude else 1)
    y = np.zeros((*x.shape[:2], *counts))
    axes = tuple(range(2, x.ndim))
    for at in np.ndindex(*counts):
        window = (
            slice(None),
            slice(None),
            *[slice(a * s, a * s + k) for a, s, k in zip(at, stride, kernel, strict=True)],
        )
        part = sums[window]
        if kind == "MAX":
            y[(..., *at)] = part.max(axes)
        elif kind == "L2":
            y[(..., *at)] = np.sqrt((part**2).sum(axes))
        else:
            y[(..., *at)] = part.sum(axes) / max(ones[window].sum(), 1e-9)
    return y


@st.composite
def poolings(draw, rank):
    """Shape, kernel, stride, padding, amounts, seed; no window is all padding."""
    kernel, stride = per_axis(draw, rank, 1, 3), per_axis(draw, rank, 1, 3)
    padding = draw(st.sampled_from(["none", "same", "custom"] + ["last"] * (rank == 2)))
    pads = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    pads = tuple((a, a) for a, _ in pads) if padding == "last" else pads
    size = tuple(draw(st.integers(1 if padding == "same" else k, k + 4)) for k in kernel)
    return (*per_axis(draw, 2, 1, 2), *size), kernel, stride, padding, pads, draw(SEEDS)


def windows(size, kernel, stride, padding, pads, mode):
    """The padding that is used and the number of windows on each axis."""
    if padding == "same":
        return same_padding(size, kernel, stride, mode), [-(-n // s) for n, s in zip(size, stride, strict=True)]
    used = [(0, 0)] * len(size) if padding == "none" else pads
    if padding != "last":
        return used, [(n + sum(p) - k) // s + 1 for n, p, k, s in zip(size, used, kernel, stride, strict=True)]
    counts = []
    for n, (p, _), k, s in zip(size, used, kernel, stride, strict=True):
        count = -(-(n + 2 * p - k) // s) + 1
        if any(a for a, _ in used) and (count - 1) * s >= n + p:
            count -= 1
        assume((count - 1) * s < n + p)  # else the last window holds no pixel, and is refused
        counts.append(count)
    return used, counts


@pytest.mark.parametrize("kind", ["MAX", "AVERAGE", "L2"])
@given(case=poolings(2), mode=st.sampled_from(HEAVY), exclude=FLAGS)
@RANDOM
def test_pooling(same, kind, case, mode, exclude):
    shape, kernel, stride, padding, pads, seed = case
    x = uniform(shape, seed, -2, 1)
    used, counts = windows(shape[2:], kernel, stride, padding, pads, mode)
    chosen = {"none": {}, "same": {"same": {"asymmetryMode": mode}}, "custom": {"valid": amounts(pads)}}
    chosen["last"] = {"includeLastPixel": {"paddingAmounts": [a for a, _ in pads]}}
    fields = {"type": kind, "kernelSize": kernel, "stride": stride, "avgPoolExcludePadding": exclude} | chosen[padding]
    same("pooling", [x], fields, pooled(x, kind, kernel, stride, used, counts, exclude))


@pytest.mark.parametrize("kind", ["MAX", "AVERAGE"])
@given(case=poolings(3), exclude=FLAGS)
@RANDOM
def test_pooling_in_three_dimensions(same, kind, case, exclude):
    shape, kernel, stride, padding, pads, seed = case
    x = uniform(shape, seed, -2, 1)
    used, counts = windows(shape[2:], kernel, stride, padding, pads, HEAVY[0])
    fields = fields3(kernel, stride, padding, pads) | {"type": kind, "countExcludePadding": exclude}
    same("pooling3d", [x], fields, pooled(x, kind, kernel, stride, used, counts, exclude))


@given(shape=st.lists(st.integers(1, 4), min_size=5, max_size=5).map(tuple), seed=SEEDS)
@RANDOM
def test_pooling_of_everything(same, shape, seed):
    x = uniform(shape, seed).astype(np.float64)
    formulas = {"MAX": np.max, "AVERAGE": np.mean, "L2": lambda v, **on: np.sqrt(np.sum(v * v, **on))}
    for kind, formula in formulas.items():
        expected = formula(x, axis=(-2, -1), keepdims=True)
        same("pooling", [x], {"globalPooling": True, "type": kind, "kernelSize": [2, 2]}, expected)
    same("globalPooling3d", [x], {}, np.max(x, axis=(2, 3, 4), keepdims=True))
    same("globalPooling3d", [x], {"type": "AVERAGE"}, np.mean(x, axis=(2, 3, 4), keepdims=True))
