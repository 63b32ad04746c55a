"""A network's specification without its large weights, which stay in the file until a layer uses them.

protobuf would copy a network of 500 MB twice to parse it. So the bytes of large weights are cut out before, and a field
that the format does not have says where they stand. Wire format: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet

from converter.evaluate.proto import Model_pb2

LARGE_BYTES = 1 << 16
_WEIGHTS = "CoreML.Specification.WeightParams"
_FORMS = ("floatValue", "float16Value", "rawValue", "int8RawValue")
_PLACE = struct.Struct("<IQQ")  # number of the field, first byte, count of bytes
_PLACE_FIELD = (1 << 29) - 1  # the largest number there is
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 100  # protobuf's own


class Place(NamedTuple):
    """Where weights stand in the file: the name of their field, their first byte and their size."""

    form: str
    start: int
    size_bytes: int


class _UnusualError(Exception):
    """The bytes are not as protobuf writes them: they are left for protobuf to judge."""


def skeleton(content: memoryview) -> bytes | None:
    """A Model message without its large weights; None where nothing could be left out."""
    try:
        return _without_weights(content, 0, len(content), Model_pb2.Model.DESCRIPTOR, 0)
    except _UnusualError:
        return None


def places(weights: Any) -> tuple[Place, ...]:
    """Where the numbers of a WeightParams message of a skeleton stand."""
    fields = [bytes(field.data) for field in UnknownFieldSet(weights) if field.field_number == _PLACE_FIELD]
    return tuple(
        Place(weights.DESCRIPTOR.fields_by_number[number].name, start, size)
        for number, start, size in map(_PLACE.unpack, fields)
    )


def _without_weights(content: memoryview, start: int, end: int, message: Any, depth: int) -> bytes | None:
    """The bytes of the message, None if they are just as they stand."""
    if depth > _MAX_DEPTH:
        raise _UnusualError
    parts: list[bytes | memoryview] = []
    copied = start
    for number, key, first, after in _fields(content, start, end):
        if message.full_name == _WEIGHTS:
            if number == _PLACE_FIELD:
                raise _UnusualError
            new = _place(number, first, after) if number in _payloads() and after - first >= LARGE_BYTES else None
        elif number in _leading(message):
            inner = _without_weights(content, first, after, message.fields_by_number[number].message_type, depth + 1)
            new = None if inner is None else _field(number, inner)
        else:
            continue
        if new is not None:
            parts += [content[copied:key], new]
            copied = after
    return b"".join([*parts, content[copied:end]]) if parts else None


def _place(number: int, first: int, after: int) -> bytes:
    if number == 1 and (after - first) % 4:  # floats
        raise _UnusualError
    return _field(_PLACE_FIELD, _PLACE.pack(number, first, after - first))


def _fields(content: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of each field of bytes: its number, where its key stands, and where its content begins and ends."""
    while at < end:
        key_at = at
        key, at = _varint(content, at, end)
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            size, at = _varint(content, at, end)
            if at + size > end:
                raise _UnusualError
            yield number, key_at, at, at + size
            at += size
        elif kind == _VARINT:
            _, at = _varint(content, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise _UnusualError
    if at != end:
        raise _UnusualError


def _varint(content: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _UnusualError


def _field(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


@cache
def _payloads() -> frozenset[int]:
    fields = Model_pb2.DESCRIPTOR.pool.FindMessageTypeByName(_WEIGHTS).fields_by_name
    return frozenset(fields[form].number for form in _FORMS)


@cache
def _leading(message: Any) -> frozenset[int]:
    """The numbers of the fields through which a message leads to weights."""
    return frozenset(f.number for f in message.fields if _leads(f, frozenset()))


def _leads(field: Any, passed: frozenset[str]) -> bool:
    if field.type != FieldDescriptor.TYPE_MESSAGE or field.message_type.full_name in passed:
        return False
    inner = field.message_type
    passed |= {inner.full_name}
    return inner.full_name == _WEIGHTS or any(_leads(f, passed) for f in inner.fields)
