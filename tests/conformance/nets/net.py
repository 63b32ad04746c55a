"""A network and how it is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Sizes = tuple[int, int]  # batch and length


@dataclass(frozen=True)
class Net:
    """`make` gives the module and an example of each input by name: floats are drawn anew, integers below `below`.

    `flexible` names the dimensions of inputs (by input: axis to name), `shapes` bounds them as convert_onnx wants it,
    and `sizes` are what the net is tried at.
    """

    name: str
    group: str
    make: Callable[[], tuple[torch.nn.Module, Mapping[str, torch.Tensor]]]
    below: int = 2
    flexible: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    shapes: Mapping[str, Any] = field(default_factory=dict)
    sizes: Sequence[Mapping[str, int]] = ()
    exporters: Sequence[str] = ("torchscript", "dynamo")
