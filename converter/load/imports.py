"""The Python files that a file of the user's repository imports, read from its text.

Not from sys.modules: what stands there depends on the models that the same process loaded before, and these files are
written into the model as its provenance.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path


def reached(entry: Path, folders: Sequence[Path]) -> list[Path]:
    """`entry` and every file below `folders` that it imports, directly or through others; sorted, `entry` first.

    An import inside a function counts; one by a name that is computed cannot be seen.
    """
    found = {entry.resolve()}
    waiting = [entry.resolve()]
    while waiting:
        path = waiting.pop()
        for file in _imports(path, folders):
            if file not in found:
                found.add(file)
                waiting.append(file)
    return [entry.resolve(), *sorted(found - {entry.resolve()})]


def files_of(module: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The files that `import a.b.c` runs: of a, of a.b and of a.b.c, in the first folder that has them."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        for folder in folders:
            base = folder.joinpath(*parts[:length])
            file = next((f for f in (base / "__init__.py", base.with_name(f"{base.name}.py")) if f.is_file()), None)
            if file:
                yield file.resolve()
                break


def _imports(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from files_of(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            bases = [path.parents[node.level - 1]] if node.level else folders
            for alias in node.names:
                yield from files_of(f"{node.module}.{alias.name}" if node.module else alias.name, bases)
