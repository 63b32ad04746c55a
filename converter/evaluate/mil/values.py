"""Values that a program holds: literals in its text, and blobs in its weight file."""

import math
from typing import Any

import numpy as np
import torch

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.mil.types import DataType, TensorType, value_type

_NUMPY = {
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.bool: np.bool_,
}


def decode(value: Any, weights: Weights) -> Any:
    """A Value message as a tensor, a str, a list or a dict. Blobs are views of the mapped file."""
    kind = value_type(value.type)
    which = value.WhichOneof("value")
    if which == "blobFileValue":
        if not isinstance(kind, TensorType):
            raise EvaluationError(f"a {kind} stands in the weight file")
        return _blob(kind, *weights.read(value.blobFileValue.fileName, value.blobFileValue.offset))
    literal = value.immediateValue
    form = literal.WhichOneof("value") if which == "immediateValue" else None
    if form == "list":
        return [decode(item, weights) for item in literal.list.values]
    if form == "tuple":
        return [decode(item, weights) for item in literal.tuple.values]
    if form == "dictionary":
        return {decode(p.key, weights): decode(p.value, weights) for p in literal.dictionary.values}
    if form == "tensor" and isinstance(kind, TensorType):
        return _literal(kind, literal.tensor)
    raise EvaluationError(f"a value of type {kind} is empty")


def _literal(kind: TensorType, tensor: Any) -> Any:
    field = tensor.WhichOneof("value")
    if field is None:
        raise EvaluationError(f"a value of type {kind} is empty")
    content = getattr(tensor, field).values
    if kind.data_type.kind == "string":
        return content[0] if kind.shape == () and len(content) == 1 else list(content)
    if field == "bytes":
        return _blob(kind, None, np.frombuffer(content, np.uint8).copy())
    if field == "strings" or len(content) != _count(kind):
        raise EvaluationError(f"a value of type {kind} holds {len(content)} {field}")
    exact = np.float64 if kind.data_type.kind == "float" else np.int64
    return kind.data_type.fit(torch.from_numpy(np.array(content, exact))).reshape(_static(kind))


def _blob(kind: TensorType, stored: str | None, content: np.ndarray) -> torch.Tensor:
    data_type, count = kind.data_type, _count(kind)
    if stored is not None and stored != _proto_name(data_type):
        raise EvaluationError(f"a value of type {kind} is stored as {stored}")
    if content.size != math.ceil(count * data_type.bits / 8):
        raise EvaluationError(f"a value of type {kind} is stored in {content.size} bytes")
    if data_type.bits < 8:
        return torch.from_numpy(_unpack(content, count, data_type)).reshape(_static(kind))
    if data_type.carrier is None:
        raise EvaluationError(f"a value of type {kind} cannot be stored in bytes")
    if not data_type.signed and data_type.bits > 8:
        wide: np.ndarray = content.view(f"<u{data_type.bits // 8}").astype(_NUMPY[data_type.carrier])
        return torch.from_numpy(wide).reshape(_static(kind))
    if data_type.carrier in _NUMPY:
        return torch.from_numpy(content.view(_NUMPY[data_type.carrier])).reshape(_static(kind))
    return torch.from_numpy(content).view(data_type.carrier).reshape(_static(kind))


def _unpack(content: np.ndarray, count: int, data_type: DataType) -> np.ndarray:
    """Elements of fewer than 8 bits, packed one after the other, lowest bit first."""
    bits = np.unpackbits(content, bitorder="little")[: count * data_type.bits].reshape(count, data_type.bits)
    values: np.ndarray = (bits << np.arange(data_type.bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    if not data_type.signed:
        return values
    half = 1 << (data_type.bits - 1)
    signed: np.ndarray = ((values.astype(np.int16) ^ half) - half).astype(np.int8)
    return signed


def _proto_name(data_type: DataType) -> str:
    return {"fp": "FLOAT", "bf": "BFLOAT"}.get(data_type.name[:2], "") + (
        data_type.name[2:] if data_type.name[:2] in ("fp", "bf") else data_type.name
    ).upper()


def _static(kind: TensorType) -> tuple[int, ...]:
    if kind.shape is None or None in kind.shape:
        raise EvaluationError(f"a value has the type {kind}, whose size is not known")
    return tuple(d for d in kind.shape if d is not None)


def _count(kind: TensorType) -> int:
    return math.prod(_static(kind))
