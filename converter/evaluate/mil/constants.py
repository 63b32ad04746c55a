"""What a program's constants are while it runs: decoded once, at the precision that is computed in."""

from functools import cached_property
from typing import Any

import torch

from converter.evaluate.mil.reader import Constant
from converter.model import Precision


class Kept:
    """A value of the file. In float32, what the file holds in fp16 is widened when it is first used, and stays so.

    A float32 blob is a view of the mapped file. In float16 an fp16 blob is one too, which the kernels widen each time.
    """

    def __init__(self, constant: Constant, compute: Precision) -> None:
        self._constant = constant
        self._compute = compute

    @cached_property
    def value(self) -> Any:
        value = self._constant.value()
        if self._compute == "float16" or not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        wide = value.float()
        if wide is not value:
            self.release(value)
        return wide

    @property
    def stored(self) -> Any:
        """The value as the file has it, decoded anew."""
        return self._constant.value()

    def release(self, value: Any) -> None:
        """Give back the memory that holds the part of the file which was decoded to `value`."""
        if isinstance(value, torch.Tensor):
            self._constant.weights.release(value.data_ptr(), value.nbytes)
