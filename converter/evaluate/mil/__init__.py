"""ML Programs: the walker (program.py) and the ops, in chapters named as coremltools/converters/mil/mil/ops/defs."""

from converter.evaluate.mil import (
    activation,
    classify,
    conv,
    elementwise_binary,
    elementwise_unary,
    linear,
    normalization,
    pool,
    reduction,
    tensor_operation,
    tensor_transformation,
)

__all__ = [
    "activation",
    "classify",
    "conv",
    "elementwise_binary",
    "elementwise_unary",
    "linear",
    "normalization",
    "pool",
    "reduction",
    "tensor_operation",
    "tensor_transformation",
]
