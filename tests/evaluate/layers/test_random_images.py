"""Normalisation, products, borders and resampling at random shapes, against numpy in float64."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

RANDOM = settings(derandomize=True, deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
FLAGS = st.booleans()
EPSILONS = st.sampled_from([0, 1e-3, 0.5])  # 0 stands for the default


def shapes(low=1, high=5, side=4):
    return st.lists(st.integers(1, side), min_size=low, max_size=high).map(tuple)


def uniform(shape, seed, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def wide(x):
    return np.asarray(x, np.float64)


def normalized(x, axes, epsilon):
    centred = wide(x) - wide(x).mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)


@given(shape=shapes(3, 5), epsilon=EPSILONS, seed=SEEDS)
@example(shape=(1, 1, 1), epsilon=0, seed=0)
@RANDOM
def test_batchnorm(same, shape, epsilon, seed):
    x, count = uniform(shape, seed), shape[-3]
    gamma, beta, mean = (uniform(count, seed + i) for i in (1, 2, 3))
    variance = uniform(count, seed + 4, 0.5, 2)
    g, b, m, v = (wide(n)[:, None, None] for n in (gamma, beta, mean, variance))
    fields = {"channels": count, "gamma": gamma, "beta": beta, "epsilon": epsilon}
    used = epsilon or 1e-5
    statistics = {"mean": mean, "variance": variance}
    same("batchnorm", [x], fields | statistics, g * (x - m) / np.sqrt(v + used) + b)
    fields["epsilon"] = used = 0.5  # the input's own variance may be nothing
    own = fields | {"computeMeanVar": True}
    batch = tuple(axis - len(shape) for axis in range(len(shape)) if axis != len(shape) - 3)
    same("batchnorm", [x], own | statistics, g * normalized(x, batch, used) + b)
    own |= {"instanceNormalization": True}
    same("batchnorm", [x], own, g * normalized(x, (-2, -1), used) + b)


@given(shape=shapes(3, 5), across=FLAGS, divides=FLAGS, epsilon=EPSILONS, seed=SEEDS)
@RANDOM
def test_mean_variance_and_l2_normalization(same, shape, across, divides, epsilon, seed):
    x = uniform((*shape[:-1], shape[-1] + 1), seed)  # of one number the variance is nothing
    axes = (-3, -2, -1) if across else (-2, -1)
    fields = {"acrossChannels": across, "normalizeVariance": divides, "epsilon": epsilon}
    centred = wide(x) - wide(x).mean(axes, keepdims=True)
    same("mvn", [x], fields, normalized(x, axes, epsilon or 1e-6) if divides else centred)
    length = np.sqrt((wide(x) ** 2).sum((-3, -2, -1), keepdims=True) + (epsilon or 1e-6))
    same("l2normalize", [x], {"epsilon": epsilon}, x / length)


@given(shape=shapes(3, 5), size=st.sampled_from([1, 3, 5]), numbers=st.tuples(*[st.floats(0.25, 2, width=32)] * 3),
       is_given=FLAGS, seed=SEEDS)  # fmt: skip
@RANDOM
def test_local_response_normalization(same, shape, size, numbers, is_given, seed):
    x = uniform(shape, seed)
    alpha, beta, k = numbers
    channels = np.moveaxis(wide(x), -3, 0)
    expected = np.zeros_like(channels)
    for c in range(len(channels)):
        near = channels[max(0, c - size // 2) : c + size // 2 + 1]
        expected[c] = channels[c] / ((k if is_given else 1) + alpha / size * (near**2).sum(0)) ** beta
    fields = {"alpha": alpha, "beta": beta, "localSize": size} | ({"k": k} if is_given else {})
    same("lrn", [x], fields, np.moveaxis(expected, 0, -3))


@given(shape=shapes(), count=st.integers(1, 5), seed=SEEDS)
@RANDOM
def test_layer_normalization(same, shape, count, seed):
    inner = shape[-min(count, len(shape)) :]
    x, gamma, beta = uniform(shape, seed), uniform(inner, seed + 1), uniform(inner, seed + 2)
    expected = normalized(x, tuple(range(-len(inner), 0)), 0.1) * gamma + beta
    same("layerNormalization", [x], {"normalizedShape": inner, "eps": 0.1, "gamma": gamma, "beta": beta}, expected)


@given(shape=shapes(), outputs=st.integers(1, 4), has_bias=FLAGS, seed=SEEDS)
@RANDOM
def test_inner_product(same, shape, outputs, has_bias, seed):
    x = uniform(shape, seed)
    inputs = int(np.prod(shape[-3:])) if len(shape) > 3 else shape[-1]
    w, b = uniform((outputs, inputs), seed + 1), uniform(outputs, seed + 2)
    leading = shape[:-3] if len(shape) > 3 else shape[:-1]
    expected = wide(x).reshape(*leading, inputs) @ w.T + (b if has_bias else 0)
    fields = {"inputChannels": inputs, "outputChannels": outputs, "weights": w, "bias": b, "hasBias": has_bias}
    same("innerProduct", [x], fields, expected.reshape(*leading, outputs, *[1, 1] * (len(shape) > 3)))
    fields = {"weightMatrixFirstDimension": shape[-1], "weightMatrixSecondDimension": outputs}
    w = uniform((shape[-1], outputs), seed + 3)
    columns = np.array([w[i, o] for o in range(outputs) for i in range(shape[-1])])
    expected = wide(x) @ w + (b if has_bias else 0)
    same("batchedMatmul", [x], fields | {"weights": columns, "bias": b, "hasBias": has_bias}, expected)


@given(leading=st.tuples(shapes(0, 3, 3), st.integers(0, 3), FLAGS), sizes=shapes(3, 3), flips=st.tuples(FLAGS, FLAGS),
       seed=SEEDS)  # fmt: skip
@RANDOM
def test_matrix_products_broadcast(same, leading, sizes, flips, seed):
    batch, kept, is_one = leading
    m, k, n = sizes
    first, second = batch, tuple(1 if is_one else size for size in batch[min(kept, len(batch)) :])
    a, b = uniform((*first, m, k), seed), uniform((*second, k, n), seed + 1)
    given_a, given_b = (np.swapaxes(v, -1, -2) if flip else v for v, flip in zip((a, b), flips, strict=True))
    fields = {"transposeA": flips[0], "transposeB": flips[1]}
    same("batchedMatmul", [given_a, given_b], fields, np.matmul(wide(a), wide(b)))
    same("batchedMatmul", [given_b.swapaxes(-1, -2), given_a.swapaxes(-1, -2)],
         {"transposeA": flips[1], "transposeB": flips[0]}, np.matmul(wide(a), wide(b)).swapaxes(-1, -2))  # fmt: skip
    vector = uniform(k, seed + 2)
    same("batchedMatmul", [vector, b], {}, np.matmul(wide(vector)[None], wide(b)))
    same("batchedMatmul", [a, vector], {}, np.matmul(wide(a), wide(vector)[:, None]))


@given(shape=shapes(1, 4), words=st.integers(1, 5), size=st.integers(1, 4), has_bias=FLAGS, seed=SEEDS)
@RANDOM
def test_embeddings(same, shape, words, size, has_bias, seed):
    table, b = uniform((size, words), seed), uniform(size, seed + 1)
    chosen = np.random.default_rng(seed).integers(0, words, shape)
    expected = np.moveaxis(table[:, chosen], 0, -1) + (b if has_bias else 0)
    weights = {"weights": table, "bias": b, "hasBias": has_bias}
    same("embeddingND", [chosen[..., None]], {"vocabSize": words, "embeddingSize": size} | weights, expected)
    if len(shape) < 3:
        fields = {"inputDim": words, "outputChannels": size} | weights
        same("embedding", [chosen[..., None, None, None]], fields, expected[..., None, None])


@given(shape=shapes(1, 3), seed=SEEDS)
@RANDOM
def test_dot_products(same, shape, seed):
    a, b = (uniform((*shape, 1, 1), seed + i, 0.5, 2) for i in range(2))
    lengths = [np.sqrt((wide(v) ** 2).sum(-3, keepdims=True)) for v in (a, b)]
    expected = (wide(a) * b).sum(-3, keepdims=True)
    same("dot", [a, b], {}, expected)
    same("dot", [a, b], {"cosineSimilarity": True}, expected / lengths[0] / lengths[1])


BORDERS = st.tuples(*[st.integers(0, 3)] * 4)


def amounts(pads):
    sizes = [{"startEdgeSize": start, "endEdgeSize": end} for start, end in pads]
    return {"borderAmounts": sizes}


@given(shape=shapes(3, 5), borders=BORDERS, value=st.floats(-2, 2, width=32), seed=SEEDS)
@RANDOM
def test_padding_and_crops(same, shape, borders, value, seed):
    x = uniform(shape, seed)
    top, bottom, left, right = borders
    still = [(0, 0)] * (len(shape) - 2)
    fields = {"paddingAmounts": amounts([(top, bottom), (left, right)])}
    pads = [*still, (top, bottom), (left, right)]
    padded = np.pad(x, pads, constant_values=value)
    same("padding", [x], fields | {"constant": {"value": value}}, padded)
    same("padding", [x], fields | {"replication": {}}, np.pad(x, pads, "edge"))
    near = [(min(a, n - 1), min(b, n - 1)) for (a, b), n in zip(pads[-2:], shape[-2:], strict=True)]
    same("padding", [x], {"paddingAmounts": amounts(near), "reflection": {}}, np.pad(x, [*still, *near], "reflect"))
    same("crop", [padded], {"cropAmounts": amounts([(top, bottom), (left, right)])}, x)
    same("crop", [padded, x], {"offset": [top, left]}, x)


def interpolated(x, rows, columns):
    for axis, points in ((-2, rows), (-1, columns)):
        x = np.apply_along_axis(lambda line, p=points: np.interp(p, np.arange(len(line)), line), axis, x)
    return x


def upsampled(size, factor, mode):
    """The points of x that a side of `size` is sampled at: the first to the last, or the centres of new pixels."""
    count = int(size * factor)
    if mode == "ALIGN_CORNERS_FALSE":
        return (np.arange(count) + 0.5) * size / count - 0.5
    end = size - 1 if mode == "ALIGN_CORNERS_TRUE" else size - size / count
    return np.minimum(size - 1, np.linspace(0, end, count))


@pytest.mark.parametrize("mode", ["DEFAULT", "ALIGN_CORNERS_TRUE", "ALIGN_CORNERS_FALSE"])
@given(shape=shapes(3, 5, 5), factors=st.tuples(st.integers(1, 4), st.integers(1, 4)),
       fractions=st.tuples(*[st.sampled_from([0.5, 0.75, 1.0, 1.25, 1.5, 2.5])] * 2), seed=SEEDS)  # fmt: skip
@RANDOM
def test_upsampling(same, mode, shape, factors, fractions, seed):
    x = uniform(shape, seed)
    same("upsample", [x], {"scalingFactor": factors}, x.repeat(factors[0], -2).repeat(factors[1], -1))
    fields = {"mode": "BILINEAR", "linearUpsampleMode": mode}
    points = [upsampled(n, s, mode) for n, s in zip(shape[-2:], factors, strict=True)]
    same("upsample", [x], fields | {"scalingFactor": factors}, interpolated(wide(x), *points))
    if mode != "DEFAULT" and all(n * s >= 1 for n, s in zip(shape[-2:], fractions, strict=True)):
        points = [upsampled(n, s, mode) for n, s in zip(shape[-2:], fractions, strict=True)]
        same("upsample", [x], fields | {"fractionalScalingFactor": fractions}, interpolated(wide(x), *points))


def spaced(first, last, count, mode, size):
    """SamplingMode's points of the pixels first..last of an image of `size`, which it calls 0..X-1."""
    x = last - first + 1
    start, end = 0.0, x - 1
    if mode == "ALIGN_ENDPOINTS_MODE" and count == 1:
        start = end = (x - 1) / 2
    elif mode == "UPSAMPLE_MODE":
        end = x - x / count
    elif mode == "ROI_ALIGN_MODE":
        spacing = max(1, x - 1) / count
        start = 0.5 * spacing
        end = start + (count - 1) * spacing
    return np.minimum(size - 1, first + np.linspace(start, end, count))


MODES = ["STRICT_ALIGN_ENDPOINTS_MODE", "ALIGN_ENDPOINTS_MODE", "UPSAMPLE_MODE", "ROI_ALIGN_MODE"]
TARGETS = st.tuples(st.integers(1, 7), st.integers(1, 7))


@pytest.mark.parametrize("mode", MODES)
@given(shape=shapes(3, 5, 5), target=TARGETS, seed=SEEDS)
@RANDOM
def test_bilinear_resizing(same, mode, shape, target, seed):
    x = uniform(shape, seed)
    points = [spaced(0, n - 1, t, mode, n) for n, t in zip(shape[-2:], target, strict=True)]
    expected = interpolated(wide(x), *points)
    same("resizeBilinear", [x], {"targetSize": target, "mode": {"samplingMethod": mode}}, expected)


BOXES = {
    "CORNERS_HEIGHT_FIRST": lambda t, l, b, r: (t, l, b, r),  # noqa: E741
    "CORNERS_WIDTH_FIRST": lambda t, l, b, r: (l, t, r, b),  # noqa: E741
    "CENTER_SIZE_HEIGHT_FIRST": lambda t, l, b, r: ((t + b) / 2, (l + r) / 2, b - t, r - l),  # noqa: E741
    "CENTER_SIZE_WIDTH_FIRST": lambda t, l, b, r: ((l + r) / 2, (t + b) / 2, r - l, b - t),  # noqa: E741
}


@pytest.mark.parametrize("mode", MODES)
@given(shape=shapes(3, 3, 3), size=st.tuples(*[st.sampled_from([3, 5, 9])] * 2), target=TARGETS, coded=st.sampled_from(
    [*BOXES]), normalized_to_one=FLAGS, has_batch=FLAGS, scale=st.sampled_from([1.0, 0.5]), seed=SEEDS)  # fmt: skip
@RANDOM
def test_crops_that_are_resized(same, mode, shape, size, target, coded, normalized_to_one, has_batch, scale, seed):
    rng = np.random.default_rng(seed)
    batch, channels, boxes = shape
    x = uniform((1, batch, channels, *size), seed)
    rows, expected = [], []
    for _ in range(boxes):
        (top, bottom), (left, right) = (sorted(rng.integers(0, n, 2)) for n in size)
        which = int(rng.integers(0, batch))
        points = spaced(top, bottom, target[0], mode, size[0]), spaced(left, right, target[1], mode, size[1])
        images = wide(x)[0, which : which + 1] if has_batch else wide(x)[0]
        expected.append(interpolated(images, *points))
        units = np.array([size[0] - 1, size[1] - 1] * 2 if normalized_to_one else [1] * 4) * scale
        row = BOXES[coded](*(np.array([top, left, bottom, right]) / units))
        rows.append([which, *row] if has_batch else row)
    fields = {"targetSize": target, "mode": {"samplingMethod": mode}, "boxIndicesMode": {"boxMode": coded}}
    fields |= {"normalizedCoordinates": normalized_to_one, "spatialScale": scale}
    same("cropResize", [x, np.array(rows, np.float32)[:, None, :, None, None]], fields, np.array(expected))
