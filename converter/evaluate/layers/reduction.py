"""Reductions."""

from collections.abc import Callable

from torch import Tensor

from converter.evaluate.layers.table import layers

Axes = tuple[int, ...]


@layers.op
def reduce(x: Tensor, mode: str = "SUM", epsilon: float = 1e-6, axis: str = "CHW") -> Tensor:
    """The reduced axes stay, with length 1; epsilon serves LOGSUM."""
    axes = {"CHW": (-3, -2, -1), "HW": (-2, -1), "C": (-3,), "H": (-2,), "W": (-1,)}[axis]
    match mode:
        case "SUM":
            return x.sum(axes, keepdim=True)
        case "AVG":
            return x.mean(axes, keepdim=True)
        case "PROD":
            return _product(x, axes)
        case "LOGSUM":
            return (x + epsilon).log().sum(axes, keepdim=True)
        case "SUMSQUARE":
            return x.square().sum(axes, keepdim=True)
        case "L1":
            return x.abs().sum(axes, keepdim=True)
        case "L2":
            return x.square().sum(axes, keepdim=True).sqrt()
        case "MAX":
            return x.amax(axes, keepdim=True)
        case "MIN":
            return x.amin(axes, keepdim=True)
        case _:
            return x.argmax(axes[0], keepdim=True).float()


@layers.op
def reduceSum(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.sum(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceMean(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.mean(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceProd(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(_product, x, axes, keepDims, reduceAll)


@layers.op
def reduceMax(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.amax(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceMin(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.amin(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceL1(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.abs().sum(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceL2(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.square().sum(a, keepdim=True).sqrt(), x, axes, keepDims, reduceAll)


@layers.op
def reduceSumSquare(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.square().sum(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def reduceLogSum(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.sum(a, keepdim=True).log(), x, axes, keepDims, reduceAll)


@layers.op
def reduceLogSumExp(x: Tensor, axes: Axes = (), keepDims: bool = False, reduceAll: bool = False) -> Tensor:
    return _reduced(lambda t, a: t.logsumexp(a, keepdim=True), x, axes, keepDims, reduceAll)


@layers.op
def argMax(x: Tensor, axis: int = 0, removeDim: bool = False) -> Tensor:
    return x.argmax(axis, keepdim=not removeDim).float()


@layers.op
def argMin(x: Tensor, axis: int = 0, removeDim: bool = False) -> Tensor:
    return x.argmin(axis, keepdim=not removeDim).float()


def _product(x: Tensor, axes: Axes) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    return x


def _reduced(
    reduction: Callable[[Tensor, Axes], Tensor], x: Tensor, axes: Axes, keep: bool, everything: bool
) -> Tensor:
    """Without axes nothing is reduced, unless `everything` says all."""
    rank = x.dim()
    chosen = tuple(range(rank)) if everything else tuple(axis % rank for axis in axes)
    if not chosen:
        return x
    y = reduction(x, chosen)
    return y if keep else y.squeeze(chosen)
