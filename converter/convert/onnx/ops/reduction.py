"""https://onnx.ai/onnx/operators, chapter reduction."""

from converter.convert.onnx.builder import Ints, Var, mb
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


def axes_of(data: Var, axes: Ints | None, noop_with_empty_axes: int) -> list[int]:
    if axes:
        return list(axes)
    return [] if noop_with_empty_axes else list(range(len(data.shape)))


@op
def ReduceMean(data: Var, axes: Ints | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Var:
    chosen = axes_of(data, axes, noop_with_empty_axes)
    return mb.reduce_mean(x=data, axes=chosen, keep_dims=bool(keepdims)) if chosen else data
