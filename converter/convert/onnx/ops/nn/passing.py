"""https://onnx.ai/onnx/operators, chapter nn: what hands values on, or all but the small ones."""

import numpy as np

from converter.convert.onnx.builder import (
    NotConstant,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    const,
    is_var,
    mb,
    normal_axis,
    precision,
    prod,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import flattened
from converter.convert.onnx.views import Shaped, reshape, static_shape

op = ai_onnx.op


@op
def Flatten(input: Shaped, axis: int = 1) -> Shaped:
    axis = normal_axis(axis, len(input.shape))
    if not _are_known(tuple(input.shape)):
        return flattened(input, axis)
    shape = static_shape(input)
    return reshape(input, (prod(shape[:axis]), prod(shape[axis:])))


def _are_known(dims: tuple[object, ...]) -> bool:
    return all(isinstance(dim, int | np.integer) for dim in dims)


@op
def Dropout(data: Var, is_test: int = 0, ratio: float = 0.5, *, outputs: OutputCount) -> tuple[Var, ...]:
    """Opset 6 trains where is_test is 0; its mask is of the data's type."""
    if not is_test and ratio:
        raise Unsupported("it is in training mode (is_test = 0); export the model in eval mode")
    return (data,) if outputs == 1 else (data, _filled(data, 1.0))


@op
def Dropout_7(data: Var, ratio: float = 0.5, *, outputs: OutputCount) -> tuple[Var, ...]:
    return (data,) if outputs == 1 else (data, _filled(data, 1.0))


@op
def Dropout_10(data: Var, ratio: float = 0.5, *, outputs: OutputCount) -> tuple[Var, ...]:
    return (data,) if outputs == 1 else (data, _filled(data, True))


@op
def Dropout_12(
    data: Var, ratio: Operand = 0.5, training_mode: bool = False, seed: int | None = None, *, outputs: OutputCount
) -> tuple[Var, ...]:
    if training_mode and is_var(ratio):
        raise NotConstant("ratio")
    if training_mode and np.any(ratio):
        raise Unsupported("it is in training mode, which draws random numbers; export the model in eval mode")
    return (data,) if outputs == 1 else (data, _filled(data, True))


def _filled(like: Var, value: float | bool) -> Var:
    """The value in every place of a tensor's shape."""
    typed = np.bool_(value) if isinstance(value, bool) else np.array(value, _float_type())[()]
    if _are_known(tuple(like.shape)):
        return mb.const(val=np.full(tuple(like.shape), typed))
    return mb.fill(shape=mb.shape(x=like), value=typed)


def _float_type() -> type:
    return np.float16 if precision.get() == "fp16" else np.float32


@op
def Shrink(input: Var, bias: float = 0.0, lambd: float = 0.5) -> Var:
    above = mb.select(cond=mb.greater(x=input, y=lambd), a=mb.sub(x=input, y=bias), b=const(0.0, like=input))
    return mb.select(cond=mb.less(x=input, y=-lambd), a=mb.add(x=input, y=bias), b=above)
