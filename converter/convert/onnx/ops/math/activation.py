"""https://onnx.ai/onnx/operators, chapter math: activations."""

from collections.abc import Callable

from converter.convert.onnx.builder import (
    NotConstant,
    Operand,
    Unsupported,
    Var,
    cast,
    const,
    dtype_name,
    is_float,
    is_var,
    mb,
    normal_axis,
    prod,
    shape_of,
)
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.sizes import flattened, is_flexible, is_static, reshaped, size_of
from converter.convert.onnx.views import reshape

op = ai_onnx.op


@op
def Celu(X: Var, alpha: float = 1.0) -> Var:
    return mb.mul(x=mb.elu(x=mb.mul(x=X, y=1.0 / alpha), alpha=1.0), y=alpha)


@op
def Elu(X: Var, alpha: float = 1.0) -> Var:
    return mb.elu(x=X, alpha=alpha)


@op
def Gelu(X: Var, approximate: str = "none") -> Var:
    if approximate not in ("none", "tanh"):
        raise Unsupported(f"approximate = {approximate!r} is not known")
    return mb.gelu(x=X, mode="EXACT" if approximate == "none" else "TANH_APPROXIMATION")


@op
def HardSigmoid(X: Var, alpha: float = 0.2, beta: float = 0.5) -> Var:
    return mb.sigmoid_hard(x=X, alpha=alpha, beta=beta)


@op
def HardSwish(X: Var) -> Var:
    return mb.mul(x=X, y=mb.sigmoid_hard(x=X, alpha=1.0 / 6.0, beta=0.5))


@op
def Hardmax(input: Var, axis: int = 1) -> Var:
    return _flattened(Hardmax_13, input, axis)


@op
def Hardmax_13(input: Var, axis: int = -1) -> Var:
    axis = normal_axis(axis, len(input.shape))
    where = mb.reduce_argmax(x=input, axis=axis, keep_dims=False)
    size = shape_of(input)[axis]
    return cast(
        mb.one_hot(indices=where, one_hot_vector_size=size, axis=axis, on_value=1, off_value=0), dtype_name(input)
    )


@op
def LeakyRelu(X: Var, alpha: float = 0.01) -> Var:
    return mb.leaky_relu(x=X, alpha=alpha)


@op
def LogSoftmax(input: Var, axis: int = 1) -> Var:
    return _flattened(LogSoftmax_13, input, axis)


@op
def LogSoftmax_13(input: Var, axis: int = -1) -> Var:
    """Not the logarithm of softmax, which is lost where softmax underflows; from the largest, for exp and digits."""
    below = mb.sub(x=input, y=mb.reduce_max(x=input, axes=[axis], keep_dims=True))
    return mb.sub(x=below, y=mb.reduce_log_sum_exp(x=below, axes=[axis], keep_dims=True))


def _flattened(operator: Callable[[Var, int], Var], input: Var, axis: int) -> Var:
    """Before opset 13 the operator worked on rows: all axes from `axis` on taken together."""
    rank = len(input.shape)
    axis = normal_axis(axis, rank)
    if axis == rank - 1 or all(is_static(dim) and dim == 1 for dim in input.shape[axis + 1 :]):
        return operator(input, axis)
    if is_flexible(input):
        sizes = [size_of(input, place) for place in range(rank)]
        return reshaped(operator(flattened(input, axis), -1), sizes)
    shape = shape_of(input)
    rows = reshape(input, (prod(shape[:axis]), prod(shape[axis:])))
    return reshape(operator(rows, -1), shape)


@op
def Mish(X: Var) -> Var:
    return mb.mul(x=X, y=mb.tanh(x=mb.softplus(x=X)))


@op
def PRelu(X: Var, slope: Operand) -> Var:
    """Slopes are one for all or one per channel."""
    rank = len(X.shape)
    if is_var(slope):
        raise NotConstant("slope")
    return PRelu_7(X, slope.reshape(-1, *[1] * (rank - 2)) if slope.size > 1 and rank > 1 else slope.reshape(-1))


@op
def PRelu_7(X: Var, slope: Operand) -> Var:
    """`prelu` where the slopes are one per channel of images, else from its two halves."""
    rank = len(X.shape)
    if rank == 4 and not is_var(slope):
        per_channel = (X.shape[1], *[1] * (rank - 2))
        if slope.shape in (per_channel, (1, *per_channel)):
            return mb.prelu(x=X, alpha=const(slope.reshape(-1), like=X))
    factor = slope if is_var(slope) else const(slope, like=X)
    zero = const(0.0, like=X)
    return mb.add(x=mb.maximum(x=X, y=zero), y=mb.mul(x=factor, y=mb.minimum(x=X, y=zero)))


@op
def Relu(X: Var) -> Var:
    return mb.relu(x=X) if is_float(X) else mb.maximum(x=X, y=0)


@op
def Selu(X: Var, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Var:
    return mb.mul(x=mb.elu(x=X, alpha=alpha), y=gamma)


@op
def Sigmoid(X: Var) -> Var:
    return mb.sigmoid(x=X)


@op
def Softmax(input: Var, axis: int = 1) -> Var:
    return _flattened(Softmax_13, input, axis)


@op
def Softmax_13(input: Var, axis: int = -1) -> Var:
    size = input.shape[axis]
    if dtype_name(input) == "fp16" and is_static(size) and size > _LONG:
        return cast(mb.softmax(x=cast(input, "fp32"), axis=axis), "fp16")
    return mb.softmax(x=input, axis=axis)


_LONG = 2048  # a float16 sum of more parts may no longer grow: 2048 + 1 is 2048


@op
def Softplus(X: Var) -> Var:
    return mb.softplus(x=X)


@op
def Softsign(input: Var) -> Var:
    return mb.softsign(x=input)


@op
def Swish(X: Var, alpha: float = 1.0) -> Var:
    return mb.mul(x=X, y=mb.sigmoid(x=X if alpha == 1.0 else mb.mul(x=X, y=alpha)))


@op
def SwiGLU(A: Var, B: Var, alpha: float = 1.0) -> Var:
    return mb.mul(x=Swish(A, alpha), y=B)


@op
def Tanh(input: Var) -> Var:
    return mb.tanh(x=input)


@op
def ThresholdedRelu(X: Var, alpha: float = 1.0) -> Var:
    """MIL's own keeps the threshold itself, ONNX's does not."""
    return mb.select(cond=mb.greater(x=X, y=alpha), a=X, b=const(0.0, like=X))
