"""Convolutions, pools, norms and products of random shapes, against loops and sums written from MIL's formulas."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

FORMULAS = []


def formula(function):
    FORMULAS.append(function)
    return function


def pads_of(pad_type, pad, sizes, spans, strides):
    """Begin and end for each axis; `same` as TensorFlow has it, `same_lower` with the odd one in front."""
    if pad_type == "custom":
        return [tuple(pad[2 * i : 2 * i + 2]) for i in range(len(sizes))]
    pads = []
    for size, span, stride in zip(sizes, spans, strides, strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + span - size, 0) if pad_type != "valid" else 0
        half = [total // 2, total - total // 2]
        pads.append(tuple(half[::-1] if pad_type == "same_lower" else half))
    return pads


def drawn_windows(draw, rank, pad_types):
    kernel = draw.integers(rank, 1, 3)
    pad_type = draw.one(*pad_types)
    given = {"strides": draw.integers(rank, 1, 3)} if draw.flag() else {}
    given |= {"pad": draw.integers(2 * rank, 0, 2)} if pad_type == "custom" else {}
    return kernel, {"pad_type": pad_type, **given}, given.get("strides", [1] * rank), given.get("pad")


def counts_of(sizes, spans, strides):
    counts = [(size - span) // stride + 1 for size, span, stride in zip(sizes, spans, strides, strict=True)]
    assume(all(count > 0 for count in counts))
    return counts


@formula
def conv(draw):
    rank, dtype, opset = draw.integer(1, 3), draw.one("float32", "float16"), draw.one(15, 16)
    kernel, given, strides, pad = drawn_windows(
        draw, rank, ("valid", "same", "custom") if opset == 15 else ("valid", "same", "custom", "same_lower")
    )
    dilations = draw.integers(rank, 1, 2) if draw.flag() else None
    groups = draw.one(1, 1, 2, 3)
    inner, outer = draw.integer(1, 2), draw.integer(1, 2)
    x = draw.floats((draw.integer(1, 2), groups * inner, *draw.integers(rank, 1, 6)), dtype)
    weight = draw.floats((groups * outer, inner, *kernel), dtype)
    bias = draw.floats(groups * outer, dtype)
    steps = dilations or [1] * rank
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, steps, strict=True)]
    pads = pads_of(given["pad_type"], pad, x.shape[2:], spans, strides)
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads])
    counts = counts_of(padded.shape[2:], spans, strides)
    expected = np.zeros((len(x), groups, outer, *counts))
    for offset in itertools.product(*map(range, kernel)):
        cut = tuple(
            slice(o * d, o * d + (n - 1) * s + 1, s) for o, d, n, s in zip(offset, steps, counts, strides, strict=True)
        )
        taken = padded[(slice(None), slice(None), *cut)].reshape(len(x), groups, inner, *counts)
        filters = weight[(..., *offset)].astype(np.float64).reshape(groups, outer, inner)
        expected += np.einsum("ngi...,goi->ngo...", taken, filters)
    expected = expected.reshape(len(x), -1, *counts)
    arguments = {"x": x, "weight": weight, **given, "groups": groups}
    arguments |= {"dilations": dilations} if dilations else {}
    if draw.flag():
        arguments["bias"] = bias
        expected = expected + bias.reshape(-1, *[1] * rank)
    return "conv", opset, arguments, expected


@formula
def conv_transpose(draw):
    rank, dtype = draw.integer(1, 3), draw.one("float32", "float16")
    kernel, given, strides, pad = drawn_windows(draw, rank, ("valid", "same", "custom"))
    dilations = draw.integers(rank, 1, 2)
    groups = draw.one(1, 1, 2)
    inner, outer = draw.integer(1, 2), draw.integer(1, 2)
    sizes = draw.integers(rank, 1, 4)
    x = draw.floats((draw.integer(1, 2), groups * inner, *sizes), dtype)
    weight = draw.floats((groups * inner, outer, *kernel), dtype)
    bias = draw.floats(groups * outer, dtype)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    whole = [(n - 1) * s + span for n, s, span in zip(sizes, strides, spans, strict=True)]
    if given["pad_type"] == "same":
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
        if draw.flag():  # any size that a convolution of these strides makes into the input's
            wanted = [w - draw.integer(0, s - 1) for w, s in zip(wanted, strides, strict=True)]
            given["output_shape"] = [len(x), groups * outer, *wanted]
        pads = pads_of("same", None, wanted, spans, strides)
    else:
        pads = pads_of(given["pad_type"], pad, sizes, spans, strides)
        wanted = [n - sum(p) for n, p in zip(whole, pads, strict=True)]
        assume(min(wanted) > 0)
    expected = np.zeros((len(x), groups, outer, *wanted))
    source = x.astype(np.float64).reshape(len(x), groups, inner, *sizes)
    filters = weight.astype(np.float64).reshape(groups, inner, outer, *kernel)
    for place, offset in itertools.product(
        itertools.product(*map(range, sizes)), itertools.product(*map(range, kernel))
    ):
        at = [
            i * s + o * d - begin
            for i, s, o, d, (begin, _) in zip(place, strides, offset, dilations, pads, strict=True)
        ]
        if all(0 <= a < n for a, n in zip(at, wanted, strict=True)):
            expected[(..., *at)] += np.einsum("ngi,gio->ngo", source[(..., *place)], filters[(..., *offset)])
    expected = expected.reshape(len(x), -1, *wanted) + bias.reshape(-1, *[1] * rank)
    arguments = {"x": x, "weight": weight, "bias": bias, **given, "dilations": dilations, "groups": groups}
    return "conv_transpose", 15, arguments, expected


def pooled(x, kernel, strides, pads, ceil_mode, reduce):
    """`reduce` of each window's elements, and how many places it has inside the input, and inside the pads too."""
    sizes, counts = x.shape[2:], []
    for size, k, s, (begin, end) in zip(sizes, kernel, strides, pads, strict=True):
        exact = (size + begin + end - k) / s
        count = (math.ceil(exact) if ceil_mode else math.floor(exact)) + 1
        if ceil_mode and (count - 1) * s >= size + begin and begin + end > 0:
            count -= 1
        assume(count > 0 and size + begin + end >= k)
        counts.append(count)
    result = np.zeros((*x.shape[:2], *counts))
    for place in itertools.product(*map(range, counts)):
        cut, with_pads = [], 1
        for p, s, k, (begin, end), size in zip(place, strides, kernel, pads, sizes, strict=True):
            first = p * s - begin
            cut.append(slice(max(first, 0), max(min(first + k, size), 0)))
            with_pads *= min(first + k, size + end) - first
        window = x[(slice(None), slice(None), *cut)].reshape(*x.shape[:2], -1)
        assume(window.shape[-1])  # a window of padding alone has no average and no maximum
        result[(..., *place)] = reduce(window, with_pads)
    return result


@formula
def pool(draw):
    name = draw.one("max_pool", "avg_pool", "avg_pool", "l2_pool")
    rank = draw.integer(1, 2 if name == "l2_pool" else 3)
    x = draw.floats(
        (draw.integer(1, 2), draw.integer(1, 3), *draw.integers(rank, 1, 6)), draw.one("float32", "float16")
    )
    opset = draw.one(15, 16)
    types = ("valid", "same", "custom") if opset == 15 else ("valid", "same", "custom", "same_lower")
    kernel, given, strides, pad = drawn_windows(draw, rank, types)
    ceil_mode = given["pad_type"] in ("valid", "custom") and draw.flag()
    if ceil_mode and pad:
        given["pad"] = pad = [pad[i - i % 2] for i in range(2 * rank)]
    exclude = draw.flag()
    pads = pads_of(given["pad_type"], pad, x.shape[2:], kernel, strides)
    reduce = {
        "max_pool": lambda window, count: window.max(-1),
        "avg_pool": lambda window, count: window.sum(-1) / (window.shape[-1] if exclude else count),
        "l2_pool": lambda window, count: np.sqrt(np.square(window).sum(-1)),
    }[name]
    expected = pooled(x.astype(np.float64), kernel, strides, pads, ceil_mode, reduce)
    given |= {"ceil_mode": ceil_mode} if ceil_mode or draw.flag() else {}
    given |= {"exclude_padding_from_average": exclude} if name == "avg_pool" else {}
    return name, opset, {"x": x, "kernel_sizes": kernel, **given}, expected


def normalised(x, axes, epsilon):
    x = x.astype(np.float64)
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)


@formula
def layer_norm(draw):
    x = draw.floats(draw.shape(), draw.one("float32", "float16"))
    given = draw.some(axes=draw.axes(x.ndim), epsilon=0.125)
    axes = sorted(axis % x.ndim for axis in given.get("axes", range(x.ndim)))
    sizes = [x.shape[axis] for axis in axes]
    gamma, beta = draw.floats(sizes, x.dtype), draw.floats(sizes, x.dtype)
    given |= draw.some(gamma=gamma, beta=beta)
    spread = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    expected = normalised(x, tuple(axes), given.get("epsilon", 1e-5))
    expected = expected * (gamma.reshape(spread) if "gamma" in given else 1)
    expected = expected + (beta.reshape(spread) if "beta" in given else 0)
    return "layer_norm", 15, {"x": x, **given}, expected


@formula
def channel_norm(draw):
    name = draw.one("instance_norm", "batch_norm")
    x = draw.floats(draw.shape(3, 4 if name == "instance_norm" else 5), draw.one("float32", "float16"))
    spread, channels = [-1, *[1] * (x.ndim - 2)], x.shape[1]
    gamma, beta, mean, variance = (draw.floats(channels, x.dtype) for _ in range(4))
    variance = np.abs(variance) + variance.dtype.type(0.5)
    given = draw.some(gamma=gamma, beta=beta, epsilon=0.125)
    epsilon = given.get("epsilon", 1e-5)
    if name == "instance_norm":
        expected = normalised(x, tuple(range(2, x.ndim)), epsilon)
    else:
        wide, centre = variance.astype(np.float64).reshape(spread), mean.astype(np.float64).reshape(spread)
        expected = (x - centre) / np.sqrt(wide + epsilon)
    expected = expected * (gamma.reshape(spread) if "gamma" in given else 1)
    expected = expected + (beta.reshape(spread) if "beta" in given else 0)
    more = {"mean": mean, "variance": variance} if name == "batch_norm" else {}
    return name, 15, {"x": x, **more, **given}, expected


@formula
def l2_norm(draw):
    x = draw.floats(draw.shape(3, 5), draw.one("float32", "float16"))
    given = draw.some(epsilon=0.125)
    squares = np.square(x.astype(np.float64)).sum((-3, -2, -1), keepdims=True)
    return "l2_norm", 15, {"x": x, **given}, x / np.sqrt(squares + given.get("epsilon", 1e-6))


@formula
def local_response_norm(draw):
    x = draw.floats((*draw.shape(0, 1), draw.integer(1, 6), *draw.shape(2, 2)), draw.one("float32", "float16"))
    size = draw.one(1, 3, 5)
    given = draw.some(alpha=0.5, beta=0.5, k=2.0)
    v = x.astype(np.float64)
    squares = np.pad(np.square(v), [(size // 2, size // 2) if axis == v.ndim - 3 else (0, 0) for axis in range(v.ndim)])
    sums = sum(np.take(squares, range(i, i + v.shape[-3]), -3) for i in range(size))
    divisor = (given.get("k", 1.0) + given.get("alpha", 1e-4) / size * sums) ** given.get("beta", 0.75)
    return "local_response_norm", 15, {"x": x, "size": size, **given}, v / divisor


@formula
def matmul(draw):
    dtype = draw.one("float32", "float16", "int32")
    rows, inner, columns = draw.integers(3, 1, 4)
    batch = draw.shape(0, 3)
    transpose_x, transpose_y = draw.flag(), draw.flag()
    x = draw.array((*draw.one(batch, draw.broadcast(batch)), rows, inner), dtype)
    y = draw.array((*draw.one(batch, draw.broadcast(batch)), inner, columns), dtype)
    expected = x.astype(np.float64) @ y.astype(np.float64)
    expected = expected.astype(np.int32) if dtype == "int32" else expected
    flags = {"transpose_x": transpose_x, "transpose_y": transpose_y}
    x, y = (v.swapaxes(-1, -2) if turned else v for v, turned in ((x, transpose_x), (y, transpose_y)))
    return "matmul", draw.one(15, 17), {"x": x, "y": y, **flags}, expected


@formula
def matmul_of_vectors(draw):
    dtype, size = draw.one("float32", "float16"), draw.integer(1, 4)
    vector, matrix = draw.floats(size, dtype), draw.floats((*draw.shape(0, 2), draw.integer(1, 3), size), dtype)
    transpose = draw.flag()
    if draw.flag():
        y = matrix.swapaxes(-1, -2)
        given = {"x": vector, "y": matrix if transpose else y, "transpose_y": transpose}
        return "matmul", 15, given, vector.astype(np.float64) @ y
    given = {"x": matrix.swapaxes(-1, -2) if transpose else matrix, "y": vector, "transpose_x": transpose}
    return "matmul", 15, given, matrix.astype(np.float64) @ vector


@formula
def linear(draw):
    dtype, size = draw.one("float32", "float16", "int32"), draw.integer(1, 4)
    x, weight = draw.array((*draw.shape(0, 3), size), dtype), draw.array((draw.integer(1, 4), size), dtype)
    given = draw.some(bias=draw.array(len(weight), dtype))
    expected = x.astype(np.float64) @ weight.T.astype(np.float64) + given.get("bias", 0)
    return (
        "linear",
        15,
        {"x": x, "weight": weight, **given},
        expected.astype("int32" if dtype == "int32" else "float64"),
    )


@formula
def einsum(draw):
    a, b, c, d, e = draw.integers(5, 1, 4)
    equation, first, second = draw.one(
        ("abcd,adce->abce", (a, b, c, d), (a, d, c, e)),
        ("abc,cd->abd", (a, b, c), (c, d)),
        ("abcd,cde->abe", (a, b, c, d), (c, d, e)),
        ("ab,ab->", (a, b), (a, b)),
        ("bnqd,bnkd->bnqk", (a, b, c, d), (a, b, e, d)),
    )
    x, y = draw.floats(first), draw.floats(second)
    expected = np.einsum(equation, x.astype(np.float64), y.astype(np.float64))
    return "einsum", 15, {"values": (x, y), "equation": equation}, expected


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda function: function.__name__)
@settings(settings.get_profile("random_shapes"))
@given(data=st.data())
def test_an_op_answers_as_its_formula(holds, formula, data):
    holds(data, formula)
