"""The border of a program: its inputs, outputs and names, as the interface wants them."""

import itertools
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from converter.convert.onnx import builder
from converter.convert.onnx.builder import Unsupported, Var, mb, mil_dtype
from converter.convert.onnx.graph import Graph, TensorType
from converter.convert.onnx.lower.given import Bounded, Shapes, bounded
from converter.errors import ConversionError
from converter.model import Classifier, ImageInput, Interface, Output, Range, TensorInput

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MIL = {"float32": "fp32", "float16": "fp16", "int32": "int32"}


def placeholder(given: ImageInput | TensorInput) -> Any:
    """An input of the program; flexible dimensions are symbols."""
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


def entry(x: Var, given: ImageInput | TensorInput, type_: TensorType, precision: str) -> Var:
    """What the graph sees of an input: in the program's precision, and normalised."""
    _dtype(type_, given.name)
    expected = mil_dtype(type_.dtype, precision)
    if type_.shape == ():
        x = mb.squeeze(x=x, axes=[0])
    if expected == "bool":
        return mb.not_equal(x=x, y=0)
    x = builder.cast(x, expected)
    if isinstance(given, ImageInput) and any(std != 1.0 for std in given.normalization.std):
        std = np.array(given.normalization.std, np.float32).reshape(1, -1, 1, 1)
        return mb.real_div(x=x, y=builder.const(std, like=x))
    return x


def name_outputs(values: Sequence[Var], interface: Interface) -> list[Var]:
    """The graph's outputs as the app gets them: activated, in their type, under their name."""
    named: list[Var] = []
    for value, output in zip(values, interface.outputs, strict=True):
        name, x = output.name, value
        if not named and interface.classifier is not None:
            name, x = interface.classifier.probabilities_name, _activated(value, interface.classifier)
        named.append(_named(x, name, output, taken=named))
    return named


def _activated(scores: Var, classifier: Classifier) -> Var:
    match classifier.activation:
        case "softmax":
            return mb.softmax(x=scores, axis=-1)
        case "sigmoid":
            return mb.sigmoid(x=scores)
    return scores


def _named(value: Var, name: str, output: Output, taken: Sequence[Var]) -> Var:
    """The output under its own name and in its own type; ct.convert keeps the name of the operation itself."""
    value = builder.cast(value, _MIL[output.dtype])
    if value.op is None or value.op.op_type == "const" or any(value is other for other in taken):
        return mb.identity(x=value, name=name)
    value.set_name(name)
    return value


def reserve_names(interface: Interface) -> dict[str, str]:
    """Begin the Builder's names afresh, so that a graph always gives the same program, and past the interface's own.

    The Builder counts: `linear_8` is its ninth linear; an output may be called that too. Returns the names taken.
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
    return {name: name for name in names}


def valid_name(name: str) -> str:
    """A name that Core ML allows; `interface_of` keeps the way back."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return name if _NAME.fullmatch(name) else f"_{name}"


def interface_of(graph: Graph, shapes: Shapes | None = None) -> tuple[Interface, dict[str, str]]:
    """The interface that the graph itself has, and the ONNX name behind each of its names.

    `shapes` bounds its symbolic dimensions. Raises ConversionError for one that it leaves open.
    """
    names: dict[str, str] = {}
    sizes = bounded({name: graph.types[name] for name in graph.inputs}, shapes or {})
    inputs = tuple(_tensor_input(unique(name, names), name, graph.types[name], sizes[name]) for name in graph.inputs)
    outputs = tuple(
        Output(name=unique(original, names), dtype=_dtype(graph.types.get(name), original))
        for original, name in zip(graph.output_names, graph.outputs, strict=True)
    )
    return Interface(inputs=inputs, outputs=outputs), names


def unique(name: str, names: dict[str, str]) -> str:
    """A valid name that is not yet taken; it is entered with the name it stands for."""
    plain = valid_name(name)
    candidates = itertools.chain([plain], (f"{plain}_{count}" for count in itertools.count(2)))
    chosen = next(candidate for candidate in candidates if candidate not in names)
    names[chosen] = name
    return chosen


def _tensor_input(name: str, original: str, type_: TensorType, sizes: Bounded) -> TensorInput:
    dtype, (shape, enumerated) = _dtype(type_, original), sizes
    if len(shape) > builder.MAX_RANK:
        raise ConversionError(
            f'input "{original}" is of rank {len(shape)} ({list(shape)}); Core ML ends at {builder.MAX_RANK}',
            fix="let the model take it in fewer dimensions and reshape it",
        )
    if 0 in shape:
        raise ConversionError(
            f'input "{original}" is empty ({list(shape)}), and Core ML has no empty tensors',
            fix="export the model without it",
        )
    # Core ML has no scalar inputs; a vector of one stands for them.
    return TensorInput(name=name, shape=shape or (1,), dtype=dtype, enumerated=enumerated)


def _dtype(type_: TensorType | None, name: str) -> Literal["float32", "int32"]:
    """What the app gives or gets for an ONNX type; an unknown one belongs to an operator that will be refused."""
    try:
        return "float32" if type_ is None or mil_dtype(type_.dtype, "fp32") == "fp32" else "int32"
    except Unsupported as error:
        raise ConversionError(f'"{name}": {error}', fix="do this part of the model in the app") from error
