"""Chapter constexpr_ops: weights as iOS16 and iOS17 compress them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from converter.evaluate.mil.quantization_ops import dequantized
from converter.evaluate.mil.table import ops
from converter.evaluate.mil.types import BY_NAME, Typed


@ops.op
def constexpr_affine_dequantize_16(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: int) -> Typed:
    """coremltools writes an fp16 result of fp32 scales, too."""
    return Typed(dequantized(quantized_data, zero_point, scale, axis))


@ops.op
def constexpr_cast_16(source_val: Tensor, output_dtype: str) -> Typed:
    wanted = BY_NAME[output_dtype]
    return Typed(source_val.float() if wanted.kind == "float" else wanted.fit(source_val))


@ops.op
def constexpr_lut_to_dense_16(indices: Tensor, lut: Tensor, shape: Sequence[int]) -> Typed:
    """Indices of log2(len(lut)) bits are packed, lowest bit first; the result has the table's type."""
    bits = (lut.numel() - 1).bit_length()
    return Typed(lut[_unpacked(indices, bits, math.prod(shape))].reshape(shape))


@ops.op
def constexpr_sparse_to_dense_16(nonzero_data: Tensor, mask: Tensor, shape: Sequence[int]) -> Tensor:
    kept = _unpacked(mask, 1, math.prod(shape)).bool()
    result = torch.zeros(kept.shape, dtype=nonzero_data.dtype)
    result[kept] = nonzero_data
    return result.reshape(shape)


def _unpacked(packed: Tensor, bits: int, count: int) -> Tensor:
    stream = (packed.reshape(-1, 1) >> torch.arange(8, dtype=torch.uint8) & 1).reshape(-1)[: count * bits]
    return (stream.reshape(count, bits).to(torch.int64) << torch.arange(bits)).sum(1)
