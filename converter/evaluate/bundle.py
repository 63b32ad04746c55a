"""A Core ML file on disk, .mlmodel or .mlpackage: its specification and its weights, mapped and not copied.

The blob storage (weight.bin, version 2) is a header of 64 bytes, then per blob 64 bytes of metadata (sentinel, data
type, size, offset) and the data: https://github.com/apple/coremltools/blob/main/mlmodel/src/MILBlob/Blob/StorageFormat.hpp
"""

import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from converter.errors import EvaluationError
from converter.evaluate.mapped import Mapped
from converter.evaluate.proto import Model_pb2
from converter.evaluate.skeleton import skeleton

_HEADER = struct.Struct("<II")
_METADATA = struct.Struct("<IIQQ")
_METADATA_BYTES = 64
_SENTINEL = 0xDEADBEEF
_WHOLE = "give a whole .mlmodel file or .mlpackage folder"
_LFS_POINTER = b"version https://git-lfs"
# BlobDataType of the storage format -> the name of the same type in MIL.proto
_BLOB_TYPES = {
    1: "FLOAT16",
    2: "FLOAT32",
    3: "UINT8",
    4: "INT8",
    5: "BFLOAT16",
    6: "INT16",
    7: "UINT16",
    8: "INT4",
    9: "UINT1",
    10: "UINT2",
    11: "UINT4",
    12: "UINT3",
    13: "UINT6",
    14: "INT32",
    15: "UINT32",
    16: "FLOAT8E4M3FN",
    17: "FLOAT8E5M2",
}


@dataclass(frozen=True)
class Weights:
    """The files that `@model_path/...` names, each mapped once; `root` is None where a model has none.

    `model` is the model's file itself, if a network's large weights were left in it.
    """

    root: Path | None
    model: Mapped | None = None
    _mapped: dict[str, Mapped] = field(default_factory=dict)

    def read(self, file_name: str, offset: int) -> tuple[str, np.ndarray]:
        """The blob whose metadata stands at `offset`: its type as MIL.proto spells it, and its bytes (uint8 [size])."""
        content = self._map(file_name)
        if offset % _METADATA_BYTES or offset + _METADATA_BYTES > content.size:
            raise _corrupt(file_name, f"no blob can stand at offset {offset} of {content.size} bytes")
        sentinel, kind, size_bytes, start = _METADATA.unpack_from(content.data, offset)
        if sentinel != _SENTINEL:
            raise _corrupt(file_name, f"no blob stands at offset {offset}")
        if kind not in _BLOB_TYPES:
            raise _corrupt(file_name, f"the blob at offset {offset} has the unknown data type {kind}")
        if start + size_bytes > content.size:
            raise _corrupt(
                file_name, f"the blob at offset {offset} ends at {start + size_bytes}, the file at {content.size}"
            )
        return _BLOB_TYPES[kind], content[start : start + size_bytes]

    def release(self, address: int, size_bytes: int) -> None:
        """Give back the memory of what was read there, if it is of one of these files; it can be read again."""
        for mapped in self._mapped.values():
            mapped.release(address, size_bytes)

    @property
    def size_bytes(self) -> int:
        folder = self.root / "weights" if self.root else None
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder and folder.is_dir() else 0

    def _map(self, file_name: str) -> np.ndarray:
        if file_name not in self._mapped:
            relative = Path(file_name.removeprefix("@model_path/"))
            if self.root is None:
                raise _corrupt(file_name, "the model names a weight file, but stands alone without a package")
            if relative.is_absolute() or ".." in relative.parts:
                raise _corrupt(file_name, "the weight file lies outside the package")
            try:
                if not (self.root / relative).is_file():  # a pipe would never end
                    raise _corrupt(file_name, "the weight file cannot be read (there is no such file)")
                mapped = Mapped(self.root / relative)
            except (OSError, ValueError) as error:  # ValueError: the file is empty
                raise _corrupt(file_name, f"the weight file cannot be read ({error})") from error
            if mapped.content.size < _METADATA_BYTES or _HEADER.unpack_from(mapped.content.data)[1] != 2:
                raise _corrupt(file_name, "the file is not a blob storage of version 2")
            self._mapped[file_name] = mapped
        return self._mapped[file_name].content


@dataclass(frozen=True)
class Bundle:
    """A model as read: `name` is for messages, `spec` a Model_pb2.Model, `size_bytes` the whole file's or folder's."""

    name: str
    spec: Any
    weights: Weights
    size_bytes: int


def read(model: Any, *, in_place: bool = False) -> Bundle:
    """Read a .mlmodel file, a .mlpackage folder or a coremltools MLModel; raises EvaluationError.

    A Bundle, such as a pipeline makes of each of its models, is taken as it is. With `in_place` the large weights of a
    network are left in the file, and the specification says where (skeleton.places).
    """
    if isinstance(model, Bundle):
        return model
    if hasattr(model, "get_spec"):
        weights_dir = getattr(model, "weights_dir", None)
        weights = Weights(Path(weights_dir).parent if weights_dir else None)
        spec = model.get_spec()
        return Bundle("MLModel", spec, weights, spec.ByteSize() + weights.size_bytes)
    try:
        path = Path(os.fspath(model))
    except TypeError as error:
        raise EvaluationError(
            f"a path or an MLModel is needed, not {type(model).__name__}", fix="give a .mlmodel or .mlpackage path"
        ) from error
    try:
        return _read_path(path, in_place)
    except OSError as error:
        raise EvaluationError(f"cannot be read: {error.strerror or error}", where=[str(path)]) from error
    except EvaluationError as error:
        error.within(str(path))
        raise


def _read_path(path: Path, in_place: bool) -> Bundle:
    if not path.exists():
        raise EvaluationError("there is no such file", fix="check the path")
    if path.is_file():
        spec, mapped = _parse(path, in_place)
        return Bundle(str(path), spec, Weights(None, mapped), path.stat().st_size)
    if path.suffix == ".mlmodelc" or (path / "coremldata.bin").exists():
        raise EvaluationError("a compiled model cannot be read", fix="give the .mlmodel or .mlpackage it was made from")
    model_file = _root_model(path)
    size_bytes = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    spec, mapped = _parse(model_file, in_place)
    return Bundle(str(path), spec, Weights(model_file.parent, mapped), size_bytes)


def _root_model(package: Path) -> Path:
    manifest = package / "Manifest.json"
    if not manifest.is_file():
        raise EvaluationError("the folder is not a .mlpackage: it has no Manifest.json")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        relative = Path(content["itemInfoEntries"][content["rootModelIdentifier"]]["path"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvaluationError(f"Manifest.json does not say where the model is ({error!r})") from error
    model_file = package / "Data" / relative
    if relative.is_absolute() or ".." in relative.parts:
        raise EvaluationError(f"Manifest.json points outside the package: {relative}")
    if not model_file.is_file():
        raise EvaluationError(f"the package has no file Data/{relative}, which its Manifest.json names")
    return model_file


def _parse(path: Path, in_place: bool) -> tuple[Any, Mapped | None]:
    """The specification, and the file if weights were left in it."""
    mapped = Mapped(path) if in_place and path.stat().st_size else None
    left_out = skeleton(mapped.content.data) if mapped else None
    content = path.read_bytes() if left_out is None else left_out
    if content.startswith(_LFS_POINTER):
        raise EvaluationError("is a Git LFS pointer, not the model itself", fix="run `git lfs pull`")
    if content.startswith(b"PK\x03\x04"):
        raise EvaluationError("is a zip archive, not a model", fix="unzip it and give the .mlpackage folder inside")
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(content)
    except DecodeError as error:
        raise EvaluationError("is not a Core ML model, or is damaged: it does not parse", fix=_WHOLE) from error
    if spec.WhichOneof("Type") is None:
        raise EvaluationError("is not a Core ML model, or is damaged: it holds no model of any type", fix=_WHOLE)
    return spec, None if left_out is None else mapped


def _corrupt(file_name: str, problem: str) -> EvaluationError:
    return EvaluationError(problem, where=[file_name], fix="convert the model again, or copy the package whole")
