"""What one walk over a graph knows of sizes: values of small integer tensors, and shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converter.convert.onnx.graph import Dim, TensorType
from converter.convert.onnx.prepare.symbolic import shapes, values
from converter.convert.onnx.prepare.symbolic.size import Bounds, Number, Symbols
from converter.convert.onnx.prepare.symbolic.values import Values

_TO_THE_END = np.iinfo(np.int64).max


class Known:
    """Shapes and integers by the names of their tensors; `constants` and `types` grow with the walk."""

    def __init__(
        self,
        constants: Mapping[str, np.ndarray],
        types: Mapping[str, TensorType],
        bounds: Mapping[str, Bounds] | None = None,
    ) -> None:
        self.constants = constants
        self.types = types
        self.symbols = Symbols(bounds)
        self.computed: dict[str, Values] = {}  # at least one element is no plain number

    def values(self, name: str) -> Values | None:
        """A tensor's elements, as far as they are numbers or sizes."""
        if name in self.constants:
            return values.of_array(self.constants[name])
        return self.computed.get(name)

    def shape(self, name: str) -> shapes.Shape | None:
        type_ = self.types.get(name)
        if type_ is None or type_.shape is None or None in type_.shape:
            return None
        return tuple(self.symbols.of(dim) for dim in type_.shape if dim is not None)

    def follow(
        self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        """Compute what a node of ai.onnx does to sizes; the results are `values` of its outputs."""
        if op_type in ("Shape", "Size"):
            shape = self.shape(inputs[0])
            if shape is None:
                return
            taken: Any = shape[slice(attributes.get("start"), attributes.get("end"))]
            elements = np.empty(len(taken), object)
            elements[:] = taken
            found = [elements if op_type == "Shape" else _scalar(shapes.product(shape))]
        elif any(name in self.computed for name in inputs):
            given = [self.values(name) if name else None for name in inputs]
            computed = values.computed(op_type, given, attributes, self.symbols)
            if computed is None:
                return
            found = computed
        else:
            return
        self.computed.update((name, value) for name, value in zip(outputs, found, strict=False) if name)

    def vectors(self) -> dict[str, tuple[int | None, ...]]:
        """The vectors that were followed, None for each element that is flexible."""
        return {
            name: tuple(element if type(element) is int else None for element in value.tolist())
            for name, value in self.computed.items()
            if value.ndim == 1
        }

    def plain(self, name: str, dtype: Any) -> np.ndarray | None:
        """A followed value that came to plain numbers."""
        return values.plain(self.computed[name], dtype) if name in self.computed else None

    def refined(
        self,
        op_type: str,
        inputs: Sequence[str],
        output: str,
        shape: Sequence[Dim] | None,
        attributes: Mapping[str, Any],
    ) -> tuple[Dim, ...] | None:
        """A node's first output's shape, with the dimensions that ONNX left open; each has at least a name."""
        own = shapes.inferred(
            op_type,
            [self.shape(name) if name else None for name in inputs],
            [self.values(name) if name else None for name in inputs],
            attributes,
            self.symbols,
        )
        if shape is None:
            if own is None:
                return None
            shape = [None] * len(own)
        sizes = own if own is not None and len(own) == len(shape) else [None] * len(shape)
        return tuple(
            dim if dim is not None else self._named(size, f"{output}.{axis}")
            for axis, (dim, size) in enumerate(zip(shape, sizes, strict=True))
        )

    def _named(self, size: Number | None, otherwise: str) -> Dim:
        return self.symbols.dim(self.symbols.new(otherwise) if size is None else size)

    def shorter(
        self, op_type: str, inputs: Sequence[str], attributes: Mapping[str, Any]
    ) -> dict[int, np.ndarray] | None:
        """Inputs of Reshape, Expand or Slice that can be constants, by their place.

        In a Reshape one size may be -1 and those that stay may be 0; an Expand keeps with 1; a Slice to the end of a
        flexible axis ends at int64's largest.
        """
        data, *given = (self.values(name) if name else None for name in inputs)
        shape = self.shape(inputs[0]) if inputs else None
        if shape is None or not given or not any(name in self.computed for name in inputs[1:]):
            return None
        match op_type:
            case "Reshape":
                target = self._reshape(shape, given[0], attributes.get("allowzero", 0))
                return None if target is None else {1: target}
            case "Expand":
                target = self._expand(shape, given[0])
                return None if target is None else {1: target}
            case "Slice":
                return self._slice(shape, [data, *given])
        return None

    def _reshape(self, shape: shapes.Shape, target: Values | None, allowzero: int) -> np.ndarray | None:
        if target is None:
            return None
        sizes = shapes.reshaped(self.symbols, shape, target.tolist(), allowzero)
        stays = [axis < len(shape) and size is not None and shape[axis] == size for axis, size in enumerate(sizes)]
        open_ = [axis for axis, size in enumerate(sizes) if not isinstance(size, int) and not stays[axis]]
        if len(open_) > 1:
            return None
        flexible = [0 if stay else -1 for stay in stays]
        said = [size if isinstance(size, int) else flexible[axis] for axis, size in enumerate(sizes)]
        return np.array(said, np.int64)

    def _expand(self, shape: shapes.Shape, target: Values | None) -> np.ndarray | None:
        if target is None:
            return None
        wide = target.tolist()
        offset = len(wide) - len(shape)
        said = [1 if axis >= offset and shape[axis - offset] == size else size for axis, size in enumerate(wide)]
        return np.array(said, np.int64) if all(isinstance(size, int) for size in said) else None

    def _slice(self, shape: shapes.Shape, given: Sequence[Values | None]) -> dict[int, np.ndarray] | None:
        try:
            cuts = shapes.slices(len(shape), given, {})
        except TypeError:
            return None
        said = {1: [start for _, start, _, _ in cuts], 2: []}
        for axis, _, end, step in cuts:
            beyond = end is not None and step == 1 and self.symbols.bounds(end - shape[axis])[0] >= 0
            said[2].append(_TO_THE_END if beyond else end)
        plain = {place: np.array(ends, np.int64) for place, ends in said.items() if all(type(e) is int for e in ends)}
        return plain or None


def _scalar(value: Number) -> Values:
    out = np.empty((), object)
    out[()] = value
    return out
