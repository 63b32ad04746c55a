"""Control flow. What a nested network computes is visible in the whole network."""

from torch import Tensor

from converter.evaluate.layers.network import Block
from converter.evaluate.layers.table import Leaving, layers, scalar
from converter.evaluate.limits import check_iterations

_FALSE = 1e-6  # a condition whose absolute value is not above this is false


class LoopBreak(Leaving):
    """No error: the innermost loop ends."""


class LoopContinue(Leaving):
    """No error: the innermost loop's next iteration begins."""


@layers.op
def copy(x: Tensor) -> Tensor:
    return x


@layers.op
def branch(condition: Tensor, ifBranch: Block, elseBranch: Block | None = None) -> tuple[()]:
    if abs(scalar(condition)) > _FALSE:
        ifBranch()
    elif elseBranch is not None:
        elseBranch()
    return ()


@layers.op
def loop(
    maxLoopIterations: Tensor | int = 0,
    conditionVar: str = "",
    conditionNetwork: Block | None = None,
    bodyNetwork: Block | None = None,
) -> tuple[()]:
    """Without a condition a count; with one and no count, as long as it holds.

    It is conditionVar that says whether there is a condition: coremltools' builder always writes a conditionNetwork.
    """
    condition = conditionNetwork if conditionVar else None
    limited = isinstance(maxLoopIterations, Tensor) or maxLoopIterations > 0 or condition is None
    limit = int(scalar(maxLoopIterations))
    iteration = 0
    while not limited or iteration < limit:
        if condition is not None and abs(scalar(condition()[conditionVar])) <= _FALSE:
            break
        iteration += 1
        check_iterations(iteration)
        try:
            if bodyNetwork is not None:
                bodyNetwork()
        except LoopContinue:
            continue
        except LoopBreak:
            break
    return ()


@layers.op
def loopBreak() -> tuple[()]:
    raise LoopBreak


@layers.op
def loopContinue() -> tuple[()]:
    raise LoopContinue
