"""What `prepare` hands to `lower`: a checked, typed graph without local functions and without foldable nodes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
    """One operator call; an input that is left out is ''.

    Attributes are Python values: strings decoded, graphs as Subgraph. `refusal` is why it cannot be lowered, where that
    showed before, and `needs` are the values that would have to be known at conversion.
    """

    op_type: str
    domain: str  # '' is ai.onnx
    opset: int  # of its domain
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    refusal: str = ""
    needs: tuple[str, ...] = ()

    @property
    def subgraphs(self) -> tuple["Subgraph", ...]:
        return tuple(value for value in self.attributes.values() if isinstance(value, Subgraph))

    @property
    def uses(self) -> tuple[str, ...]:
        """Every value that must be there before: its inputs, and what its subgraphs take from around them."""
        return (*self.inputs, *(name for graph in self.subgraphs for name in graph.captured))

    def __str__(self) -> str:
        op = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f'node "{self.name or self.outputs[0]}" ({op}, opset {self.opset})'


@dataclass(frozen=True)
class Subgraph:
    """The branch of an If or the body of a Loop. Its names are the whole model's own: none occurs twice."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]

    @property
    def captured(self) -> tuple[str, ...]:
        """The values of the graph around it, constants too, that it uses."""
        own = {*self.inputs, *(name for node in self.nodes for name in node.outputs), ""}
        used = (*(name for node in self.nodes for name in node.uses), *self.outputs)
        return tuple(dict.fromkeys(name for name in used if name not in own))


@dataclass(frozen=True)
class Graph:
    """A model: nodes in topological order, every constant by name, and the types that ONNX infers.

    `inputs` excludes initializers. `outputs` are values, `output_names` what the model calls them. `types` lacks a
    value whose type ONNX cannot tell. `sizes` are vectors that follow from the inputs' shapes alone: each element, None
    where it is flexible.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    types: Mapping[str, TensorType]
    sizes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)


def every(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, each followed by those of its subgraphs."""
    for node in nodes:
        yield node
        for graph in node.subgraphs:
            yield from every(graph.nodes)
