"""com.microsoft: weights of 2, 4 and 8 bits, packed in bytes, with a scale for each block."""

import numpy as np

from converter.convert.onnx.builder import Array, Operand, Unsupported, Var, is_var, mb, normal_axis
from converter.convert.onnx.levels import weight
from converter.convert.onnx.ops.tables import com_microsoft
from converter.convert.onnx.ops.tensor.indexing import Gather

op = com_microsoft.op


@op
def MatMulNBits(
    A: Var,
    B: Array,
    scales: Array,
    zero_points: Array | None = None,
    g_idx: Array | None = None,
    bias: Var = None,
    *,
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    K: int,
    N: int,
    weight_prepacked: int = 0,
) -> Var:
    """A @ weights.T + bias. `accuracy_level` lets onnxruntime compute more coarsely than is done here."""
    if g_idx is not None:
        raise Unsupported("its columns are in the order of g_idx")
    if weight_prepacked:
        raise Unsupported("its weights are in the order of one GPU; export the model without prepacking")
    blocks = -(-K // block_size)
    levels = unpacked(B.reshape(N, -1), bits)[:, :K]
    if zero_points is None:
        zeros: Array = np.full((N, blocks), 1 << (bits - 1), np.uint8)
    elif zero_points.dtype == np.uint8:
        zeros = unpacked(zero_points.reshape(N, -1), bits)[:, :blocks]
    else:
        zeros = zero_points.reshape(N, blocks)
    # A single block may be wider than the row.
    columns = weight(levels, scales.reshape(N, blocks), zeros, axis=1, block_size=min(block_size, K), bits=bits)
    y = mb.linear(x=A, weight=columns)
    return y if bias is None else mb.add(x=y, y=bias)


@op
def GatherBlockQuantized(
    data: Array,
    indices: Operand,
    scales: Array,
    zero_points: Array | None = None,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Var:
    if not is_var(indices):
        raise Unsupported("its indices are constant, and so is its result")
    if data.dtype.name not in ("int4", "uint4", "uint8"):
        raise Unsupported(f"values of type {data.dtype.name} have no place in Core ML")
    axis = normal_axis(quantize_axis, data.ndim)
    if data.dtype == np.uint8:
        zero = 1 << (bits - 1)
        data = unpacked(data, bits)
        zero_points = None if zero_points is None else unpacked(zero_points, bits)[..., : scales.shape[-1]]
    else:
        zero, bits = 0, 4
    zeros = np.full(scales.shape, zero, np.uint8) if zero_points is None else zero_points
    if data.shape[axis] % block_size:
        raise Unsupported(f"blocks of {block_size} do not fill an axis of {data.shape[axis]}")
    return Gather(weight(data, scales, zeros, axis=axis, block_size=block_size, bits=bits), indices, gather_axis)


def unpacked(packed: Array, bits: int) -> Array:
    """The levels in bytes, the lowest bits first."""
    if bits not in (2, 4, 8):
        raise Unsupported(f"bits = {bits}; 2, 4 and 8 are supported")
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    levels = (packed[..., None] >> shifts) & ((1 << bits) - 1)
    return levels.astype(np.uint8).reshape(*packed.shape[:-1], -1)
