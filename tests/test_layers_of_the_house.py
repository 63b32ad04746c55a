"""Data flows one way, and the rooms keep to themselves: read from the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "converter").rglob("*.py"))
STAGES = ["manifest", "load", "convert", "validate", "report", "package", "publish"]
# what every room may use
SHARED = {"model", "errors", "plain", "version", "wire"}
# room -> the other rooms it may import
ALLOWED = {
    "registry": set(),
    "model": set(),
    "errors": set(),
    "plain": set(),
    "version": set(),
    "wire": set(),
    "manifest": set(),
    "load": {"manifest"},
    "convert": {"registry"},
    "evaluate": {"registry"},
    "validate": {"evaluate", "manifest", "package", "workers"},
    # it walks the whole line once more; store, publish and what only prints are none of its business
    "debug": {"manifest", "load", "convert", "evaluate", "validate", "package", "report"},
    "report": set(),
    "package": {"report", "shards"},  # report.md is one of the files that close a folder
    "publish": {
        "package",
        "manifest",
        "report",
        "shards",
    },  # report: release notes show the report's numbers, in its words
    "console": {"report", "workflow"},
    "shards": {"manifest"},
    "plan": {"shards", "manifest", "commit", "report"},
    "store": {"manifest", "package"},
    "workers": set(),
    "commit": set(),
    "signals": set(),
    "baseline": set(),
    "workflow": {"report", "package"},
    "action": set(),
    "ledger": {"commit", "package", "shards", "manifest"},
    "release": {"commit", "console", "publish", "workflow"},
    "pipeline": {*STAGES, "baseline", "debug", "workers", "console", "ledger", "shards", "store"},
    "predict": {"evaluate", "validate", "report"},
    "ops": {"convert"},
    "cli": {
        *STAGES,
        "evaluate",
        "debug",
        "pipeline",
        "release",
        "console",
        "predict",
        "ops",
        "workflow",
        "action",
        "shards",
        "plan",
        "commit",
        "store",
        "signals",
        "baseline",
    },
    "": {"convert", "evaluate"},  # the package itself: its public names
}


def room(module: str) -> str:
    """`converter.load.files` is in the room `load`; the package itself is ""."""
    return [*module.split("."), ""][1]


def imports(path: Path) -> set[str]:
    """The modules of converter that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {node.module} | (
                {f"converter.{n.name}" for n in node.names} if node.module == "converter" else set()
            )
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "converter"}


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", SOURCES, ids=[module(p) for p in SOURCES])
def test_a_room_imports_only_what_its_place_allows(path):
    here = room(module(path))
    assert here in ALLOWED, "a new room: say what it may import"
    others = {room(name) for name in imports(path) - {"converter"}} - SHARED - {here}
    assert others <= ALLOWED[here], f"{module(path)} imports {sorted(others - ALLOWED[here])}"


def test_only_the_command_line_exits():
    exits = {
        module(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("exit", "_exit")
    }
    assert exits <= {"converter.cli"}


def test_modules_make_no_cycle():
    graph = {module(p): set() for p in SOURCES}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:  # at import time only
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("converter"):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[module(path)] |= {n if n in graph else node.module for n in names} - {module(path)}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
