"""NeuralNetwork layers, run with torch: chapters follow the headings of NeuralNetwork.proto."""

from converter.evaluate.layers import (  # noqa: F401  # each declares its layers
    activation,
    allocation,
    broadcasting,
    control,
    convolution,
    distributions,
    elementwise,
    gathering,
    geometry,
    image,
    linear,
    normalization,
    pooling,
    recurrent,
    reduction,
    reorganization,
    selection,
    tensor,
)
from converter.evaluate.layers.network import Network
from converter.evaluate.layers.table import layers

__all__ = ["Network", "layers"]
