"""The shapes that a caller gives a model whose own are not fixed."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from converter.convert.onnx.graph import Dim, TensorType
from converter.errors import ConversionError
from converter.model import Range

# For an input by its name: a shape, or a list of shapes of which the first is the default. For a symbolic dimension by
# its name: a size or a Range, in every input that has it.
Shape: TypeAlias = Sequence[int | Range]
Shapes: TypeAlias = Mapping[str, int | Range | Shape | Sequence[Sequence[int]]]
Bounded: TypeAlias = tuple[tuple[int | Range, ...], tuple[tuple[int, ...], ...]]  # a shape, and all if enumerated

_WAY = 'say for example shapes={{"{dim}": Range(1, 512)}} or shapes={{"{name}": {shape}}}; a manifest has both, too'


def bounded(types: Mapping[str, TensorType], shapes: Shapes) -> dict[str, Bounded]:
    """Each input's shape, every dimension a size or a Range, or shapes to choose from.

    Raises ConversionError with everything that is wrong: names that the model has not, shapes that contradict it, and
    dimensions that nothing bounds.
    """
    shapes, strange = _plain(shapes)
    dims = {dim for type_ in types.values() for dim in type_.shape or () if isinstance(dim, str)}
    complaints = [*strange, *_unknown(types, dims, shapes), *_impossible(shapes)]
    found: dict[str, Bounded] = {}
    open_: list[tuple[str, Dim, str]] = []
    for name, type_ in types.items():
        given = shapes.get(name)
        if given is not None and not isinstance(given, int | Range):
            several = tuple(tuple(shape) for shape in given if isinstance(shape, Sequence))
            single = tuple(size for size in given if isinstance(size, int | Range))
            complaints += [words for shape in several or (single,) if (words := _contradicts(name, type_, shape))]
            found[name] = (several[0] if several else single, several)
            continue
        if type_.shape is None:
            complaints.append(f'input "{name}" says nothing about its shape')
            continue
        sizes = [_size(dim, shapes) for dim in type_.shape]
        open_ += [(name, dim, _example(type_.shape)) for dim, size in zip(type_.shape, sizes, strict=True) if not size]
        found[name] = (tuple(size for size in sizes if size is not None), ())
    if open_:
        names = ", ".join(
            dict.fromkeys(f'"{dim}" of "{name}"' if dim else f'one of "{name}"' for name, dim, _ in open_)
        )
        complaints.append(f"dimensions of the model's inputs are flexible, and nothing bounds them: {names}")
    if complaints:
        name, dim, shape = open_[0] if open_ else (next(iter(types), "x"), "length", "(1, Range(1, 512))")
        raise ConversionError(
            "\n".join(complaints), where=("shapes",), fix=_WAY.format(name=name, dim=dim or "length", shape=shape)
        )
    return found


def _plain(shapes: Shapes) -> tuple[dict[str, Any], list[str]]:
    """The shapes with numpy's integers as Python's, and complaints about what is no size, Range or shape."""

    def plain(given: Any) -> Any:
        if isinstance(given, Range):
            return given
        if isinstance(given, list | tuple):
            return [plain(part) for part in given]
        if isinstance(given, bool):
            raise TypeError
        return operator.index(given)

    found, complaints = {}, []
    for name, given in shapes.items():
        try:
            found[name] = plain(given)
        except TypeError:
            complaints.append(f'"{name}": {given!r} is no size, no Range and no list of them')
    return found, complaints


def _size(dim: Dim, shapes: Shapes) -> int | Range | None:
    if isinstance(dim, int):
        return dim
    given = shapes.get(dim) if dim is not None else None
    return given if isinstance(given, int | Range) else None


def _unknown(types: Mapping[str, TensorType], dims: set[str], shapes: Shapes) -> list[str]:
    said = f"the model's inputs are {', '.join(types)}"
    said += f", its symbolic dimensions {', '.join(sorted(dims))}" if dims else ", none has a symbolic dimension"
    complaints = []
    for name, given in shapes.items():
        is_dim = isinstance(given, int | Range)
        if name not in (dims if is_dim else types):
            what = "a dimension" if is_dim else "an input"
            complaints.append(f'"{name}" is given as {what}, and the model has none of that name: {said}')
    return complaints


def _impossible(shapes: Shapes) -> list[str]:
    def sizes(given: object) -> list[int | Range]:
        if isinstance(given, int | Range):
            return [given]
        return [size for part in given for size in sizes(part)] if isinstance(given, Sequence) else []

    complaints = []
    for name, given in shapes.items():
        for size in sizes(given):
            if isinstance(size, Range) and not 1 <= size.lower <= size.default <= size.upper:
                complaints.append(f'"{name}": {size} is no range of sizes with its default inside')
            elif isinstance(size, int) and size < 1:
                complaints.append(f'"{name}": a size of {size}; Core ML has no empty tensors')
    return complaints


def _contradicts(name: str, type_: TensorType, shape: Shape) -> str:
    own = type_.shape
    if own is None:
        return ""
    fits = len(own) == len(shape) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(own, shape, strict=True)
    )
    return "" if fits else f'input "{name}" is {_words(own)}, and shapes gives it {_words(shape)}'


def _words(shape: Sequence[object]) -> str:
    return " x ".join("?" if dim is None else str(dim) for dim in shape) or "a scalar"


def _example(shape: Sequence[Dim]) -> str:
    sizes = ", ".join(str(dim) if isinstance(dim, int) else "Range(1, 512)" for dim in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"
