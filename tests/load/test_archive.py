"""A damaged file of any kind is refused in our words, wherever the damage is."""

import copy
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from converter.errors import ConverterError
from converter.load import archive, checkpoint, exported, onnx, torchscript

NET = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
EXAMPLE = torch.ones(1, 3, 8, 8)

KINDS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "state dict": (
        lambda path: torch.save(NET.state_dict(), path),
        lambda path: checkpoint.load_into(copy.deepcopy(NET), path, path.name),
    ),
    "older state dict": (
        lambda path: torch.save(NET.state_dict(), path, _use_new_zipfile_serialization=False),
        lambda path: checkpoint.load_into(copy.deepcopy(NET), path, path.name),
    ),
    "safetensors": (
        lambda path: save_file(NET.state_dict(), path),
        lambda path: checkpoint.load_into(copy.deepcopy(NET), path, path.name),
    ),
    "torchscript": (
        lambda path: torch.jit.save(torch.jit.script(NET), path),
        lambda path: torchscript.load(path, path.name),
    ),
    "exported": (
        lambda path: torch.export.save(torch.export.export(NET, (EXAMPLE,)), path),
        lambda path: exported.load(path, path.name),
    ),
    "onnx": (
        lambda path: torch.onnx.export(NET, (EXAMPLE,), path, dynamo=False),
        lambda path: onnx.load(path, path.name, remote=False),
    ),
}


def damaged(content: bytes, dice: random.Random) -> bytes:
    """A few bits flipped, bytes replaced or cut out, most of them where the structure is: at both ends."""
    found = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        near_end = dice.randrange(min(400, len(found)))
        at = dice.choice([dice.randrange(len(found)), near_end, len(found) - 1 - near_end])
        match dice.randrange(3):
            case 0:
                found[at] = dice.randrange(256)
            case 1:
                found[at] ^= 1 << dice.randrange(8)
            case _:
                del found[at : at + dice.randrange(1, 9)]
    return bytes(found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_in_our_words(kind: str, tmp_path: Path) -> None:
    write, read = KINDS[kind]
    path = tmp_path / "net"
    write(path)
    content = path.read_bytes()
    dice = random.Random(6)
    refused = 0
    for _ in range(80):
        path.write_bytes(damaged(content, dice))
        try:
            read(path)  # a flipped bit of a weight is found by the sha256 alone
        except ConverterError:
            refused += 1
    assert refused > 40


def test_the_members_of_an_archive_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as members:
        members.writestr("a/b", "")
    (tmp_path / "b.zip").write_text("no zip")
    assert archive.names(tmp_path / "a.zip") == ["a/b"]
    assert archive.names(tmp_path / "b.zip") is None
