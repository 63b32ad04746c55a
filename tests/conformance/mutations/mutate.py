"""Seeded mutations of Core ML files: of their bytes, their messages, their weights, their manifest and their folder."""

import io
import json
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from converter.evaluate.proto import Model_pb2

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
_INTEGERS = [0, 1, 2, 3, 7, 8, 63, 64, 128, 255, 1000, 2**16, 2**20, 2**27, 2**31 - 1, 2**31, 2**32, 2**40, 2**62]
_INTEGERS += [2**63 - 1, 2**64 - 1, -1, -2, -(2**31), -(2**63)]
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 3.4e38, -3.4e38, float("nan"), float("inf"), -float("inf"), 1e9, 2**31]
_STRINGS = ["", "x", "y", "\0", "a" * 10_000, "@model_path/../../../../etc/passwd", "/etc/passwd", "../x", "ж" * 3]
_INT_TYPES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def mutate(source: Path, target: Path, rng: random.Random) -> tuple[str, Path]:
    """Write a mutated copy of `source` (.mlmodel or .mlpackage) in the folder `target`: what was done, and its path."""
    path = target / source.name
    if source.is_dir():
        shutil.copytree(source, path)
        kinds = [flip, flip, cut, splice, *[messages] * 9, nest, weight_metadata, manifest, folder, zipped]
    else:
        shutil.copyfile(source, path)
        kinds = [flip, flip, cut, splice, *[messages] * 9, nest, zipped]
    kind = rng.choice(kinds)
    return kind.__name__, kind(path, rng) or path


def _some_file(path: Path, rng: random.Random) -> Path:
    if path.is_file():
        return path
    files = [f for f in (path / MODEL, path / WEIGHTS, path / "Manifest.json") if f.is_file()]
    return rng.choices(files, weights=[4, 2, 1][: len(files)])[0]


def flip(path: Path, rng: random.Random) -> None:
    """Some bytes are other ones."""
    file = _some_file(path, rng)
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = rng.randrange(len(content))
        content[place] = rng.choice([content[place] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255])
    file.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    """The file ends early, or nowhere."""
    file = _some_file(path, rng)
    content = file.read_bytes()
    file.write_bytes(content[: rng.choice([0, 1, rng.randrange(len(content)), len(content) - 1])])


def splice(path: Path, rng: random.Random) -> None:
    """A piece is moved, doubled, lost or random."""
    file = _some_file(path, rng)
    content = file.read_bytes()
    start, other = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    end = min(other, start + rng.choice([1, 8, 64, 1024]))
    piece = rng.choice(
        [b"", content[start:end] * 2, rng.randbytes(end - start), b"\xff" * 10, content[start:end][::-1]]
    )
    file.write_bytes(content[:start] + piece + content[end:])


def messages(path: Path, rng: random.Random) -> None:
    """Up to four fields somewhere in the model's messages say something else."""
    file = path / MODEL if path.is_dir() else path
    spec = Model_pb2.Model.FromString(file.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        every = list(_walk(spec))
        message = rng.choice(every)
        if len(every) > 50 and rng.random() < 0.7:  # fields of operations and layers, not of descriptions
            message = rng.choice(every[len(every) // 4 :])
        _change(message, every, rng)
    file.write_bytes(spec.SerializeToString())


def nest(path: Path, rng: random.Random) -> None:
    """A message that may hold itself does so, many times."""
    file = path / MODEL if path.is_dir() else path
    spec = Model_pb2.Model.FromString(file.read_bytes())
    depth = rng.choice([5, 20, 30, 45, 90, 200])
    for message in rng.sample(every := list(_walk(spec)), len(every)):
        loop = _way_back(message.DESCRIPTOR)
        if loop is not None:
            break
    else:
        return
    inner = _copy(message)
    for _ in range(depth):
        outer = _copy(message)
        holder: Any = outer
        for field in loop[:-1]:
            value = getattr(holder, field.name)
            holder = (value[0] if len(value) else value.add()) if field.is_repeated else value
        last = loop[-1]
        value = getattr(holder, last.name)
        if last.is_repeated:
            del value[:]
            value.add().CopyFrom(inner)
        else:
            value.CopyFrom(inner)
        inner = outer
        if inner.ByteSize() > 2_000_000:
            break
    message.CopyFrom(inner)
    file.write_bytes(spec.SerializeToString())


def weight_metadata(path: Path, rng: random.Random) -> None:
    """A blob's sentinel, type, size or place in weight.bin, or the file's header, is another."""
    file = path / WEIGHTS
    if not file.is_file():
        return messages(path, rng)
    content = bytearray(file.read_bytes())
    places = [at for at in range(0, len(content) - 64, 64) if content[at : at + 4] == b"\xef\xbe\xad\xde"]
    if rng.random() < 0.15 or not places:
        struct.pack_into("<II", content, 0, rng.choice([0, 1, 2**32 - 1]), rng.choice([0, 1, 2, 3, 2**32 - 1]))
    else:
        at = rng.choice(places)
        metadata = list(struct.unpack_from("<IIQQ", content, at))
        index = rng.randrange(4)
        near = [metadata[index] + d for d in (-64, -1, 1, 64)] + [len(content), len(content) - 64, at, at + 64]
        metadata[index] = rng.choice([*near, *_INTEGERS, rng.randrange(20)]) % (2**32 if index < 2 else 2**64)
        struct.pack_into("<IIQQ", content, at, *metadata)
    file.write_bytes(content)
    return None


def manifest(path: Path, rng: random.Random) -> None:
    """Manifest.json names other files, other things, or is no JSON."""
    file = path / "Manifest.json"
    content = json.loads(file.read_text())
    root = content["rootModelIdentifier"]
    bad: list[Any] = [
        "../../../etc/passwd", "/etc/passwd", "..", ".", "", "\0", "a" * 5000, "com.apple.CoreML", None, 3, [], {},
        "com.apple.CoreML/../com.apple.CoreML/model.mlmodel", "com.apple.CoreML/model.mlmodel/..", "con:\\x", "\ud800",
        "com.apple.CoreML/weights/weight.bin", "~/model.mlmodel", "%2e%2e/model.mlmodel",
    ]  # fmt: skip
    changes: list[Callable[[], Any]] = [
        lambda: content["itemInfoEntries"][root].__setitem__("path", rng.choice(bad)),
        lambda: content.__setitem__("rootModelIdentifier", rng.choice([*bad, *content["itemInfoEntries"]])),
        lambda: content.__setitem__("itemInfoEntries", rng.choice([*bad, {root: rng.choice(bad)}])),
        lambda: content.pop(rng.choice(list(content))),
        lambda: content.__setitem__("fileFormatVersion", rng.choice(bad)),
    ]
    rng.choice(changes)()
    text = json.dumps(content)
    deep = "[" * 100_000
    file.write_text(
        rng.choice([text, text, text, text, text[:-1], deep, f'{{"itemInfoEntries": {deep}', "1e999", "NaN"])
    )


def folder(path: Path, rng: random.Random) -> None:
    """Files are missing, folders, pipes, links to elsewhere or to themselves."""
    file = rng.choice(
        [path / MODEL, path / WEIGHTS, path / "Manifest.json", path / "Data", path / WEIGHTS.rsplit("/", 1)[0]]
    )
    if file.is_dir():
        shutil.rmtree(file)
    elif file.exists():
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
    what = rng.choice(["missing", "folder", "pipe", "loop", "device", "elsewhere", "parent"])
    if what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)
    elif what != "missing":
        to = {"loop": file, "device": "/dev/zero", "elsewhere": path.parent / "other", "parent": path}[what]
        (path.parent / "other").write_bytes(rng.randbytes(300))  # caches of downloads are links: they are followed
        file.symlink_to(to, target_is_directory=what == "parent")


def zipped(path: Path, rng: random.Random) -> Path:
    """An archive in the model's place: names that lead elsewhere, a bomb, or the package itself."""
    target = path.with_name(f"{path.name}.zip")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        match rng.randrange(3):
            case 0:
                for name in ("../../escaped", "/tmp/escaped", "m.mlpackage/../../escaped"):
                    archive.writestr(name, b"escaped")
            case 1:
                archive.writestr(f"m.mlpackage/{MODEL}", b"\0" * 20_000_000)
            case _:
                for file in [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]:
                    archive.write(file, f"{path.name}/{file.relative_to(path.parent)}")
    content = bytearray(buffer.getvalue())
    if rng.random() < 0.3:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    target.write_bytes(content)
    if rng.random() < 0.5:  # named as what it is not
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return target.rename(path)
    return target


def _walk(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if _is_map(field):
            entries = [value[key] for key in value]
            yield from (m for entry in entries if isinstance(entry, Message) for m in _walk(entry))
        else:
            for item in value if field.is_repeated else [value]:
                yield from _walk(item)


def _copy(message: Any) -> Any:
    """A message of its own: protobuf crashes where one is copied into itself."""
    return type(message).FromString(message.SerializeToString())


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _change(message: Message, every: list[Message], rng: random.Random) -> None:
    """Say something else in one field of the message; mostly one that is set."""
    is_set = [field for field, _ in message.ListFields()]
    fields = is_set if is_set and rng.random() < 0.8 else list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = rng.choice(fields)
    value = getattr(message, field.name)
    if _is_map(field):
        _change_map(message, field, value, every, rng)
    elif field.is_repeated:
        _change_list(field, value, every, rng)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        others = [m for m in every if m.DESCRIPTOR is field.message_type]
        match rng.randrange(3):
            case 0:
                message.ClearField(field.name)
            case 1 if others:
                value.CopyFrom(_copy(rng.choice(others)))
            case _:
                value.SetInParent()
                value.Clear()
                value.SetInParent()
    else:
        setattr(message, field.name, _scalar(field, value, every, rng))


def _change_map(message: Any, field: Any, value: Any, every: list[Message], rng: random.Random) -> None:
    keys = list(value)
    if not keys or rng.random() < 0.2:
        others = [m for m in every if m.DESCRIPTOR is message.DESCRIPTOR]
        message.CopyFrom(_copy(rng.choice(others))) if others else None
        return
    key = rng.choice(keys)
    entry = value[key]
    if not isinstance(entry, Message):
        value[key] = _scalar(field.message_type.fields_by_name["value"], entry, every, rng)
    elif rng.random() < 0.4:
        del value[key]
    elif rng.random() < 0.5:
        value[rng.choice(["x", "y", "axis", "shape", "", "name", "val"])].CopyFrom(_copy(entry))
    else:
        others = [m for m in every if m.DESCRIPTOR is entry.DESCRIPTOR]
        entry.CopyFrom(_copy(rng.choice(others)))


def _change_list(field: Any, value: Any, every: list[Message], rng: random.Random) -> None:
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    match rng.randrange(6):
        case 0:
            del value[:]
        case 1 if len(value):
            del value[rng.randrange(len(value))]
        case 2 if len(value):
            first = _copy(value[0]) if is_message else value[0]
            for _ in range(rng.choice([1, 1, 10, 1000])):
                value.append(first)
                if len(value) > 3000:
                    break
        case 3 if len(value) > 1:
            items = list(value)
            copies = [_copy(m) for m in items] if is_message else items
            rng.shuffle(copies)
            del value[:]
            value.extend(copies)
        case _ if is_message:
            others = [m for m in every if m.DESCRIPTOR is field.message_type]
            chosen = _copy(rng.choice(others)) if others else None
            added = value.add()
            if chosen is not None:
                added.CopyFrom(chosen)
        case _:
            if len(value):
                index = rng.randrange(len(value))
                value[index] = _scalar(field, value[index], every, rng)
            else:
                value.append(_scalar(field, None, every, rng))


def _scalar(field: Any, old: Any, every: list[Message], rng: random.Random) -> Any:
    kind = field.type
    if kind in _INT_TYPES:
        low, high = _INT_TYPES[kind]
        near = [old + 1, old - 1, old * 2, -old] if isinstance(old, int) else []
        return min(max(rng.choice([*_INTEGERS, *near, *near]), low), high)
    if kind == FieldDescriptor.TYPE_ENUM:
        return rng.choice([*field.enum_type.values_by_number, 99])
    if kind == FieldDescriptor.TYPE_BOOL:
        return not old
    if kind == FieldDescriptor.TYPE_STRING:
        return rng.choice([*_STRINGS, *_names(every, rng)])
    if kind == FieldDescriptor.TYPE_BYTES:
        content = old or b""
        return rng.choice([b"", content[:-1], content * 2, rng.randbytes(len(content)), content + b"\0"])
    return rng.choice(_FLOATS)


def _names(every: list[Message], rng: random.Random) -> list[str]:
    """Names that stand elsewhere in the file: an operation that reads itself, two values of one name, a cycle."""
    found = []
    for message in rng.sample(every, min(len(every), 60)):
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                found.extend(value if field.is_repeated else [value])
    return found * 2


def _way_back(start: Any) -> list[Any] | None:
    """The fields that lead from a message type to itself, at most four."""
    ways: list[tuple[Any, list[Any]]] = [(start, [])]
    while ways:
        kind, way = ways.pop(0)
        for field in kind.fields:
            if field.message_type is None or _is_map(field):
                continue
            if field.message_type is start:
                return [*way, field]
            if len(way) < 3 and all(field.message_type is not f.message_type for f in way):
                ways.append((field.message_type, [*way, field]))
    return None
