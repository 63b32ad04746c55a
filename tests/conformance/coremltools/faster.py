"""What takes coremltools most of a test's time, done with less: a pytest plugin that changes no result."""

import numpy as np
from coremltools.converters.mil.mil.block import Block
from coremltools.converters.mil.mil.passes.defs.optimize_repeat_ops import reduce_transposes
from coremltools.converters.mil.mil.passes.defs.quantization import AbstractQuantizationPass


def _operations(block):
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)


def _outermost(block):
    while block.outer_op is not None and block.outer_op.enclosing_block is not None:
        block = block.outer_op.enclosing_block
    return block


def _follow_where_there_is_something():
    """Compressed weights are followed to their users after each pass, through all of a program that has none."""
    follow = Block._propagate_nonreplaceable_vars

    def propagate(self):
        whole = _outermost(self)
        if not getattr(whole, "is_compressed", False):
            whole.is_compressed = any(o.op_type.startswith("constexpr_") for o in _operations(whole))
        if whole.is_compressed:
            follow(self)

    Block._propagate_nonreplaceable_vars = propagate


def _move_transposes_where_there_are_any():
    reduce = reduce_transposes.apply

    def apply(self, prog):
        if any(o.op_type == "transpose" for function in prog.functions.values() for o in _operations(function)):
            reduce(self, prog)

    reduce_transposes.apply = apply


def _compare_with_zero_directly():
    """numpy's isclose(value, 0) is abs(value) <= atol, by ten calls."""
    close = AbstractQuantizationPass._close_to_zero.__func__

    def close_to_zero(cls, val, np_type):
        if np_type not in cls.type_min:
            return close(cls, val, np_type)
        return np.abs(val) <= cls.type_min[np_type]

    AbstractQuantizationPass._close_to_zero = classmethod(close_to_zero)


_follow_where_there_is_something()
_move_transposes_where_there_are_any()
_compare_with_zero_directly()
