"""Walks a prepared graph and builds the MIL program: the only place that knows nodes."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from converter.convert.onnx import builder
from converter.convert.onnx.builder import Operand, OutputCount, Unsupported, Var, mb
from converter.convert.onnx.graph import Graph, Node, TensorType
from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.prepare import bound_inputs, match_inputs, prepare
from converter.convert.onnx.views import Shaped, View, tensor
from converter.errors import ConversionError, UnsupportedOpsError
from converter.model import ImageInput, Interface, Output, Range, Target, TensorInput
from converter.registry import Adapt, BindError, Op, Parameter

# What runs after lowering, in coremltools' order. The frontend emits final operations; these find what only
# neighbours show: x @ w + b, the five operations of a gelu, a zero added, reshapes and transposes that undo each other.
PASSES = (
    "common::noop_elimination",
    "common::fuse_linear_bias",
    "common::fuse_gelu_exact",
    "common::fuse_gelu_tanh_approximation",
    "common::merge_consecutive_reshapes",
    "common::reduce_transposes",
    "common::dead_code_elimination",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float16", "float32", "float64", "bfloat16")
_MIL = {"float32": "fp32", "float16": "fp16", "int32": "int32"}


def lower(graph: Graph, *, interface: Interface | None, target: Target) -> tuple[Any, list[str]]:
    """Build the MIL program of a prepared graph, and name the passes that it still needs.

    The program's inputs are the interface's, in its order: float32 (an image after Core ML's `pixel * scale - mean`,
    [1, C, H, W]), float16 or int32; its outputs have the interface's names and types. Without an interface the graph's
    own names are kept, made valid. Raises UnsupportedOpsError naming every node that cannot be lowered.
    """
    import coremltools as ct
    from coremltools.converters.mil.mil import Function, Program

    declared, interface = interface, interface or interface_of(graph)[0]
    _refuse_unknown(graph)
    _reserve(interface)
    lowering = _Lowering(graph, "fp16" if target.compute_precision == "float16" else "fp32")
    given = match_inputs(graph.inputs, interface)
    if declared is not None:
        bound_inputs({name: graph.types[name] for name in graph.inputs}, interface)
    placeholders = {given[name].name: _placeholder(given[name]) for name in graph.inputs}
    opset = getattr(ct.target, target.deployment_target)
    program = Program()
    with Function({i.name: placeholders[i.name] for i in interface.inputs}, opset_version=opset) as function:
        for name in graph.inputs:
            lowering.values[name] = _entry(
                function.inputs[given[name].name], given[name], graph.types[name], lowering.precision
            )
        lowering.run()
        outputs = _outputs(lowering, interface, reserved=set(placeholders))
        function.set_outputs(outputs)
    program.add_function("main", function)
    program.export_as_multifunction = False
    return program, list(PASSES)


def _reserve(interface: Interface) -> None:
    """Begin the Builder's names afresh, so that a graph always gives the same program, and past the interface's own.

    The Builder counts: `linear_8` is its ninth linear; an output may be called that too.
    """
    from coremltools.converters.mil.mil import Builder

    Builder.name_count.clear()
    names = [feature.name for feature in (*interface.inputs, *interface.outputs)]
    if interface.classifier is not None:
        names += [interface.classifier.probabilities_name, interface.classifier.predicted_feature_name]
    for name in names:
        stem, _, number = name.rpartition("_")
        if stem and number.isdecimal():
            Builder.name_count[stem] = max(Builder.name_count[stem], int(number) + 1)


@dataclass(frozen=True)
class Support:
    """A node and why it cannot be lowered ('' if it can)."""

    node: Node
    reason: str


def report(model_path: Path) -> tuple[Support, ...]:
    """Every node of an ONNX file, and why it cannot be lowered as far as its op, attributes and constants tell.

    Raises SourceError or ConversionError where the file cannot be read.
    """
    graph = prepare(model_path)
    return tuple(Support(node, _refusal(graph, node)) for node in graph.nodes)


def _refuse_unknown(graph: Graph) -> None:
    refused = [Support(node, reason) for node in graph.nodes if (reason := _refusal(graph, node))]
    if refused:
        raise unsupported(refused)


def unsupported(refused: Sequence[Support]) -> UnsupportedOpsError:
    nodes = "\n".join(f"  {entry.node}: {entry.reason}" for entry in refused)
    ops = ", ".join(f"{n} x {op}" for op, n in Counter(entry.node.op_type for entry in refused).most_common())
    return UnsupportedOpsError(
        f"{len(refused)} nodes cannot be converted ({ops}):\n{nodes}",
        fix="rewrite these parts of the model with other operators, or cut them off and do them in the app",
    )


def _refusal(graph: Graph, node: Node) -> str:
    """Why the node cannot be lowered, as far as can be said without building it."""

    def adapt(value: Any, parameter: Parameter) -> Any:
        if isinstance(value, _Input) and _is_known(parameter) and value.name not in graph.constants:
            raise BindError("must be known at conversion, but is computed by the model", parameter.name)
        return value

    try:
        _bind(node, adapt)
    except (BindError, Unsupported) as error:
        return _reason(error)
    return ""


@dataclass(frozen=True)
class _Input:
    name: str


def _find(node: Node) -> Op:
    table = TABLES.get(node.domain)
    if table is None or node.op_type not in table:
        raise Unsupported("there is no lowering for this op")
    op = table.find(node.op_type, node.opset)
    if op is None:
        oldest = next(o.since for o in table if o.name == node.op_type)
        raise Unsupported(f"there is no lowering for this op before opset {oldest}")
    return op


def _reason(error: BindError | Unsupported) -> str:
    if isinstance(error, BindError) and error.parameter and repr(error.parameter) not in str(error):
        return f"parameter {error.parameter!r} {error}"
    return str(error)


def _is_known(parameter: Parameter) -> bool:
    return parameter.annotation not in (Any, Shaped, Operand)


def _bind(node: Node, adapt: Adapt) -> Callable[[], Any]:
    op = _find(node)
    counts = {p.name: len(node.outputs) for p in op.parameters if p.annotation is OutputCount}
    inputs = [_Input(name) if name else None for name in node.inputs]
    return op.bind(inputs, {**node.attributes, **counts}, adapt)


def _placeholder(given: ImageInput | TensorInput) -> Any:
    from coremltools.converters.mil.mil import get_new_symbol, types

    dtypes = {"float32": types.fp32, "float16": types.fp16, "int32": types.int32}
    if isinstance(given, ImageInput):
        height, width = given.size
        flexible = [
            given.ranges is not None or any(s[axis] != given.size[axis] for s in given.enumerated) for axis in (0, 1)
        ]
        sides = [get_new_symbol() if f else side for f, side in zip(flexible, (height, width), strict=True)]
        return mb.placeholder(shape=(1, given.channels, *sides), dtype=types.fp32)
    shape = [
        get_new_symbol() if isinstance(dim, Range) or any(s[axis] != dim for s in given.enumerated) else dim
        for axis, dim in enumerate(given.shape)
    ]
    return mb.placeholder(shape=shape, dtype=dtypes[given.dtype])


def _entry(x: Var, given: ImageInput | TensorInput, type_: TensorType, precision: str) -> Var:
    """What the graph sees of an input: in the program's precision, and normalised."""
    expected = _mil_dtype(type_.dtype, precision)
    if type_.shape == ():
        x = mb.squeeze(x=x, axes=[0])
    if expected == "bool":
        return mb.not_equal(x=x, y=0)
    x = builder.cast(x, expected)
    if isinstance(given, ImageInput) and any(std != 1.0 for std in given.normalization.std):
        std = np.array(given.normalization.std, np.float32).reshape(1, -1, 1, 1)
        return mb.real_div(x=x, y=builder.const(std, like=x))
    return x


def _mil_dtype(dtype: str, precision: str) -> str:
    if dtype in _FLOATS:
        return precision
    if dtype in _INTEGERS:
        return "int32"
    if dtype == "bool":
        return "bool"
    raise Unsupported(f"values of type {dtype} have no place in Core ML")


@dataclass
class _Lowering:
    """The values built so far, by ONNX name."""

    graph: Graph
    precision: str
    values: dict[str, Shaped] = field(default_factory=dict)
    refused: list[Support] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # of constants, and what they stand for

    def run(self) -> None:
        cause: Exception | None = None
        for node in self.graph.nodes:
            try:
                outputs = self._lower(node)
            except (BindError, Unsupported) as error:
                self.refused.append(Support(node, _reason(error)))
                self._stand_in(node)
                continue
            except ConversionError:
                raise
            except Exception as error:  # noqa: BLE001  coremltools raises what it likes for types it does not take
                self.refused.append(Support(node, f"coremltools refuses it: {error}"))
                self._stand_in(node)
                cause = cause or error
                continue
            self.values.update(outputs)
        if self.refused:
            raise unsupported(self.refused) from cause

    def _lower(self, node: Node) -> dict[str, Shaped]:
        wide = self.precision == "fp16" and any(
            builder.needs_float32(self.graph.constants[name]) for name in node.inputs if name in self.graph.constants
        )
        precision = "fp32" if wide else self.precision

        def adapt(value: Any, parameter: Parameter) -> Any:
            return self._adapt(value, parameter, precision)

        builder.precision.set(precision)
        result = _bind(node, adapt)()
        results = result if isinstance(result, tuple | list) else (result,)
        for extra in node.outputs[len(results) :]:
            if extra:
                raise Unsupported(f'its output "{extra}" is not supported')
        outputs = {}
        for name, value in zip(node.outputs, results, strict=False):
            if not name:
                continue
            if wide and builder.is_float(value):
                limit = builder.FLOAT16_MAX
                value = builder.cast(mb.clip(x=value, alpha=-limit, beta=limit), self.precision)
            outputs[name] = self._checked(node, name, value)
        return outputs

    def _adapt(self, value: Any, parameter: Parameter, precision: str) -> Any:
        if not isinstance(value, _Input):
            return value
        array = self.graph.constants.get(value.name)
        if _is_known(parameter):
            if array is None:
                raise BindError("must be known at conversion, but is computed by the model", parameter.name)
            return known(array, parameter)
        if parameter.annotation == Operand and array is not None:
            return array
        x = self._var(value.name, array, precision)
        x = x if parameter.annotation == Shaped else tensor(x)
        if precision != self.precision and not isinstance(x, View) and builder.is_float(x):
            x = builder.cast(x, precision)
        return x

    def _var(self, name: str, array: np.ndarray | None, precision: str) -> Shaped:
        if array is None:
            return self.values[name]
        key = f"{name}:{precision}"
        if key not in self.values:
            dtype = np.float16 if precision == "fp16" else np.float32
            self.values[key] = mb.const(
                val=builder.narrow(array, dtype), name=_unique(f"{name}_{precision}", self.names)
            )
        return self.values[key]

    def _checked(self, node: Node, name: str, value: Shaped) -> Shaped:
        """The value, after its type was compared with what ONNX infers."""
        type_ = self.graph.types.get(name)
        if type_ is None:
            return value
        shape = tuple(value.shape)
        if type_.shape is not None and (
            len(shape) != len(type_.shape)
            or any(
                isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(shape, type_.shape, strict=True)
            )
        ):
            raise ConversionError(
                f'output "{name}" was built with shape {list(shape)}, the model says {list(type_.shape)}',
                where=(str(node),),
                fix="this is a fault of the converter; please report it with the model",
            )
        var = value.base if isinstance(value, View) else value
        expected = _mil_dtype(type_.dtype, self.precision)
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
            if type_ is None or type_.shape is None or not all(isinstance(dim, int) for dim in type_.shape):
                raise unsupported(self.refused)
            dtype = dtypes[_mil_dtype(type_.dtype, self.precision)]
            self.values[name] = mb.placeholder(
                shape=type_.shape, dtype=dtype, allow_rank0_input=True, name="stand_in"
            ).outputs[0]


def known(array: np.ndarray, parameter: Parameter) -> Any:
    """A constant input as what the parameter's type asks for: an array, or a Python number, text or tuple."""
    annotation = str(parameter.annotation)
    if "ndarray" in annotation:
        return array
    values = array.reshape(-1).tolist()
    if "tuple" in annotation:
        return tuple(values)
    if len(values) != 1:
        raise BindError(f"must be one value, but has shape {list(array.shape)}", parameter.name)
    return values[0]


def _outputs(lowering: _Lowering, interface: Interface, reserved: set[str]) -> list[Var]:
    graph = lowering.graph
    if len(interface.outputs) != len(graph.outputs):
        raise ConversionError(
            f"the model has {len(graph.outputs)} outputs ({', '.join(graph.output_names)}), "
            f"the manifest gives {len(interface.outputs)} ({', '.join(o.name for o in interface.outputs)})",
            fix="list the model's outputs in its order",
        )
    variables: list[Var] = []
    classifier = interface.classifier
    for index, (name, output) in enumerate(zip(graph.outputs, interface.outputs, strict=True)):
        value = _final(lowering, name, output)
        final = output.name
        if index == 0 and classifier is not None:
            final = classifier.probabilities_name
            if classifier.activation == "softmax":
                value = mb.softmax(x=value, axis=-1)
            elif classifier.activation == "sigmoid":
                value = mb.sigmoid(x=value)
        variables.append(_named(value, final, output, taken=variables))
    return variables


def _final(lowering: _Lowering, name: str, output: Output) -> Var:
    try:
        return tensor(lowering._var(name, lowering.graph.constants.get(name), lowering.precision))
    except Unsupported as error:
        raise ConversionError(f'output "{output.name}": {error}', fix="reshape it inside the model") from error


def _named(value: Var, name: str, output: Output, taken: Sequence[Var]) -> Var:
    """The output under its own name and in its own type; ct.convert keeps the name of the operation itself."""
    value = builder.cast(value, _MIL[output.dtype])
    if value.op is None or value.op.op_type == "const" or any(value is other for other in taken):
        return mb.identity(x=value, name=name)
    value.set_name(name)
    return value


def valid_name(name: str) -> str:
    """A name that Core ML allows; `interface_of` keeps the way back."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return name if _NAME.fullmatch(name) else f"_{name}"


def interface_of(graph: Graph) -> tuple[Interface, dict[str, str]]:
    """The interface that the graph itself has, and the ONNX name behind each of its names.

    Raises ConversionError for a symbolic dimension, which only a manifest can bound.
    """
    names: dict[str, str] = {}
    inputs = tuple(_tensor_input(_unique(name, names), name, graph.types[name]) for name in graph.inputs)
    outputs = tuple(
        Output(name=_unique(given, names), dtype=_boundary(graph.types[name], given))
        for given, name in zip(graph.output_names, graph.outputs, strict=True)
    )
    return Interface(inputs=inputs, outputs=outputs), names


def _unique(name: str, names: dict[str, str]) -> str:
    """A valid name that is not yet taken; it is entered with the name it stands for."""
    plain = valid_name(name)
    candidates = itertools.chain([plain], (f"{plain}_{count}" for count in itertools.count(2)))
    chosen = next(candidate for candidate in candidates if candidate not in names)
    names[chosen] = name
    return chosen


def _tensor_input(name: str, original: str, type_: TensorType) -> TensorInput:
    shape = type_.shape
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        words = "unknown" if shape is None else list(shape)
        raise ConversionError(
            f'the shape of input "{original}" is not fixed: {words}',
            fix="give its shape in a manifest (a size, or a bounded range), or export the model with fixed shapes",
        )
    if len(shape) > builder.MAX_RANK:
        raise ConversionError(
            f'input "{original}" is of rank {len(shape)} ({list(shape)}); Core ML ends at {builder.MAX_RANK}',
            fix="let the model take it in fewer dimensions and reshape it",
        )
    # Core ML has no scalar inputs; a vector of one stands for them.
    return TensorInput(name=name, shape=cast(tuple[int, ...], shape or (1,)), dtype=_boundary(type_, original))


def _boundary(type_: TensorType, name: str) -> Literal["float32", "float16", "int32"]:
    if type_.dtype in _FLOATS:
        return "float32"
    if type_.dtype in (*_INTEGERS, "bool"):
        return "int32"
    raise ConversionError(f'"{name}" is of type {type_.dtype}, which no Core ML input or output can have')
