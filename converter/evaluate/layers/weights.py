"""A layer's numbers: WeightParams as torch tensors."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch

from converter.errors import EvaluationError
from converter.evaluate.mapped import Mapped
from converter.evaluate.skeleton import places


class Weights:
    """WeightParams, converted to float32 once; the layer says the shape, and the count must fit it exactly.

    `file` is that which large weights were left in; what they are made of is read, and its memory given back.
    """

    def __init__(self, message: Any, file: Mapped | None = None) -> None:
        self._message = message
        self._file = file
        self._places = places(message) if file else ()
        self._shapes: dict[tuple[int, ...], torch.Tensor] = {}

    def shaped(self, *shape: int, channel_axis: int = 0) -> torch.Tensor:
        """The numbers in row-major order; `channel_axis` is the one that linear quantisation scales.

        Raises EvaluationError if their count differs from the shape's.
        """
        if self._form in ("rawValue", "int8RawValue"):
            return self._dequantised(shape, channel_axis)
        if self._stored.numel() != math.prod(shape):
            raise EvaluationError(_miscounted(self._stored.numel(), shape), fix=_FIX)
        return self._stored.view(shape)

    def read(self) -> None:
        """Convert now what needs no shape; between a run's large values, small ones that stay would leave holes."""
        _ = self.count

    @property
    def count(self) -> int | None:
        """How many numbers there are; None where quantisation packs them and the layer alone knows."""
        return None if self._form in ("rawValue", "int8RawValue") else self._stored.numel()

    @cached_property
    def _form(self) -> str:
        """The field that holds the numbers; a quantization without rawValue, which coremltools leaves, says nothing."""
        message = self._message
        forms = [
            name for name in ("floatValue", "float16Value", "rawValue", "int8RawValue") if len(getattr(message, name))
        ] + [place.form for place in self._places]
        if len(forms) > 1:
            raise EvaluationError(f"weights are stored twice: {' and '.join(forms)}", fix=_FIX)
        return forms[0] if forms else "floatValue"

    @cached_property
    def _stored(self) -> torch.Tensor:
        if self._form == "floatValue" and not self._places:
            return torch.from_numpy(np.array(self._message.floatValue, np.float32))
        with self._content() as content:
            if self._form == "float16Value" and content.size % 2:
                raise EvaluationError("float16 weights have an odd number of bytes", fix=_FIX)
            return torch.from_numpy(content.view("<f2" if self._form == "float16Value" else "<f4").astype(np.float32))

    def _dequantised(self, shape: tuple[int, ...], channel_axis: int) -> torch.Tensor:
        if shape not in self._shapes:
            with self._content() as content:
                self._shapes[shape] = _dequantise(self._message, content, shape, channel_axis)
        return self._shapes[shape]

    @contextmanager
    def _content(self) -> Iterator[np.ndarray]:
        """The bytes that the numbers are made of (uint8 [size])."""
        if not self._places or self._file is None:
            yield np.frombuffer(getattr(self._message, self._form), np.uint8)
            return
        (place,) = self._places
        content = self._file.content[place.start : place.start + place.size_bytes]
        yield content
        self._file.release(content.ctypes.data, content.nbytes)


_FIX = "the file is damaged or was written wrongly: convert the model again"


def _miscounted(count: int, shape: tuple[int, ...]) -> str:
    return f"the weights hold {count} values, the layer needs {math.prod(shape)} (shape {list(shape)})"


def _dequantise(message: Any, stored: np.ndarray, shape: tuple[int, ...], channel_axis: int) -> torch.Tensor:
    """Linear: q × scale + bias, one scale or one for each channel; or q looked up in a table of 2^bits numbers."""
    quantization = message.quantization
    bits, count = quantization.numberOfBits, math.prod(shape)
    if message.int8RawValue:
        raise EvaluationError("int8RawValue (dynamic quantisation) is not supported here")
    if not 1 <= bits <= 8:
        raise EvaluationError(f"weights are quantised to {bits} bits; Core ML knows 1 to 8", fix=_FIX)
    if stored.size != math.ceil(count * bits / 8):
        raise EvaluationError(
            f"the weights hold {stored.size} bytes, {count} values (shape {list(shape)}) of {bits} bits "
            f"need {math.ceil(count * bits / 8)}",
            fix=_FIX,
        )
    if bits < 8:
        unpacked = np.unpackbits(stored)[: count * bits].reshape(count, bits)
        stored = unpacked @ (1 << np.arange(bits - 1, -1, -1)).astype(np.uint8)
    values = stored.reshape(shape)
    if quantization.WhichOneof("QuantizationType") == "lookupTableQuantization":
        table = np.array(quantization.lookupTableQuantization.floatValue, np.float32)
        if len(table) != 1 << bits:
            raise EvaluationError(
                f"a look-up table of {len(table)} values for {bits} bits; {1 << bits} needed", fix=_FIX
            )
        return torch.from_numpy(table[values])
    channels = [1] * len(shape)
    channels[channel_axis] = -1
    terms = []
    for name in ("scale", "bias"):
        term = np.array(getattr(quantization.linearQuantization, name), np.float32)
        if len(term) not in (1, shape[channel_axis]) and not (name == "bias" and len(term) == 0):
            raise EvaluationError(
                f"{len(term)} quantisation {name} values for {shape[channel_axis]} channels; one or one each needed",
                fix=_FIX,
            )
        terms.append(term.reshape(channels) if len(term) else np.float32(0))
    return torch.from_numpy(values.astype(np.float32) * terms[0] + terms[1])
