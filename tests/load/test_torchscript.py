import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.errors import SourceError
from converter.load import torchscript


def test_an_archive_answers_as_the_module_that_it_was(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()).eval()
    torch.jit.save(torch.jit.script(net), tmp_path / "net.pt")
    loaded = torchscript.load(tmp_path / "net.pt", "net.pt")
    x = torch.randn(1, 3)
    assert torch.equal(loaded(x), net(x))


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), path)


def broken(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b""), "no zip file"),
        (lambda path: path.write_text("<html>"), "no zip file"),
        (broken, "no zip file, or a damaged one"),
        (lambda path: torch.save({"w": torch.ones(1)}, path), "but a file of torch.save"),
        (exported, "but a program of torch.export"),
    ],
)
def test_other_files_are_told_apart(write: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    write(path)
    with pytest.raises(SourceError, match=r"net\.pt is not a TorchScript archive") as caught:
        torchscript.load(path, "net.pt")
    assert words in str(caught.value)


def test_damage_inside_an_archive_is_said(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if "/code/" not in name}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(SourceError, match="not a readable TorchScript archive"):
        torchscript.load(path, "net.pt")
