"""A repository with a few files, in which manifests are written and read."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from converter.errors import ManifestError
from converter.manifest import read_manifest

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 123456\n"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`repo/.git` makes it one; manifests stand in `repo/models`, and `outside` is beside it."""
    root = tmp_path_factory.mktemp("manifests") / "repo"
    files = {
        "repo/.git/config": "[core]",
        "repo/shared.pth": "weights",
        "repo/package/net.py": "def build():\n    pass\n",
        "repo/models/net.py": "from math import *\ndef hidden():\n    pass\n",
        "repo/models/plain.py": "import torch\nLIMIT = 3\ndef build(width):\n    pass\nclass Net:\n    pass\n",
        "repo/models/broken.py": "def build(:\n",
        "repo/models/w.onnx": "onnx",
        "repo/models/w.pt": "torchscript",
        "repo/models/w.pt2": "exported",
        "repo/models/w.safetensors": "weights",
        "repo/models/empty.onnx": "",
        "repo/models/pointer.onnx": POINTER,
        "repo/models/labels.txt": "cat\ndog\n",
        "repo/models/labels.json": '["cat", "dog", "bird"]',
        "repo/models/cat.jpg": "jpg",
        "repo/models/heldout.npz": "npz",
        "repo/models/heldout.csv": "picture,mask\ncat.jpg,cat.jpg\nlost.jpg,cat.jpg\n",
        "repo/models/pictures/all.csv": "picture,label\ncat/1.jpg,cat\n../cat.jpg,0\n",
        "repo/models/tokens/vocab.json": "{}",
        "repo/models/a:b?.json": "{}",
        "repo/models/pictures/cat/1.jpg": "jpg",
        "outside/secret.pth": "secret",
    }
    for name, text in files.items():
        path = root.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "models/link.pth").symlink_to(root.parent / "outside/secret.pth")
    (root / "models/inside.pth").symlink_to(root / "shared.pth")
    (root / "models/loop.pth").symlink_to(root / "models/loop.pth")
    return root


@pytest.fixture
def said(repository: Path) -> Callable[[str], list[str]]:
    """What is complained of in a manifest: `line:column: words`, one a complaint; empty where nothing is wrong."""

    def read(text: str) -> list[str]:
        path = repository / "models" / "models.yml"
        path.write_bytes(text.encode("utf-8"))
        lines: list[str] = []
        try:
            read_manifest(path)
        except ManifestError as error:
            lines = error.problem.split("\n")
        for line in lines:
            assert re.match(rf"{re.escape(str(path))}:\d+:\d+: .+; .+", line), line
        return [line.removeprefix(f"{path}:") for line in lines]

    return read
