"""https://onnx.ai/onnx/operators, chapter logical."""

from converter.convert.onnx.builder import Var, cast, is_bool, mb
from converter.convert.onnx.ops.math.broadcasting import aligned
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def And(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.logical_and(x=A, y=aligned(A, B, axis, broadcast))


@op
def Equal(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    """Core ML compares numbers only."""
    x, y = (cast(v, "int32") if is_bool(v) else v for v in (A, B))
    return mb.equal(x=x, y=aligned(x, y, axis, broadcast))


@op
def Greater(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.greater(x=A, y=aligned(A, B, axis, broadcast))


@op
def GreaterOrEqual(A: Var, B: Var) -> Var:
    return mb.greater_equal(x=A, y=B)


@op
def Less(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.less(x=A, y=aligned(A, B, axis, broadcast))


@op
def LessOrEqual(A: Var, B: Var) -> Var:
    return mb.less_equal(x=A, y=B)


@op
def Not(X: Var) -> Var:
    return mb.logical_not(x=X)


@op
def Or(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.logical_or(x=A, y=aligned(A, B, axis, broadcast))


@op
def Xor(A: Var, B: Var, axis: int | None = None, broadcast: int = 0) -> Var:
    return mb.logical_xor(x=A, y=aligned(A, B, axis, broadcast))
