"""Nodes to operations of MIL, one by one: the only place that knows nodes."""

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converter.convert.naming import Names, module_path
from converter.convert.onnx import builder
from converter.convert.onnx.builder import Body, Ints, NotConstant, Operand, Unsupported, Var, mb, mil_dtype
from converter.convert.onnx.graph import Graph, Node, Subgraph, every
from converter.convert.onnx.lower.binding import Input, bind, is_sizes, known, must_be_known
from converter.convert.onnx.lower.boundary import unique
from converter.convert.onnx.lower.float32 import nodes_in_float32
from converter.convert.onnx.lower.high_rank import Folding, folding
from converter.convert.onnx.lower.support import Support, examined, refused, unsupported
from converter.convert.onnx.mapped import give_back
from converter.convert.onnx.sizes import pinned
from converter.convert.onnx.views import Shaped, ShapedOperand, View, reshape, tensor
from converter.convert.origins import Origin, note
from converter.errors import ConversionError
from converter.registry import BindError, Parameter


class _BrokenError(Exception):
    """A subgraph holds nodes that cannot be lowered and that nothing can stand in for."""


@dataclass
class Lowering:
    """The values built so far, by ONNX name."""

    graph: Graph
    precision: str
    values: MutableMapping[str, Shaped] = field(default_factory=dict)
    refused: dict[tuple[str, ...], Support] = field(default_factory=dict)  # by the node's outputs
    unknown: set[str] = field(default_factory=set)  # values that nothing can stand in for
    cause: Exception | None = None  # of the first refusal that is not ours
    names: dict[str, str] = field(default_factory=dict)  # of constants, and what they stand for
    float32_ops: Names = field(default_factory=Names)
    wide: dict[str, Shaped] = field(default_factory=dict)  # results of float32 nodes before they were rounded
    neighbours: frozenset[str] = frozenset()  # first outputs of nodes that others ask to compute in float32

    def run(self) -> list[Var]:
        """Lower every node; the graph's outputs."""
        if self.precision == "fp16":
            self.neighbours = nodes_in_float32(self.graph)
        self.take(self.graph.nodes)
        if self.refused:
            raise unsupported(list(self.refused.values()), self.graph) from self.cause
        return [self._output(*names) for names in zip(self.graph.outputs, self.graph.output_names, strict=True)]

    def take(self, nodes: Sequence[Node]) -> None:
        """Lower nodes; of one that is refused a stand-in is left, so that those behind it are examined too."""
        for node in nodes:
            if self.unknown.intersection(node.uses):
                self._refuse(examined(self.graph, node))
                continue
            before = len(self.refused)
            try:
                self.values.update(self._lower(node))
                for name in self.graph.constants.keys() & node.inputs:
                    give_back(self.graph.constants[name])
            except _BrokenError:
                for inner in every(n for graph in node.subgraphs for n in graph.nodes):
                    self._note(examined(self.graph, inner))
                self._stand_in(node)
            except (BindError, Unsupported) as error:
                self._refuse(refused(node, error))
            except ConversionError:
                raise
            except Exception as error:  # noqa: BLE001  coremltools raises what it likes for types it does not take
                self.cause = self.cause or error
                # A refusal in a subgraph says enough; what coremltools makes of the stand-ins is no news.
                reason = f"coremltools refuses it: {error}" if len(self.refused) == before else ""
                self._refuse(Support(node, reason))

    def _refuse(self, support: Support) -> None:
        self._note(support)
        self._stand_in(support.node)

    def _note(self, support: Support) -> None:
        if support.reason:
            self.refused.setdefault(support.node.outputs, support)

    def _enter(self, graph: Subgraph) -> Body:
        """A subgraph as a lowering has it: a function that builds it in the MIL block at hand."""

        def build(*inputs: Var) -> list[Var]:
            around = self.values
            self.values = ChainMap({}, around)  # what is built in a block is not seen outside it, constants too
            try:
                self.values.update(zip(graph.inputs, inputs, strict=True))
                self.take(graph.nodes)
                own = {name for node in graph.nodes for name in node.outputs}
                if self.unknown.intersection(graph.outputs):
                    raise _BrokenError
                outputs = [
                    tensor(self._var(name, self.graph.constants.get(name), self.precision)) for name in graph.outputs
                ]
                return [
                    x if name in own and not builder.is_const(x) and x not in outputs[:place] else mb.identity(x=x)
                    for place, (name, x) in enumerate(zip(graph.outputs, outputs, strict=True))
                ]
            finally:
                self.values = around

        return build

    def _output(self, name: str, output_name: str) -> Var:
        try:
            if name in self.wide:
                return tensor(self.wide[name])
            return tensor(self._var(name, self.graph.constants.get(name), self.precision))
        except Unsupported as error:
            raise ConversionError(f'output "{output_name}": {error}', fix="reshape it inside the model") from error

    def _lower(self, node: Node) -> dict[str, Shaped]:
        wide = self.precision == "fp16" and (
            self.float32_ops.holds(node.op_type, (node.name, *node.outputs), module_path(node.name))
            or node.outputs[0] in self.neighbours
            or any(
                builder.needs_float32(self.graph.constants[name])
                for name in node.inputs
                if name in self.graph.constants
            )
        )
        precision = "fp32" if wide else self.precision

        fold = folding(node, self._shape)
        unknown: list[str] = []
        wrong: list[Unsupported] = []  # said where nothing else must be known, for then it may fold away

        def adapt(value: Any, parameter: Parameter) -> Any:
            try:
                return self._adapt(value, parameter, precision, fold)
            except NotConstant as error:
                unknown.extend(error.parameters)
            except Unsupported as error:
                wrong.append(error)

        token = builder.precision.set(precision)
        try:
            call = bind(node, self.graph.types, adapt)
            if unknown:
                raise NotConstant(*dict.fromkeys(unknown))
            if wrong:
                raise wrong[0]
            result = call()
            if fold is not None:
                result = reshape(result, fold.result)
        finally:
            builder.precision.reset(token)
        results = result if isinstance(result, tuple | list) else (result,)
        for extra in node.outputs[len(results) :]:
            if extra and extra not in self.graph.constants:
                raise Unsupported(f'its output "{extra}" is not supported')
        outputs = {}
        for name, value in zip(node.outputs, results, strict=False):
            if not name:
                continue
            note(value, Origin(node.op_type, node.name, name))
            if wide:
                value = self._narrowed(name, value)
                note(value, Origin(node.op_type, node.name, name))
            outputs[name] = self._checked(node, name, value)
        return outputs

    def _narrowed(self, name: str, value: Shaped) -> Shaped:
        """A float32 result as float16; nodes in float32 behind it take it as it was."""
        var = _base(value)
        if not builder.is_float(var):
            return value
        if name:
            self.wide[name] = value
        limit = builder.FLOAT16_MAX
        return _on(builder.cast(mb.clip(x=var, alpha=-limit, beta=limit), self.precision), value)

    def _adapt(self, value: Any, parameter: Parameter, precision: str, fold: Folding | None) -> Any:
        if isinstance(value, Subgraph):
            return self._enter(value)
        if not isinstance(value, Input):
            return value
        array = self.graph.constants.get(value.name)
        shape = fold.inputs.get(value.name) if fold else None
        if must_be_known(parameter):
            if array is None:
                raise NotConstant(parameter.name)
            return known(array, parameter)
        if is_sizes(parameter):
            return self._sizes(value.name, array, parameter)
        if parameter.annotation in (Operand, ShapedOperand) and array is not None:
            return array.reshape(shape) if shape else array
        is_wide = precision != self.precision and value.name in self.wide
        x = self.wide[value.name] if is_wide else self._var(value.name, array, precision)
        x = reshape(x, shape) if shape else x
        x = x if parameter.annotation in (Shaped, ShapedOperand) else tensor(x)
        if precision != self.precision and builder.is_float(_base(x)):
            x = _on(builder.cast(_base(x), precision), x)
        return x

    def _shape(self, name: str) -> Ints:
        value = self.graph.constants.get(name)
        return tuple((self.values[name] if value is None else value).shape)

    def _sizes(self, name: str, array: np.ndarray | None, parameter: Parameter) -> tuple[Any, ...]:
        """Integers that follow from shapes, each in a Var of its own where it is flexible."""
        if array is not None:
            return tuple(int(size) for size in array.reshape(-1))
        if name not in self.graph.sizes:
            raise NotConstant(parameter.name)
        return tuple(
            mb.slice_by_index(x=self.values[name], begin=[axis], end=[axis + 1]) if size is None else size
            for axis, size in enumerate(self.graph.sizes[name])
        )

    def _var(self, name: str, array: np.ndarray | None, precision: str) -> Shaped:
        if array is None:
            return self.values[name]
        key = f"{name}:{precision}"
        if not array.size:
            raise Unsupported(f"a tensor without elements ({list(array.shape)}) has no place in Core ML")
        if key not in self.values:
            dtype = np.float16 if precision == "fp16" else np.float32
            self.values[key] = mb.const(
                val=builder.narrow(array, dtype), name=unique(f"{name}_{precision}", self.names)
            )
        return self.values[key]

    def _checked(self, node: Node, name: str, value: Shaped) -> Shaped:
        """The value, after its type was compared with what ONNX infers."""
        type_ = self.graph.types.get(name)
        if type_ is None:
            return value
        if type_.shape is not None and not isinstance(value, View):
            value = pinned(value, type_.shape)
        shape = tuple(value.shape)
        if type_.shape is not None and (
            len(shape) != len(type_.shape) or any(_differ(*dims) for dims in zip(shape, type_.shape, strict=True))
        ):
            raise ConversionError(
                f'output "{name}" was built with shape {list(shape)}, the model says {list(type_.shape)}',
                where=(str(node),),
                fix="this is a fault of the converter; please report it with the model",
            )
        var = _base(value)
        expected = mil_dtype(type_.dtype, self.precision)
        if builder.dtype_name(var) != expected:
            raise ConversionError(
                f'output "{name}" was built as {builder.dtype_name(var)}, the model says {type_.dtype}',
                where=(str(node),),
                fix="this is a fault of the converter; please report it with the model",
            )
        return value

    def _stand_in(self, node: Node) -> None:
        """Something of the right type for a refused node, so that the nodes behind it are examined too."""
        from coremltools.converters.mil.mil import types

        dtypes = {"fp16": types.fp16, "fp32": types.fp32, "int32": types.int32, "bool": types.bool}
        for name in node.outputs:
            type_ = self.graph.types.get(name)
            try:
                if type_ is None or type_.shape is None or not all(isinstance(dim, int) for dim in type_.shape):
                    raise Unsupported("its type is not known")
                dtype = dtypes[mil_dtype(type_.dtype, self.precision)]
            except Unsupported:
                self.unknown.add(name)
                continue
            self.values[name] = mb.placeholder(
                shape=type_.shape, dtype=dtype, allow_rank0_input=True, name="stand_in"
            ).outputs[0]


def _base(x: Shaped) -> Var:
    return x.base if isinstance(x, View) else x


def _on(base: Var, x: Shaped) -> Shaped:
    """Another tensor, seen as `x` is."""
    return replace(x, base=base) if isinstance(x, View) else base


def _differ(built: object, inferred: object) -> bool:
    """Whether two sizes are both known and not the same."""
    return isinstance(built, int | np.integer) and isinstance(inferred, int) and built != inferred
