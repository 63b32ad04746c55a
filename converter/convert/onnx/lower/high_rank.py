"""What computes element by element beyond rank 5: in shapes of rank 5 at most, the result seen as before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from converter.convert.onnx.builder import MAX_RANK, Ints, Unsupported
from converter.convert.onnx.graph import Node
from converter.convert.onnx.sizes import is_static
from converter.convert.onnx.views import folded

# A number for each place of the inputs; not ops of which some input is only asked for its type.
ELEMENTWISE = frozenset(
    name
    for row in (
        "Abs Acos Acosh Asin Asinh Atan Atanh BitCast BitwiseNot Cast Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu",
        "HardSigmoid HardSwish IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Sigmoid Sign Sin",
        "Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu",
        "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean",
        "Min Mod Mul Or Pow Sub Sum Where Xor",
    )
    for name in row.split()
)
_ALIGNED_FROM = 7  # the opset from which operands broadcast from their last axes on


@dataclass(frozen=True)
class Folding:
    """The shapes that a node takes its inputs in, by name, and the one that its result is seen in."""

    inputs: Mapping[str, Ints]
    result: Ints


def folding(node: Node, shape: Callable[[str], Ints]) -> Folding | None:
    """How an elementwise node takes inputs beyond rank 5, None for any other; `shape` tells a value's shape.

    Raises Unsupported where broadcasting needs more axes than Core ML has, and where a size is flexible.
    """
    if node.domain or node.op_type not in ELEMENTWISE or node.opset < _ALIGNED_FROM:
        return None
    # Numbers stay numbers: they broadcast with anything, and some are bounds.
    shapes = {name: own for name in node.inputs if name and (own := shape(name))}
    if max(map(len, shapes.values()), default=0) <= MAX_RANK:
        return None
    if not all(is_static(size) for own in shapes.values() for size in own):
        raise Unsupported(f"with a flexible dimension, broadcasting ends at rank {MAX_RANK}")
    narrow = dict(zip(shapes, folded(list(shapes.values())), strict=True))
    return Folding(narrow, np.broadcast_shapes(*shapes.values()))
