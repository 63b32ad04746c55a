"""Paths of the manifest: inside the repository, there, and what they claim to be."""

import ast
import difflib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

_POINTER_BYTES = 1024  # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = b"version https://git-lfs.github.com/spec/"
_HASHED_BYTES = 64 << 20  # what is hashed while one waits, to print the line that is missing
_CODE_BYTES = 1 << 20


class UnusablePathError(Exception):
    """What is wrong with a path, and the way out."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True)
class Repository:
    """`folder` holds the manifest, and paths are relative to it; none may leave `root`. Both are absolute."""

    root: Path
    folder: Path

    @classmethod
    def around(cls, manifest: Path) -> "Repository":
        """The nearest folder above with a .git, else the manifest's own folder."""
        folder = manifest.parent.resolve()
        root = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)
        return cls(root, folder)

    def place(self, path: str) -> Path:
        """Where a path leads, links followed. Raises UnusablePathError unless that is inside the repository."""
        if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or path.startswith("~"):
            raise UnusablePathError(f"{path} is not relative", "write it relative to the manifest's folder")
        if "\\" in path:
            raise UnusablePathError(f"{path} has backslashes", f"write {path.replace(chr(92), '/')}")
        try:
            found = (self.folder / path).resolve()
            loops = os.path.islink(found)  # noqa: PTH114  from 3.13 on a loop is left; takes any path
        except (OSError, RuntimeError):
            loops = True
        if loops:
            raise UnusablePathError(f"{path} cannot be followed", "look for links that lead to themselves")
        if not found.is_relative_to(self.root):
            linked = ".." not in PurePosixPath(path).parts
            how = "leads out of the repository through a link" if linked else "leaves the repository"
            problem = f"{path} {how}"
            if not (self.root / ".git").exists():
                problem += " (no .git is found above the manifest, so its folder is all there is)"
            raise UnusablePathError(problem, "move or copy it into the repository")
        if ".git" in found.relative_to(self.root).parts:
            raise UnusablePathError(f"{path} is part of git's own folder", "name a file of the repository")
        return found

    def file(self, path: str, *, folder_too: bool = False) -> Path:
        """An existing file (or folder) that can be read and is no Git LFS pointer. Raises UnusablePathError."""
        found = self.place(path)
        try:
            if found.is_dir():
                if folder_too:
                    return found
                raise UnusablePathError(f"{path} is a folder", "name a file in it")
            if not found.exists():
                raise UnusablePathError(f"there is no file {path}", self._near(path))
            with found.open("rb") as file:
                start = file.read(_POINTER_BYTES)
        except OSError as error:
            raise UnusablePathError(
                f"{path} cannot be read: {error.strerror}", "look at its name and rights"
            ) from error
        if not start:
            raise UnusablePathError(f"{path} is empty", "put the real file there; was its download cut off?")
        if start.startswith(_POINTER):
            size = re.search(rb"^size (\d+)$", start, re.MULTILINE)
            stands_for = f" for a file of {int(size[1])} bytes" if size else ""
            fix = "run `git lfs pull`; in a workflow check out with `lfs: true`"
            raise UnusablePathError(f"{path} is a Git LFS pointer{stands_for}, not the file itself", fix)
        return found

    def _near(self, path: str) -> str:
        """The existing path that was probably meant: the first part that is missing is looked up beside it."""
        known = self.folder
        parts = PurePosixPath(path).parts
        for index, part in enumerate(parts):
            if part == ".." or (known / part).exists():
                known = known / part
                continue
            names = [entry.name for entry in known.iterdir()] if known.is_dir() else []
            meant = difflib.get_close_matches(part, names, n=1) or [n for n in names if n.lower() == part.lower()]
            if meant:
                return f"did you mean {PurePosixPath(*parts[:index], meant[0], *parts[index + 1 :])}?"
            break
        return f"paths are relative to {self._shown()}; is the file committed?"

    def _shown(self) -> str:
        inside = self.folder.relative_to(self.root).as_posix()
        return "the manifest's folder" if inside == "." else f"the manifest's folder, {inside}/"


def sha256_of(path: Path) -> str | None:
    """The file's SHA-256, or None where hashing would keep one waiting."""
    if path.stat().st_size > _HASHED_BYTES:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def names_defined(path: Path) -> set[str] | None:
    """The names that a Python file defines at its top, or None where only running it would tell.

    Raises UnusablePathError where it is no Python.
    """
    if path.stat().st_size > _CODE_BYTES:
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        problem = f"{path.name} is not valid Python: {error.msg}, line {error.lineno}"
        raise UnusablePathError(problem, "correct it") from error
    except (ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in imported}
            case ast.Assign(targets=targets):
                names |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Expr():
                pass
            case _:  # names may be born in an `if` or a `try`
                return None
    return None if "*" in names else names
