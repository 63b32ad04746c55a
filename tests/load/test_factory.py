import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from converter.errors import SourceError
from converter.load import factory
from converter.manifest.schema import FactorySource

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(2, width)

    def forward(self, x):
        return self.layer(x)

def build(width=3, *, classes=2):
    return Net(width)

def data(): return [1, 2]

constant = 7
"""


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Any:
    """sys.path and sys.modules as they were."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    factory._ours.clear()
    factory._added.clear()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def build(tmp_path: Path, target: str, **arguments: Any) -> torch.nn.Module:
    return factory.build(FactorySource(factory=target, arguments=arguments), tmp_path)[0]


def refuses(tmp_path: Path, target: str, **arguments: Any) -> str:
    with pytest.raises(SourceError) as caught:
        build(tmp_path, target, **arguments)
    return str(caught.value)


def test_a_function_of_a_file_builds_the_module(tmp_path: Path) -> None:
    write(tmp_path, {"models/net.py": NET})
    assert build(tmp_path, "models/net.py:build", width=5)(torch.ones(1, 2)).shape == (1, 5)
    assert build(tmp_path, "models/net.py:Net", width=4)(torch.ones(1, 2)).shape == (1, 4)


def test_a_function_of_a_package_builds_the_module(tmp_path: Path) -> None:
    files = {"package/__init__.py": "", "package/net.py": "from .base import *", "package/base.py": NET}
    write(tmp_path, files)
    built, sources = factory.build(FactorySource(factory="package.net:build"), tmp_path)
    assert built(torch.ones(1, 2)).shape == (1, 3)
    assert [file.origin for file in sources] == ["package/net.py", "package/base.py", "package/__init__.py"]


def test_a_package_is_found_from_the_repository_too(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, {"src_package/net.py": NET})
    (tmp_path / "examples").mkdir()
    assert build(tmp_path / "examples", "src_package.net:build")(torch.ones(1, 2)).shape == (1, 3)


def test_two_folders_may_each_have_modules_of_the_same_name(tmp_path: Path) -> None:
    for width in (3, 4):
        layers = NET.replace("width=3", f"width={width}")
        write(tmp_path / str(width), {"net.py": "from layers import build\nimport torch.nn", "layers.py": layers})
    for width in (3, 4, 3):
        assert build(tmp_path, f"{width}/net.py:build")(torch.ones(1, 2)).shape == (1, width)


def test_the_users_torch_py_does_not_hide_torch_and_late_imports_work(tmp_path: Path) -> None:
    late = NET.replace("return self.layer(x)", "import late\n        return late.scale * self.layer(x)")
    write(tmp_path, {"torch.py": "raise SystemExit('hidden')", "net.py": late, "late.py": "scale = 0"})
    assert build(tmp_path, "net.py:build")(torch.ones(1, 2)).abs().sum() == 0
    assert sys.path[-1] == str(tmp_path)


def test_the_sources_are_recorded_whatever_was_imported_before(tmp_path: Path) -> None:
    write(tmp_path, {"models/before.py": "from other import *\n" + NET})
    (tmp_path / "models/other.py").write_text("")
    build(tmp_path, "models/before.py:build")
    write(tmp_path, {"models/net.py": "from layers import build", "models/layers.py": NET, "models/other.py": ""})
    _, files = factory.build(FactorySource(factory="models/net.py:build"), tmp_path)
    assert [file.origin for file in files] == ["models/net.py", "models/layers.py"]


def test_weights_are_the_same_in_every_run_and_the_users_generator_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"net.py": NET})
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second = build(tmp_path, "net.py:build"), build(tmp_path, "net.py:build")
    assert torch.equal(first.layer.weight, second.layer.weight)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("nets.py:build", {}, ["there is no file nets.py"]),
        ("net.py:built", {}, ["net.py has no function built", "did you mean build?"]),
        ("net.py:constant", {}, ["constant of net.py is int, not a function"]),
        ("net.py:data", {}, ["net.py:data returned list, not a torch.nn.Module"]),
        (
            "net.py:build",
            {"depth": 3},
            ["unexpected keyword argument 'depth'", "its signature is (width=3, *, classes=2)"],
        ),
        ("net.py:Net", {}, ["missing a required argument: 'width'"]),
        (
            "nowhere.net:build",
            {},
            ["importing nowhere.net failed", "No module named 'nowhere'", "path/file.py:function"],
        ),
    ],
)
def test_what_does_not_work_is_said(target: str, arguments: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    write(tmp_path, {"net.py": NET})
    said = refuses(tmp_path, target, **arguments)
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def build():\n    return inner()\n\ndef inner():\n    raise ValueError('no such width')", [
            "net.py:build failed: ValueError: no such width", "at net.py:5 in inner: raise", "at net.py:2 in build",
        ]),
        ("import missing_library", ["importing net.py failed", "No module named 'missing_library'", "at net.py:1"]),
        ("def build(:\n    pass", ["importing net.py failed: SyntaxError", "at net.py:1"]),
        ("import sys\nsys.exit('usage: train')", ["importing net.py failed: SystemExit: usage: train"]),
        ("from .layers import build", ["attempted relative import", "package.module:function"]),
        ("import torch\ndef build():\n    torch.zeros('a')", ["build failed: TypeError", "at net.py:3 in build"]),
    ],
)  # fmt: skip
def test_an_error_of_the_users_code_is_shown_with_its_place(code: str, words: list[str], tmp_path: Path) -> None:
    write(tmp_path, {"net.py": code})
    said = refuses(tmp_path, "net.py:build")
    assert all(word in said for word in words), said
    assert "site-packages" not in said
    assert "converter" not in said
