"""A module that a function of the user's repository builds."""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from converter.errors import SourceError
from converter.load import blame, imports
from converter.load.files import record
from converter.manifest.schema import FactorySource
from converter.model import SourceFile

_ours: dict[str, Path] = {}  # modules that stand in sys.modules for a factory, and the folder they were found by
_PREFIX = "factory_"  # of the names that files get; they are never forgotten, for no other module bears them
_added: list[str] = []  # the last factory's folders, at the end of sys.path


def build(source: FactorySource, root: Path) -> tuple[torch.nn.Module, tuple[SourceFile, ...]]:
    """The module that the factory returns, and its source files, the factory's first.

    The file's folder (for `package.module:function` the manifest's folder and the repository's) is importable
    meanwhile, and afterwards at the end of sys.path, for what the model imports when it runs. Modules that an earlier
    factory imported from another folder are forgotten first, so that two models may each have their own `layers.py`.
    Weights that it draws with torch are seeded. Raises SourceError with the user's own lines where their code fails.
    """
    place, name = source.target
    wanted = [(root / place).parent] if source.is_file else [root, _repository(root)]
    folders = list(dict.fromkeys(folder.resolve() for folder in wanted))
    with _importable(folders, root):
        module = _import_file(root / place, place, root) if source.is_file else _import_module(place, root)
        function = _function(module, name, place)
        _check_arguments(function, source.arguments, source.factory)
        built = _call(function, source, root)
    if not isinstance(built, torch.nn.Module):
        raise SourceError(
            f"{source.factory} returned {type(built).__name__}, not a torch.nn.Module",
            fix="return the module itself, its weights loaded or given under `checkpoint`",
        )
    files = imports.reached(Path(str(module.__file__)), folders)
    if not source.is_file:
        files += [file for file in imports.files_of(place, folders) if file not in files]  # the packages around it
    repository = _repository(root).resolve()
    return built, tuple(
        record(
            file,
            Path(os.path.relpath(file, root.resolve())).as_posix() if file.is_relative_to(repository) else file.name,
        )
        for file in files
    )


@contextmanager
def _importable(folders: list[Path], root: Path) -> Iterator[None]:
    """Makes the folders importable, first while it lasts, last afterwards; remembers what was imported from them."""
    for name in [n for n, folder in _ours.items() if folder not in folders]:
        sys.modules.pop(name, None)
        del _ours[name]
    importlib.invalidate_caches()
    known = set(sys.modules)
    others = [entry for entry in sys.path if entry not in _added]
    _added[:] = [str(folder) for folder in folders if str(folder) not in others]
    sys.path[:] = [*_added, *others]
    try:
        yield
    finally:
        sys.path[:] = [*others, *_added]
        roots = [*folders, root.resolve()]
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and not name.startswith(_PREFIX) and _lies_in(Path(file), roots):
                _ours[name] = folders[0]


def _lies_in(file: Path, folders: list[Path]) -> bool:
    resolved = file.resolve()
    return any(resolved.is_relative_to(folder) for folder in folders) and "site-packages" not in resolved.parts


def _repository(root: Path) -> Path:
    return next((folder for folder in (root, *root.resolve().parents) if (folder / ".git").exists()), root)


def _import_file(path: Path, shown: str, root: Path) -> ModuleType:
    if not path.is_file():
        raise SourceError(
            f"there is no file {shown}", fix="factories are `path/to/file.py:function`, relative to the manifest"
        )
    # A name of its own: the user's `torch.py` or two models' `net.py` never meet.
    identity = str(path.resolve()).encode() + path.read_bytes()
    name = f"{_PREFIX}{hashlib.sha256(identity).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]  # a second run could register the same things twice
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and torch look the module up while it runs
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        fix = "repair the code; it runs as `python` would run it from its own folder"
        if isinstance(error, ImportError) and "relative import" in str(error):
            fix = "a file with relative imports belongs to a package: write `package.module:function`"
        raise SourceError(f"importing {shown} failed: {blame.words(error, root)}", fix=fix) from error
    return module


def _import_module(name: str, root: Path) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        fix = "repair the code"
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name
            and (name == error.name or name.startswith(f"{error.name}."))
        ):
            fix = "modules are found from the manifest's folder and the repository's; a file is `path/file.py:function`"
        raise SourceError(f"importing {name} failed: {blame.words(error, root)}", fix=fix) from error
    if getattr(module, "__file__", None) is None:
        raise SourceError(f"{name} is a package without code", fix="name the module that holds the function")
    return module


def _function(module: ModuleType, name: str, place: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    if function is not None:
        raise SourceError(f"{name} of {place} is {type(function).__name__}, not a function", fix="name a function")
    known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    nearest = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(sorted(known)[:8]) or 'no functions'}"
    raise SourceError(f"{place} has no function {name}", fix=meant)


def _check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], shown: str) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return  # a builtin without a signature says it itself when called
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise SourceError(
            f"{shown} does not take these arguments: {error}", fix=f"under `arguments`; its signature is {signature}"
        ) from error


def _call(function: Callable[..., Any], source: FactorySource, root: Path) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # weights without a checkpoint are the same in every run
        try:
            return function(**source.arguments)
        except (Exception, SystemExit) as error:
            raise SourceError(
                f"{source.factory} failed: {blame.words(error, root)}", fix="repair the function or its `arguments`"
            ) from error
