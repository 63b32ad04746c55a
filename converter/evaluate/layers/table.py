"""The table of NeuralNetwork layers, and of the messages inside them.

A layer is a function named as its field of NeuralNetworkLayer's oneof; its parameters are the layer's inputs, then its
message's fields. Where an input may stand for a field (`topK`'s K), both are one parameter, and the input wins. A
message inside a layer's message becomes a Python value through the function of its name. Enumerations arrive as their
names, repeated fields as tuples, WeightParams as `Weights`, a nested network as a `Block`. Every tensor is float32.

Source: NeuralNetwork.proto, https://apple.github.io/coremltools/mlmodel/Format/NeuralNetwork.html
"""

from collections.abc import Callable

from torch import Tensor

from converter.registry import Table


class Leaving(Exception):  # noqa: N818
    """No error: an iteration of the innermost loop ends here."""


layers = Table("NeuralNetwork")
messages = Table("NeuralNetwork messages")

Function = Callable[[Tensor], Tensor]


def integers(values: Tensor) -> list[int]:
    """A shape, axes or indices, which NeuralNetwork passes as floats."""
    return [int(value) for value in values.flatten().tolist()]


def scalar(value: Tensor | float) -> float:
    """A number that is an input (of one element) or a field."""
    return float(value.item()) if isinstance(value, Tensor) else float(value)
