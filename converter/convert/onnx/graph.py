"""What `prepare` hands to `lower`: a checked, typed graph without local functions and without foldable nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Dim = int | str | None  # a size, a flexible size by name, or unknown


@dataclass(frozen=True)
class TensorType:
    """An element type (numpy's name, or ONNX's where numpy has none) and a shape, None where the rank is unknown."""

    dtype: str
    shape: tuple[Dim, ...] | None


@dataclass(frozen=True)
class Node:
    """One operator call; an input that is left out is ''. Attributes are Python values, strings decoded."""

    op_type: str
    domain: str  # '' is ai.onnx
    opset: int  # of its domain
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        op = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f'node "{self.name or self.outputs[0]}" ({op}, opset {self.opset})'


@dataclass(frozen=True)
class Graph:
    """A model: nodes in topological order, every constant by name, and the types that ONNX infers.

    `inputs` excludes initializers. `outputs` are values, `output_names` what the model calls them. `types` lacks a
    value whose type ONNX cannot tell.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    types: Mapping[str, TensorType]
