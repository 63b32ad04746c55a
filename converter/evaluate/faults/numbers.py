"""A layer's weights are numbers."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from converter.evaluate.faults.fault import Faults

# Their numbers are constants, where infinity may stand on purpose.
_CONSTANTS = {"loadConstant", "loadConstantND"}


def check_numbers(layer: Any, kind: str, faults: Faults) -> None:
    """Add a fault for each of the layer's weights that holds NaN or infinity; nested networks are looked at later."""
    params = getattr(layer, kind)
    for field, value in params.ListFields():
        if isinstance(value, float) and math.isnan(value):
            faults.add(f"its {field.name} is NaN")
    for field, weights in _weights(params, ""):
        values = _values(weights)
        # the extremes are NaN where there is one; a mask of all values would take as much memory as they
        if not values.size or (np.isfinite(values.max()) and np.isfinite(values.min())):
            continue
        nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
        if nan:
            faults.add(f"its {field} holds {nan} NaN", fix="train or export the model again: its weights are damaged")
        if infinite and kind not in _CONSTANTS:
            faults.add(f"its {field} holds {infinite} infinite numbers", fix="scale the weights down, or convert again")


def _weights(message: Any, name: str) -> Iterator[tuple[str, Any]]:
    if message.DESCRIPTOR.name == "WeightParams":
        yield name, message
        return
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE or field.message_type.name == "NeuralNetwork":
            continue
        for item in value if field.is_repeated else [value]:
            yield from _weights(item, field.name)


def _values(weights: Any) -> np.ndarray:
    """The stored floats: the weights themselves, or what quantised ones are made of."""
    if weights.floatValue:
        return np.array(weights.floatValue, np.float32)
    if weights.float16Value:
        return np.frombuffer(weights.float16Value[: len(weights.float16Value) // 2 * 2], "<f2")
    parts = weights.quantization
    linear, table = parts.linearQuantization, parts.lookupTableQuantization
    return np.array([*linear.scale, *linear.bias, *table.floatValue], np.float32)
