"""What `float32_ops` names, the same on both routes: op types, modules, and single ops."""

import re
from collections.abc import Collection

from converter.errors import ConversionError

_ADDED = re.compile(r"^(op|var)_(?=\d)|_cast_fp(16|32)$")  # by coremltools, for names that begin with a digit and casts
_SPECIAL = re.compile(r"[^a-zA-Z0-9_]")  # what coremltools writes as _


def module_path(name: str) -> str:
    """The name of an ONNX node as torch names its module: `/seq/seq.0/Conv` is `seq.0.Conv`.

    torch's exporter writes one part for each call, and says the path to a container's child in full from the container
    on.
    """
    path: list[str] = []
    for part in name.strip("/").split("/"):
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)


class UnknownNamesError(ConversionError):
    """`names` of float32_ops that nothing has."""

    def __init__(self, names: Collection[str], what: str) -> None:
        super().__init__(
            f"float32_ops names {', '.join(map(repr, names))}, and no {what} has such an op type or name",
            fix="take an op type (`Softmax`), a module (`encoder.layer.0`) or an op's own name",
        )
        self.names = tuple(names)


class Names:
    """Names from the manifest; those that have named nothing yet are strangers."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._strangers = set(self._names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def holds(self, op_type: str, names: Collection[str], path: str) -> bool:
        """Whether one of the names is the op's type, its own (or its output's), or that of a module around it.

        Types are those of ONNX and of MIL, `ReduceMean` and `reduce_mean`; a module is `encoder.layer.0` or, as in an
        ONNX file, `/encoder/layer.0`.
        """
        found = [given for given in self._names if _names(given, op_type, names, path)]
        self._strangers.difference_update(found)
        return bool(found)

    def refuse_strangers(self, what: str) -> None:
        """Raise UnknownNamesError for the names that nothing has."""
        strangers = [given for given in self._names if given in self._strangers]
        if strangers:
            raise UnknownNamesError(strangers, what)


def _names(given: str, op_type: str, names: Collection[str], path: str) -> bool:
    if _type(given) == _type(op_type) or _plain(given) in {_plain(name) for name in names}:
        return True
    around = module_path(given)
    return bool(around) and (path == around or path.startswith(f"{around}."))


def _plain(name: str) -> str:
    """The name as it was before coremltools made it valid and changed its precision."""
    return _ADDED.sub("", _SPECIAL.sub("_", name))


def _type(name: str) -> str:
    return name.replace("_", "").lower()
