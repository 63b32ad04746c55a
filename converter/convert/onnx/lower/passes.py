"""The passes of coremltools that a lowered program still needs, in coremltools' order.

The frontend emits final operations; these find what only neighbours show: x @ w + b, the five operations of a gelu, a
zero added, reshapes and transposes that undo each other.
"""

from typing import Any

_REDUCE_TRANSPOSES = "common::reduce_transposes"
PASSES = (
    "common::noop_elimination",
    "common::fuse_linear_bias",
    "common::fuse_gelu_exact",
    "common::fuse_gelu_tanh_approximation",
    "common::merge_consecutive_reshapes",
    _REDUCE_TRANSPOSES,
    "common::dead_code_elimination",
)


def passes_for(program: Any) -> list[str]:
    """All of them, but for the search for transposes that undo each other, by far the slowest, where none can meet."""
    meet = any(_transposes_meet(function) for function in program.functions.values())
    return [name for name in PASSES if name != _REDUCE_TRANSPOSES or meet]


def _transposes_meet(block: Any) -> bool:
    """Whether a transpose reaches another one through operations that transposes can be moved across."""
    from coremltools.converters.mil.mil.passes.defs.optimize_repeat_ops import _TransposeOptimization

    crossed = {*_TransposeOptimization._UNARY_LIKE_OP_TYPES, *_TransposeOptimization._AXIS_UPDATE_OPS}
    waiting, seen = [], set()
    for operation in _operations(block):
        if operation.op_type == "transpose":
            waiting += operation.outputs
    while waiting:
        for user in waiting.pop().child_ops:
            if user.op_type == "transpose":
                return True
            if user.op_type in crossed and user not in seen:
                seen.add(user)
                waiting += user.outputs
    return False


def _operations(block: Any) -> Any:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)
