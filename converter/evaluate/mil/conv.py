"""Chapter conv."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from converter.evaluate.mil.table import ops
from converter.evaluate.mil.windows import padded, pads_of

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@ops.op
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Tensor:
    rank = x.dim() - 2
    strides = [1] * rank if strides is None else strides
    dilations = [1] * rank if dilations is None else dilations
    pads = pads_of(pad_type, pad, x.shape[2:], _spans(weight, dilations), strides)
    if all(begin == end for begin, end in pads):
        return _CONV[rank](x, weight, bias, strides, [begin for begin, _ in pads], dilations, groups)
    return _CONV[rank](padded(x, pads), weight, bias, strides, 0, dilations, groups)


@ops.op
def conv_quantized(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    quantization_type: str,
    nbits: int = 8,
    quant_scale: Tensor,
    quant_bias: Tensor,
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """The weights are weight * scale + bias, with one scale and bias, or one for each output channel."""
    if quantization_type != "linear":
        raise ValueError(f"the quantization {quantization_type!r} cannot be evaluated: MIL does not say its table")
    if not 1 <= nbits <= 8 or int(weight.max()) >= 2**nbits:
        raise ValueError(f"the weights, up to {int(weight.max())}, are not of {nbits} bits")
    scale, offset = (
        v if v.numel() == 1 else v.reshape(-1, *[1] * (weight.dim() - 1)) for v in (quant_scale, quant_bias)
    )
    filters = weight.float() * scale + offset
    return conv(x, filters, None if bias is None else bias.float(), strides, pad_type, pad, dilations, groups)


@ops.op
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pad_type: str = "valid",
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Tensor:
    """The whole transposed convolution, cut to the output's size.

    `same` cuts as a `same` convolution of the output pads; with output_shape, what the begin pads leave.
    """
    rank = x.dim() - 2
    strides = [1] * rank if strides is None else strides
    dilations = [1] * rank if dilations is None else dilations
    whole = _CONV_TRANSPOSE[rank](x, weight, None, strides, 0, 0, groups, dilations)
    if pad_type == "same":
        sizes = [n * s for n, s in zip(x.shape[2:], strides, strict=True)] if output_shape is None else output_shape[2:]
        pads = pads_of("same", None, sizes, _spans(weight, dilations), strides)
    else:
        pads = pads_of(pad_type, pad, x.shape[2:], _spans(weight, dilations), strides)
        sizes = [n - begin - end for n, (begin, end) in zip(whole.shape[2:], pads, strict=True)]
        sizes = sizes if output_shape is None else output_shape[2:]
    for axis, ((begin, _), size) in enumerate(zip(pads, sizes, strict=True), start=2):
        missing = begin + size - whole.shape[axis]
        if missing > 0:  # a stride that leaves outputs no input reaches
            whole = F.pad(whole, [0, 0] * (whole.dim() - 1 - axis) + [0, missing])
        whole = whole.narrow(axis, begin, size)
    return whole if bias is None else whole + bias.reshape(-1, *[1] * rank)


def _spans(weight: Tensor, dilations: Sequence[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
