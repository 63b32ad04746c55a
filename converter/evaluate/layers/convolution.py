"""Convolution and deconvolution."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from converter.errors import EvaluationError
from converter.evaluate.layers.geometry import Edges, folded, halved, padded, same_edges, unfolded
from converter.evaluate.layers.table import layers
from converter.evaluate.layers.weights import Weights


@layers.op
def convolution(
    x: Tensor,
    weights: Tensor | Weights,
    outputChannels: int = 0,
    kernelChannels: int = 0,
    nGroups: int = 1,
    kernelSize: tuple[int, ...] = (3, 3),
    stride: tuple[int, ...] = (1, 1),
    dilationFactor: tuple[int, ...] = (1, 1),
    valid: Edges | None = None,
    same: str | None = None,
    isDeconvolution: bool = False,
    hasBias: bool = False,
    bias: Weights | None = None,
    outputShape: tuple[int, ...] = (),
) -> Tensor:
    kernels = outputChannels // nGroups if isDeconvolution else outputChannels
    shape = (kernelChannels, kernels) if isDeconvolution else (kernels, kernelChannels)
    if isinstance(weights, Weights):
        weights = weights.shaped(*shape, *kernelSize, channel_axis=1 if isDeconvolution else 0)
    edges = valid or ((0, 0), (0, 0))
    offsets = _bias(bias, outputChannels) if hasBias else None
    batch = folded(x)
    if isDeconvolution:
        y = _transposed(batch, weights, offsets, stride, dilationFactor, nGroups, edges, same, outputShape)
    else:
        y = _direct(batch, weights, offsets, stride, dilationFactor, nGroups, edges, same)
    return unfolded(y, x)


@layers.op
def convolution3d(
    x: Tensor,
    weights: Weights,
    outputChannels: int = 0,
    inputChannels: int = 0,
    nGroups: int = 1,
    kernelDepth: int = 0,
    kernelHeight: int = 0,
    kernelWidth: int = 0,
    strideDepth: int = 1,
    strideHeight: int = 1,
    strideWidth: int = 1,
    dilationDepth: int = 1,
    dilationHeight: int = 1,
    dilationWidth: int = 1,
    hasBias: bool = False,
    bias: Weights | None = None,
    paddingType: str = "CUSTOM",
    customPaddingFront: int = 0,
    customPaddingBack: int = 0,
    customPaddingTop: int = 0,
    customPaddingBottom: int = 0,
    customPaddingLeft: int = 0,
    customPaddingRight: int = 0,
    isDeconvolution: bool = False,
    outputShape: tuple[int, ...] = (),
) -> Tensor:
    kernel = (kernelDepth, kernelHeight, kernelWidth)
    if isDeconvolution:
        numbers = weights.shaped(inputChannels, outputChannels // nGroups, *kernel, channel_axis=1)
    else:
        numbers = weights.shaped(outputChannels, inputChannels // nGroups, *kernel)
    strides = (strideDepth, strideHeight, strideWidth)
    dilations = (dilationDepth, dilationHeight, dilationWidth)
    custom = (
        (customPaddingFront, customPaddingBack),
        (customPaddingTop, customPaddingBottom),
        (customPaddingLeft, customPaddingRight),
    )
    edges = custom if paddingType == "CUSTOM" else ((0, 0),) * 3
    same = "BOTTOM_RIGHT_HEAVY" if paddingType == "SAME" else None
    offsets = _bias(bias, outputChannels) if hasBias else None
    if isDeconvolution:
        return _transposed(x, numbers, offsets, strides, dilations, nGroups, edges, same, outputShape)
    return _direct(x, numbers, offsets, strides, dilations, nGroups, edges, same)


def _bias(bias: Weights | None, channels: int) -> Tensor:
    if bias is None:
        raise EvaluationError("hasBias is set, but there is no bias", fix="convert the model again")
    return bias.shaped(channels)


def _direct(
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    edges: Edges,
    same: str | None,
) -> Tensor:
    if same is not None:
        edges = same_edges(x.shape[2:], _extents(weights, dilation), stride, same)
    convolve = functional.conv2d if len(edges) == 2 else functional.conv3d
    if all(start == end for start, end in edges):
        symmetric = [start for start, _ in edges]
        return convolve(x, weights, bias, tuple(stride), symmetric, tuple(dilation), groups)
    return convolve(padded(x, edges), weights, bias, tuple(stride), 0, tuple(dilation), groups)


def _transposed(
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    edges: Edges,
    same: str | None,
    output_shape: Sequence[int],
) -> Tensor:
    """The full output, cropped. The proto says that dilation is ignored here; coremltools' tests on Core ML say not."""
    sizes = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], stride, _extents(weights, dilation), strict=True)]
    if output_shape:
        # Documented: the padding is ignored when the output's shape is given.
        edges = tuple(halved(n - wanted, "BOTTOM_RIGHT_HEAVY") for n, wanted in zip(sizes, output_shape, strict=True))
    elif same is not None:
        wanted_sizes = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
        edges = tuple(halved(n - wanted, same) for n, wanted in zip(sizes, wanted_sizes, strict=True))
    convolve = functional.conv_transpose2d if len(edges) == 2 else functional.conv_transpose3d
    # The bias comes last, for cropping by a negative amount pads with zeros.
    y = convolve(x, weights, None, tuple(stride), 0, 0, groups, tuple(dilation))
    y = padded(y, [(-start, -end) for start, end in edges])
    return y if bias is None else y + bias.view(-1, *[1] * len(edges))


def _extents(weights: Tensor, dilation: Sequence[int]) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilation, strict=True)]
