"""https://onnx.ai/onnx/operators, chapter math: losses."""

import numpy as np

from converter.convert.onnx.builder import Operand, Unsupported, Var, cast, const, dtype_name, is_var, mb
from converter.convert.onnx.ops.math.activation import LogSoftmax_13
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def NegativeLogLikelihoodLoss(
    input: Var, target: Operand, weight: Operand = None, ignore_index: int | None = None, reduction: str = "mean"
) -> Var:
    """`input` [N, C, ...] at the classes of `target` [N, ...], negative and weighed by class; in float32.

    The mean is of what is not ignored, by weight.
    """
    if reduction not in ("mean", "none", "sum"):
        raise Unsupported(f"reduction = {reduction!r} is not known")
    classes, kept = _classes(target, ignore_index)
    losses = mb.mul(x=_taken(cast(input, "fp32"), classes), y=-1.0)
    weights = _weights(weight, classes, kept)
    if weights is not None:
        losses = mb.mul(x=losses, y=weights)
    if reduction == "none":
        return cast(losses, dtype_name(input))
    axes = list(range(len(losses.shape)))
    if reduction == "mean" and weights is None:
        return cast(mb.reduce_mean(x=losses, axes=axes, keep_dims=False), dtype_name(input))
    total = mb.reduce_sum(x=losses, axes=axes, keep_dims=False)
    if reduction == "mean":
        counted = mb.reduce_sum(x=weights, axes=axes, keep_dims=False) if is_var(weights) else float(weights.sum())
        total = mb.real_div(x=total, y=counted)
    return cast(total, dtype_name(input))


@op
def SoftmaxCrossEntropyLoss(
    scores: Var, labels: Operand, weights: Operand = None, ignore_index: int | None = None, reduction: str = "mean"
) -> tuple[Var, Var]:
    """The loss of the logarithm of softmax, and that logarithm."""
    log_prob = LogSoftmax_13(scores, 1)
    return NegativeLogLikelihoodLoss(log_prob, labels, weights, ignore_index, reduction), log_prob


def _classes(target: Operand, ignore_index: int | None) -> tuple[Operand, Operand]:
    """The targets with 0 for what is ignored, and where it is not; None where nothing can be ignored."""
    if ignore_index is None:
        return target, None
    if not is_var(target):
        kept = target != ignore_index
        return np.where(kept, target, 0), None if kept.all() else kept
    kept = mb.not_equal(x=target, y=ignore_index)
    return mb.mul(x=target, y=cast(kept, "int32")), kept


def _taken(input: Var, classes: Operand) -> Var:
    places = mb.expand_dims(x=classes, axes=[1]) if is_var(classes) else const(np.expand_dims(classes, 1))
    return mb.squeeze(x=mb.gather_along_axis(x=input, indices=places, axis=1), axes=[1])


def _weights(weight: Operand, classes: Operand, kept: Operand) -> Operand:
    """How much each target counts, as float32; None where all count alike."""
    mask = None if kept is None else cast(kept, "fp32") if is_var(kept) else kept.astype(np.float32)
    if weight is None:
        return mask
    if is_var(classes) or is_var(weight):
        table = cast(weight, "fp32") if is_var(weight) else const(weight)
        weights = mb.gather(x=table, indices=classes if is_var(classes) else const(classes), axis=0)
        return weights if mask is None else mb.mul(x=weights, y=mask)
    return weight.astype(np.float32)[classes] * (1 if mask is None else mask)
