"""https://onnx.ai/onnx/operators, chapter nn: what hands values on, or all but the small ones."""

import numpy as np

from converter.convert.onnx.builder import (
    Unsupported,
    Var,
    const,
    mb,
    normal_axis,
    prod,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.views import Shaped, reshape, static_shape

op = ai_onnx.op


@op
def Flatten(input: Shaped, axis: int = 1) -> Shaped:
    if not all(isinstance(dim, int | np.integer) for dim in input.shape):
        if axis == 1 and isinstance(input.shape[0], int | np.integer):
            return mb.reshape(x=input, shape=(int(input.shape[0]), -1))
        raise Unsupported("its input's shape is flexible")
    shape = static_shape(input)
    axis = normal_axis(axis, len(shape))
    return reshape(input, (prod(shape[:axis]), prod(shape[axis:])))


@op
def Dropout(data: Var, is_test: int = 0, ratio: float = 0.5) -> Var:
    return data


@op
def Dropout_12(data: Var, ratio: float = 0.5, training_mode: bool = False, seed: int | None = None) -> Var:
    if training_mode:
        raise Unsupported("it is in training mode; export the model in eval mode")
    return data


@op
def Shrink(input: Var, bias: float = 0.0, lambd: float = 0.5) -> Var:
    above = mb.select(cond=mb.greater(x=input, y=lambd), a=mb.sub(x=input, y=bias), b=const(0.0, like=input))
    return mb.select(cond=mb.less(x=input, y=-lambd), a=mb.add(x=input, y=bias), b=above)
