"""https://onnx.ai/onnx/operators, chapter controlflow: what `unroll` leaves to the running model."""

from collections.abc import Callable

import numpy as np

from converter.convert.onnx.builder import (
    Body,
    NotConstant,
    Operand,
    OutputCount,
    Unsupported,
    Var,
    const,
    dtype_name,
    is_var,
    mb,
)
from converter.convert.onnx.ops.tables import ai_onnx

op = ai_onnx.op


@op
def If(cond: Var, *, else_branch: Body, then_branch: Body) -> tuple[Var, ...]:
    """Core ML asks for branches that give the same types; where they do not, only a known condition helps."""
    kinds: list[list[tuple[object, ...]]] = []

    def block(branch: Body) -> Callable[[], list[Var]]:
        def build() -> list[Var]:
            outputs = branch()
            kinds.append([(dtype_name(x), *x.shape) for x in outputs])
            if kinds[0] != kinds[-1]:
                raise NotConstant("cond")
            return outputs

        return build

    results = mb.cond(pred=_scalar(cond), _true_fn=block(then_branch), _false_fn=block(else_branch))
    return tuple(results) if isinstance(results, list | tuple) else (results,)


@op
def Loop(M: Operand = None, cond: Operand = None, *v_initial: Var, body: Body, outputs: OutputCount) -> tuple[Var, ...]:
    """One whose end only the running model finds. What each round adds to a growing output must be counted before."""
    if outputs > len(v_initial):
        unknown = [name for name, value in (("M", M), ("cond", cond)) if is_var(value)]
        if unknown:
            raise NotConstant(*unknown)
        raise Unsupported("it adds to an output until a condition ends it; Core ML has no outputs that grow")
    count = None if M is None else _scalar(M) if is_var(M) else int(M.reshape(-1)[0])
    go_on = _scalar(cond) if is_var(cond) else const(np.array(cond is None or bool(cond.reshape(-1)[0])))

    def goes_on(index: Var, go_on: Var, *states: Var) -> Var:
        return go_on if count is None else mb.logical_and(x=go_on, y=mb.less(x=index, y=count))

    def round_(index: Var, go_on: Var, *states: Var) -> list[Var]:
        again, *after = body(index, go_on, *states)
        return [mb.add(x=index, y=1), again, *after]

    start = const(np.array(0, np.int32))
    _, _, *states = mb.while_loop(_cond=goes_on, _body=round_, loop_vars=(start, go_on, *v_initial))
    return tuple(states)


def _scalar(x: Var) -> Var:
    """ONNX takes a vector of one for a scalar."""
    return mb.squeeze(x=x, axes=list(range(len(x.shape)))) if x.shape else x
