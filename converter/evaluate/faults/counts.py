"""How many numbers a layer's weights hold, and how many channels its input has."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from converter.evaluate.faults.fault import Faults
from converter.evaluate.layers.network import Layer

# Elements of what is made up here, inputs and weights; beyond, layers stay unchecked.
LARGEST = 1 << 27


def repaired(kind: str, params: Any, faults: Faults) -> Any | None:
    """The layer's message, with zeros for weights whose count is wrong, which is said; so what follows is checked.

    None where as many zeros would not do: the count that the layer asks for is beyond all reason.
    """
    wrong = {}
    for field, wanted in _wanted(kind, params).items():
        problem = _miscounted(getattr(params, field), wanted)
        if problem:
            faults.add(f"its {field} {problem}, the layer needs {wanted}")
            wrong[field] = wanted
    if not wrong:
        return params
    if max(wrong.values()) > LARGEST // 8 or min(wrong.values()) < 0:
        return None
    copy = type(params)()
    copy.CopyFrom(params)
    for field, wanted in wrong.items():
        getattr(copy, field).Clear()
        getattr(copy, field).floatValue.extend([0.0] * wanted)
    return copy


def asked_channels(layer: Layer) -> int | None:
    """How many channels the layer's weights are for; None for a layer without such weights."""
    fields: Mapping[str, Any] = layer.fields
    if layer.kind == "convolution" and len(layer.inputs) == 1:
        channels: int = fields.get("kernelChannels", 0)
        return channels if fields.get("isDeconvolution") else channels * fields.get("nGroups", 1)
    if layer.kind == "innerProduct":
        return int(fields.get("inputChannels", 0))
    return int(fields.get("channels", 0)) if layer.kind == "batchnorm" else None


def channels(layer: Layer, x: Tensor) -> int | None:
    """How many channels `x` has for this layer; None where its rank does not fit, which the layer itself says."""
    if layer.kind == "innerProduct":
        return (x.shape[-1] if x.dim() <= 3 else math.prod(x.shape[-3:])) if x.dim() else None
    return x.shape[-3] if x.dim() >= 3 else None


def with_channels(layer: Layer, x: Tensor, count: int) -> Tensor:
    """A tensor like `x` that has as many channels as the layer asks for."""
    if layer.kind == "innerProduct":
        return x.new_zeros((*x.shape[:-1], count) if x.dim() <= 3 else (*x.shape[:-3], count, 1, 1))
    return x.new_zeros((*x.shape[:-3], count, *x.shape[-2:]))


def _wanted(kind: str, params: Any) -> dict[str, int]:
    """Field -> how many numbers it must hold, where the message alone says that."""
    if kind == "convolution":
        if not params.HasField("weights"):  # they are an input
            return {}
        size = math.prod(params.kernelSize or (3, 3))
        groups = max(params.nGroups, 1)
        kernels = params.outputChannels // groups if params.isDeconvolution else params.outputChannels
        wanted = {"weights": kernels * params.kernelChannels * size}
        return wanted | ({"bias": params.outputChannels} if params.hasBias else {})
    if kind == "innerProduct":
        wanted = {"weights": params.inputChannels * params.outputChannels}
        return wanted | ({"bias": params.outputChannels} if params.hasBias else {})
    if kind == "batchnorm":
        needed = ["gamma", "beta"] + ([] if params.computeMeanVar else ["mean", "variance"])
        return dict.fromkeys(needed, params.channels)
    if kind == "bias":
        return {"bias": math.prod(params.shape)}
    if kind == "scale":
        wanted = {"scale": math.prod(params.shapeScale)}
        return wanted | ({"bias": math.prod(params.shapeBias)} if params.hasBias else {})
    if kind in ("loadConstant", "loadConstantND"):
        return {"data": math.prod(params.shape)}
    return {}


def _miscounted(weights: Any, wanted: int) -> str:
    """What is wrong with a WeightParams that must hold so many numbers, in words."""
    if weights.rawValue:
        bits = weights.quantization.numberOfBits
        needed = math.ceil(wanted * bits / 8)
        return f"holds {len(weights.rawValue)} bytes of {bits} bits" if len(weights.rawValue) != needed else ""
    if weights.float16Value:
        count = len(weights.float16Value) / 2
    else:
        count = len(weights.int8RawValue) or len(weights.floatValue)
    return f"holds {count:g} numbers" if count != wanted else ""
