"""Programs of torch.export (.pt2), checked before torch may touch them.

torch.export.load can run code that a file brings along, in three ways (torch 2.7): its pickles are read with
weights_only off; symbolic sizes go through sympy.sympify, which evaluates Python; names of inputs become the source of
a function that torch.fx executes. So every pickle is read safely first, and every string of the program has to look
like a name, an operator or a plain formula. The bytes that are checked are the bytes that are loaded.
"""

import ast
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from converter.errors import SourceError
from converter.load.archive import DAMAGED
from converter.load.checkpoint import read_pickle
from converter.load.interface import Feature

_PROGRAM = "serialized_exported_program.json"
_MEMBERS = frozenset({
    _PROGRAM,
    "serialized_state_dict.pt",
    "serialized_constants.pt",
    "serialized_example_inputs.pt",
    "version",
})  # fmt: skip

# Text that torch prints or quotes, but never executes.
_FREE_TEXT = frozenset({"metadata", "as_string", "as_strings"})
_TREES = frozenset({"in_spec", "out_spec"})
_NAME = re.compile(r"[A-Za-z0-9_.+#:/-]*", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DIGITS = re.compile(r"-?[0-9.e+-]+", re.ASCII)  # Float('0.5', precision=53)
_TREE_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})

# sympy's printed forms of what torch's symbolic shapes are made of.
_FUNCTIONS = frozenset({
    "Abs", "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "Equality", "Float", "FloatPow", "FloatTrueDiv",
    "FloorDiv", "FloorToInt", "Ge", "GreaterThan", "Gt", "IntTrueDiv", "Integer", "IsNonOverlappingAndDenseIndicator",
    "LShift", "Le", "LessThan", "Lt", "Max", "Min", "Mod", "ModularIndexing", "Mul", "Ne", "Not", "Or", "Piecewise",
    "Pow", "PowByNatural", "PythonMod", "RShift", "Rational", "RoundDecimal", "RoundToInt", "StrictGreaterThan",
    "StrictLessThan", "Symbol", "ToFloat", "TruncToFloat", "TruncToInt", "Unequality", "Where", "ceiling", "floor",
})  # fmt: skip
_SYNTAX = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip


def load(path: Path, origin: str) -> torch.export.ExportedProgram:
    """The ExportedProgram of a .pt2 file; `origin` is the file as the user knows it.

    Raises SourceError for a file that is damaged, was written by another format version, or could run code.
    """
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            _check(members, origin)
    except DAMAGED as error:
        raise SourceError(
            f"{origin} is not a readable .pt2 file ({type(error).__name__}: {error})", fix=_FIX
        ) from error
    import torchvision  # noqa: F401  registers torchvision's operators, which a program may name

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that the format may change
            return torch.export.load(io.BytesIO(content))
    # whatever is left is the deserializer's own trouble with a damaged or foreign program
    except Exception as error:
        raise SourceError(
            f"{origin} could not be loaded by torch {torch.__version__} ({type(error).__name__}: {_first(error)})",
            fix=_FIX,
        ) from error


def features(program: torch.export.ExportedProgram, origin: str) -> list[Feature]:
    """The program's own inputs; raises SourceError unless they are plain tensors in forward()'s order."""
    fix = "export a module whose forward() takes tensors alone, by position"
    arguments, keywords = program.call_spec.in_spec.children_specs
    if keywords.num_leaves or any(not child.is_leaf() for child in arguments.children_specs):
        raise SourceError(f"{origin} takes keywords, or tensors inside lists or mappings", fix=fix)
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    found = []
    for name in program.graph_signature.user_inputs:
        value = placeholders.get(name) if isinstance(name, str) else None
        if not isinstance(value, torch.Tensor):
            raise SourceError(f"{origin} takes {name!r}, which is no tensor", fix=fix)
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        found.append(Feature(name=str(name), dtype=str(value.dtype).removeprefix("torch."), shape=shape))
    return found


_FIX = "write it again with torch.export.save of this torch version, as one program of tensors"


def _check(members: zipfile.ZipFile, origin: str) -> None:
    names = members.namelist()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{origin} holds {', '.join(twice)} more than once", fix=_FIX)
    unknown = sorted(name for name in names if name not in _MEMBERS and not name.startswith("extra_files/"))
    missing = sorted(_MEMBERS.difference(names))
    if missing or unknown:
        what = [f"lacks {', '.join(missing)}"] if missing else []
        what += [f"holds {', '.join(unknown[:3])}"] if unknown else []
        raise SourceError(
            f"{origin} is not a .pt2 file as torch.export.save writes it: it {' and '.join(what)}", fix=_FIX
        )
    for name in names:
        if name.endswith(".pt") and (data := members.read(name)):
            read_pickle(io.BytesIO(data), f"{origin} ({name})")
    for where, text in _strings(json.loads(members.read(_PROGRAM)), ""):
        _check_string(where, text, origin)


def _strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every string of the program that torch may interpret, keys included, with the key it stands under."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for entry in value:
            yield from _strings(entry, where)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield "key", key
            if key not in _FREE_TEXT or not _is_text(entry):
                yield from _strings(entry, key)


def _is_text(value: Any) -> bool:
    """Free text is a string, strings, or the flat metadata of a node; anything deeper is looked at like the rest."""
    entries = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    return all(isinstance(entry, str) for entry in entries)


def _check_string(where: str, text: str, origin: str) -> None:
    if where == "expr_str" or (where == "key" and not _NAME.fullmatch(text)):  # ranges are keyed by formula
        sound = _is_formula(text)
    elif where in _TREES:
        sound = _is_tree(json.loads(text))
    else:
        sound = _NAME.fullmatch(text) is not None
    if not sound:
        raise SourceError(
            f"{origin} could run code: torch would interpret {text[:80]!r}; it was not loaded",
            fix="do not use this file; export the model again where you trust its source",
        )


def _is_formula(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        return False
    names_of_symbols = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Symbol" and node.args
    }
    for node in ast.walk(tree):
        if not isinstance(node, _SYNTAX):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS):
            return False
        if isinstance(node, ast.Name) and (node.id.startswith("_") or not _SYMBOL.fullmatch(node.id)):
            return False
        if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
            pattern = _SYMBOL if id(node) in names_of_symbols else _DIGITS
            if not isinstance(node.value, str) or not pattern.fullmatch(node.value):
                return False
    return True


def _is_tree(value: Any) -> bool:
    """A pytree of tuples, lists and dicts; other types could import modules by name."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], int):
        value = value[1]
    if not isinstance(value, Mapping) or value.get("type") not in _TREE_TYPES:
        return False
    children = value.get("children_spec")
    return isinstance(children, list) and all(_is_tree(child) for child in children)


def _first(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200]
