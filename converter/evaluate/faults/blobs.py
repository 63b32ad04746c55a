"""The weight file: every blob is read where it belongs, and its numbers are numbers."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.faults.fault import Faults
from converter.evaluate.mil.reader import Body, Constant, Name
from converter.evaluate.mil.types import TensorType, value_type

# Parameters that hold what was learned (or how it is stored): infinity has no business there. Elsewhere it may stand on
# purpose, as in a mask of attention.
_LEARNED = {"weight", "bias", "weight_ih", "weight_hh", "gamma", "beta", "mean", "variance", "alpha", "lut", "scale"}
_LEARNED |= {"nonzero_data", "zero_point", "offset", "weight_ih_back", "weight_hh_back", "bias_back"}
_BOUNDS = {"clip", "threshold"}  # their alpha and beta are bounds, which may be infinite
_ALIGNMENT = 64  # of blobs, and the size of what stands before each
# unsigned view and the bits of the exponent, which are all set in NaN and infinity
_EXPONENTS = {"fp16": ("<u2", "<f2", 0x7C00), "fp32": ("<u4", "<f4", 0x7F800000)}
_CHUNK = 1 << 22


def check_blobs(functions: Sequence[tuple[str, Body]], weights: Weights, faults: Faults) -> None:
    """Add NaN and infinite weights, and constants that read one another's blob while a blob lies unread."""
    readers: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for function, body in functions:
        learned = set(_learned(body))
        for name, constant, is_argument in _constants(body):
            is_learned = is_argument or name in learned
            here = faults.at(function=function, op="const", name=name)
            message = constant.message
            if message.WhichOneof("value") == "blobFileValue":
                place = (message.blobFileValue.fileName, message.blobFileValue.offset)
                if place not in readers:
                    _check_numbers(constant, is_learned, here)
                readers.setdefault(place, []).append((function, name))
            elif is_learned:
                _check_numbers(constant, is_learned, here)
    _check_shared(readers, weights, faults)


def _check_numbers(constant: Constant, is_learned: bool, faults: Faults) -> None:
    kind = value_type(constant.message.type)
    if not isinstance(kind, TensorType) or kind.data_type.name not in _EXPONENTS:
        return
    unsigned, floating, exponent = _EXPONENTS[kind.data_type.name]
    try:
        content = _content(constant)
    except EvaluationError:  # said where the constant was read
        return
    nan = infinite = 0
    size = _CHUNK * np.dtype(unsigned).itemsize
    for start in range(0, content.size, size):
        chunk = content[start : start + size]
        chunk = chunk[: chunk.size // np.dtype(unsigned).itemsize * np.dtype(unsigned).itemsize]
        if ((chunk.view(unsigned) & exponent) == exponent).any():
            values = chunk.view(floating)
            nan += int(np.isnan(values).sum())
            infinite += int(np.isinf(values).sum())
    if nan:
        faults.add(f"holds {nan} NaN", fix="train or export the model again: its weights are damaged")
    if infinite and is_learned:
        faults.add(f"holds {infinite} infinite numbers", fix="convert with float32, or scale the weights down")


def _content(constant: Constant) -> np.ndarray:
    message = constant.message
    if message.WhichOneof("value") == "blobFileValue":
        return constant.weights.read(message.blobFileValue.fileName, message.blobFileValue.offset)[1]
    value = constant.value()
    if not isinstance(value, torch.Tensor):
        return np.empty(0, np.uint8)
    return np.frombuffer(value.contiguous().numpy().tobytes(), np.uint8)


def _check_shared(readers: dict[tuple[str, int], list[tuple[str, str]]], weights: Weights, faults: Faults) -> None:
    """Two constants of a function that share a blob are harmless, unless there is one that nobody reads."""
    for file_name in sorted({file for file, _ in readers}):
        read = {offset for file, offset in readers if file == file_name}
        unread = [offset for offset in _offsets(weights, file_name) if offset not in read]
        for (file, offset), names in sorted(readers.items()):
            own = [name for function, name in names if function == names[0][0]]
            if file == file_name and len(own) > 1 and unread:
                faults.at(function=names[0][0], op="const", name=own[-1]).add(
                    f"reads the blob of {own[0]!r} at offset {offset}, while the blob at {unread[0]} is read by nothing"
                )


def _offsets(weights: Weights, file_name: str) -> Iterator[int]:
    """Where the blobs of a file stand, one after the other, as far as they can be read."""
    offset = _ALIGNMENT
    while True:
        try:
            _, content = weights.read(file_name, offset)
        except EvaluationError:
            return
        yield offset
        offset = -(-(offset + _ALIGNMENT + content.size) // _ALIGNMENT) * _ALIGNMENT


def _constants(body: Body) -> Iterator[tuple[str, Constant, bool]]:
    """Every constant: its name or its operation's, and whether it stands as a learned parameter itself."""
    for name, constant in body.constants.items():
        yield name, constant, False
    for step in body.steps:
        for parameter, binding in step.arguments.items():
            is_learned = parameter in _LEARNED and step.op_type not in _BOUNDS
            yield from ((step.name, a, is_learned) for a in binding if isinstance(a, Constant))
        for nested in step.bodies:
            yield from _constants(nested)


def _learned(body: Body) -> Iterator[str]:
    """The names that stand as learned parameters."""
    for step in body.steps:
        if step.op_type not in _BOUNDS:
            for parameter in _LEARNED & set(step.arguments):
                yield from (a.name for a in step.arguments[parameter] if isinstance(a, Name))
        for nested in step.bodies:
            yield from _learned(nested)
