"""https://onnx.ai/onnx/operators, chapter math: the largest and smallest along an axis."""

from converter.convert.onnx.builder import Var, mb
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def TopK(X: Var, *, axis: int = -1, k: int) -> tuple[Var, Var]:
    return TopK_10(X, k, axis)


@op
def TopK_10(X: Var, K: int, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Var, Var]:
    values, indices = mb.topk(x=X, k=K, axis=axis, ascending=not largest)
    return values, indices
