"""https://onnx.ai/onnx/operators, chapter math: Fourier transforms, as products with constant matrices.

They are computed in float32 whatever the model's precision: a spectrum spans more than float16 resolves.
"""

import numpy as np

from converter.convert.onnx.builder import (
    Array,
    NotConstant,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import reshape, tensor, transpose

op = ai_onnx.op


@op
def DFT(input: Var, dft_length: int | None = None, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Var:
    return DFT_20(input, dft_length, axis, inverse, onesided)


@op
def DFT_20(input: Var, dft_length: int | None = None, axis: int = -2, inverse: int = 0, onesided: int = 0) -> Var:
    """Along `axis` of [..., n, ..., parts], real or complex by its last axis."""
    shape = shape_of(input)
    axis = normal_axis(axis, len(shape))
    given, parts = shape[axis], shape[-1]
    if onesided and not inverse and parts != 1:
        raise Unsupported("onesided is for real input")
    length = dft_length if dft_length is not None else 2 * (given - 1) if onesided and inverse else given
    matrix = _real_of_half(given, length) if onesided and inverse else _transform(given, length, inverse, onesided)
    matrix = matrix[:, :, :, :parts]  # [bins, parts of them, n, parts]
    bins, out_parts = matrix.shape[:2]
    order = [*(a for a in range(len(shape) - 1) if a != axis), axis, len(shape) - 1]
    others = [shape[a] for a in order[:-2]]
    rows = tensor(reshape(transpose(cast(input, "fp32"), order), (*_merged(others), given * parts)))
    weight = const(matrix.reshape(bins * out_parts, given * parts))
    spectrum = reshape(mb.linear(x=rows, weight=weight), (*others, bins, out_parts))
    return cast(tensor(transpose(spectrum, [order.index(a) for a in range(len(shape))])), dtype_name(input))


def _merged(dims: list[int]) -> tuple[int, ...]:
    """As one axis, so that at most rank 2 is multiplied."""
    return (prod(dims),)


def _transform(given: int, length: int, inverse: int, onesided: int) -> Array:
    """[bins, re and im, n, re and im]; of a longer signal the first `length` count, zeros follow a shorter one."""
    bins = length // 2 + 1 if onesided else length
    turns = np.arange(bins)[:, None] * np.arange(given)[None, :] % length / length
    angle = (1 if inverse else -1) * 2 * np.pi * turns
    used = (np.arange(given) < length) / (length if inverse else 1)
    cos, sin = np.cos(angle) * used, np.sin(angle) * used
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)


def _real_of_half(given: int, length: int) -> Array:
    """[length, 1, bins, re and im]: the bins that are not given are the conjugates of those that are."""
    half = np.arange(given)
    turns = np.arange(length)[:, None] * half[None, :] % length / length
    twice = np.where((half == 0) | (2 * half == length), 1, 2) * (half <= length // 2) / length
    angle = 2 * np.pi * turns
    return np.stack([np.cos(angle) * twice, -np.sin(angle) * twice], -1)[:, None]


@op
def STFT(
    signal: Var, frame_step: int, window: Array | None = None, frame_length: int | None = None, onesided: int = 1
) -> Var:
    """One convolution of the signal [N, length, parts], whose filters are the windowed waves."""
    batch, samples, parts = shape_of(signal) if len(signal.shape) > 2 else (*shape_of(signal), 1)
    if onesided and parts != 1:
        raise Unsupported("onesided is for real input")
    length = frame_length if frame_length is not None else samples if window is None else len(window)
    if window is not None and len(window) != length:
        raise Unsupported(f"the window is of {len(window)} samples, a frame of {length}")
    if length > samples:
        raise Unsupported("its result is empty, which Core ML cannot hold")
    matrix = _transform(length, length, 0, onesided)[:, :, :, :parts]
    if window is not None:
        matrix = matrix * window.astype(np.float64).reshape(1, 1, -1, 1)
    bins = len(matrix)
    filters = matrix.transpose(1, 0, 3, 2).reshape(2 * bins, parts, length)
    channels = transpose(reshape(cast(signal, "fp32"), (batch, samples, parts)), (0, 2, 1))
    waves = mb.conv(x=channels, weight=const(filters), strides=[frame_step], pad_type="valid")
    frames = (samples - length) // frame_step + 1
    spectrum = tensor(transpose(reshape(waves, (batch, 2, bins, frames)), (0, 3, 2, 1)))
    return cast(spectrum, dtype_name(signal))


@op
def MelWeightMatrix(
    num_mel_bins: int,
    dft_length: int,
    sample_rate: int,
    lower_edge_hertz: float,
    upper_edge_hertz: float,
    output_datatype: int = 1,
) -> Var:
    """Five numbers say all of it, so that what is known was folded before it gets here."""
    raise NotConstant("num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz")
