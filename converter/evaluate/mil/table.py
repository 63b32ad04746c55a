"""The table of MIL ops. `gather` counts from the first opset on, `gather_17` from iOS17 on.

An op takes its inputs as their annotation asks: `torch.Tensor` gets floats in float32 (the walker rounds the result),
`int`, `float`, `bool`, `str` and `Sequence[int]` get Python's values, `Sequence[torch.Tensor]` a list, `Block` a nested
block, and `Any` the value as it stands. See coremltools/converters/mil/mil/ops/defs for the standard.
"""

from collections.abc import Callable
from typing import Any

from converter.registry import Table

ops = Table("MIL")

Block = Callable[..., list[Any]]
