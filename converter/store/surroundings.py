"""What all models of a manifest share: the tools that convert them, and the code that their factories can import."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from converter.store.index import Index
from converter.version import __version__

# every library whose version can change a model's bytes or its record; a test holds it to what a model file says
TOOLS = (
    "coremltools",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "protobuf",
    "safetensors",
    "torch",
    "torchvision",
)
_OURS = Path(__file__).parent.parent
_REQUIREMENTS = re.compile(r"requirements.*\.txt|pyproject\.toml|uv\.lock|poetry\.lock|setup\.cfg|.*\.py")
_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-py.*)?\.(dist-info|egg-info)")


class Surroundings:
    """Found once and only where a model needs it; `notes` keeps what went into a digest, so that changes have names."""

    def __init__(self, root: Path, index: Index, notes: Path) -> None:
        self.root, self.index = root, index
        self._notes = notes

    @cached_property
    def tools(self) -> Mapping[str, str]:
        """Python, the machine, the libraries and this converter; a library that is not installed is "none"."""
        return {
            "tool python": platform.python_version(),  # a model file says it
            "tool platform": f"{sys.platform} {platform.machine()}",
            **{f"tool {name}": _version(name) for name in TOOLS},
            "tool coreml-release": __version__,
            "all coreml-release": self.together(
                {
                    path.relative_to(_OURS).as_posix(): self.index.sha256(path)
                    for path in _OURS.rglob("*")
                    if path.suffix in (".py", ".j2", ".json")
                }
            ),
        }

    @cached_property
    def code(self) -> Mapping[str, str]:
        """The repository's Python files and requirements, and every installed package: what a factory can import."""
        files = {}
        for name in _files(self.root):
            if _REQUIREMENTS.fullmatch(name.rpartition("/")[2]) and (self.root / name).is_file():
                files[name] = self.index.sha256(self.root / name)
        return {"all code": self.together(files), "all packages": self.together(dict(_installed()))}

    def together(self, parts: Mapping[str, str]) -> str:
        """One digest of many parts; they are noted under it."""
        text = canonical(parts)
        digest = hashlib.sha256(text.encode()).hexdigest()
        note = self._notes / f"{digest}.json"
        if not note.exists():
            try:
                self._notes.mkdir(parents=True, exist_ok=True)
                half = note.with_suffix(f".{os.getpid()}.half")
                half.write_text(text, encoding="utf-8")
                half.replace(note)
            except OSError:
                return digest  # without the note a change has no name, and is seen all the same
        return digest

    def parts(self, digest: str) -> Mapping[str, str] | None:
        """What a digest was made of, where this machine has noted it."""
        try:
            text = (self._notes / f"{digest}.json").read_text(encoding="utf-8")
            parts: Mapping[str, str] = json.loads(text)
        except (OSError, ValueError):
            return None
        return parts if hashlib.sha256(text.encode()).hexdigest() == digest else None


def canonical(value: Any) -> str:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _files(root: Path) -> Iterator[str]:
    """The files that git tracks, and new ones that it does not ignore; without git every file below the root."""
    tracked = _git(root, "--recurse-submodules")
    new = _git(root, "--others", "--exclude-standard")
    if tracked is not None and new is not None:
        yield from sorted({*tracked, *new})
        return
    for folder, folders, names in os.walk(root):
        inside = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name != "__pycache__" and not (inside / name / "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            yield (inside / name).relative_to(root).as_posix()


def _git(root: Path, *words: str) -> list[str] | None:
    git = ["git", "-c", "core.fsmonitor=false"]  # a program that the repository's settings may name
    command = [*git, "ls-files", "-z", *words, "--", "*.py", "*.txt", "*.toml", "*.lock", "*.cfg"]
    try:
        answer = subprocess.run(command, cwd=root, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return [os.fsdecode(name) for name in answer.stdout.split(b"\0") if name]


def _installed() -> Iterator[tuple[str, str]]:
    """Name and version of every installed distribution, from the names of their folders: reading them takes longer."""
    for folder in reversed(sys.path):  # the first one is the one that is imported
        try:
            names = [path.name for path in Path(folder or ".").iterdir()]
        except OSError:
            continue
        for name in names:
            if found := _INSTALLED.fullmatch(name):
                yield re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"]
