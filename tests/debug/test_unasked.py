"""What a record keeps of a comparison."""

import pytest

from converter.debug.unasked import SHOWN_OPS, shortened
from converter.model import ComparedOp, Divergence


def compared(count: int, first: int | None) -> Divergence:
    ops = tuple(
        ComparedOp(op_type="add", name=f"op_{n}", source="", psnr_db=90.0 - n % 7, max_abs_error=0, peak=1)
        for n in range(count)
    )
    return Divergence(model="net", file="net.mlpackage", sample="s", limit_db=35, ops=ops, first=first)


@pytest.mark.parametrize("first", [0, 123, 999, None])
def test_of_many_values_the_worst_of_neighbours_and_the_first_that_differs_are_kept(first):
    found = shortened(compared(1000, first))
    names = [op.name for op in found.ops]
    assert len(names) in (SHOWN_OPS, SHOWN_OPS + 1)
    assert names == sorted(names, key=lambda name: int(name[3:]))
    if first is not None:
        assert found.ops[found.first].name == f"op_{first}"
    assert {op.psnr_db for op in found.ops if op.name != f"op_{first}"} <= {84.0, 85.0}  # of 6 or 7 neighbours


def test_few_values_are_all_kept():
    assert shortened(compared(SHOWN_OPS, 3)) == compared(SHOWN_OPS, 3)
