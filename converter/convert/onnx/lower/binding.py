"""A node's inputs and attributes fitted to the parameters of its lowering."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.convert.onnx.builder import ElementTypes, Operand, OutputCount, Sizes, Unsupported
from converter.convert.onnx.graph import Node, TensorType
from converter.convert.onnx.ops import TABLES
from converter.convert.onnx.ops.absent import REASONS
from converter.convert.onnx.views import Shaped, ShapedOperand
from converter.registry import Adapt, BindError, Op, Parameter


@dataclass(frozen=True)
class Input:
    """A value by its ONNX name; an attribute arrives as its Python value."""

    name: str


def find(node: Node) -> Op:
    """The lowering of a node, or Unsupported."""
    table = TABLES.get(node.domain)
    if table is None or node.op_type not in table:
        raise Unsupported(REASONS.get(node.op_type, "there is no lowering for this op"))
    op = table.find(node.op_type, node.opset)
    if op is None:
        oldest = next(o.since for o in table if o.name == node.op_type)
        raise Unsupported(f"there is no lowering for this op before opset {oldest}")
    return op


def bind(node: Node, types: Mapping[str, TensorType], adapt: Adapt) -> Callable[[], Any]:
    """The call of a node's lowering, each argument adapted. Raises Unsupported, and BindError for a misfit."""
    if node.refusal:
        raise Unsupported(node.refusal)
    op = find(node)
    elements = tuple(types[name].dtype if name in types else "" for name in node.inputs)
    besides = {OutputCount: len(node.outputs), ElementTypes: elements}
    told = {p.name: besides[p.annotation] for p in op.parameters if p.annotation in besides}
    inputs = [Input(name) if name else None for name in node.inputs]
    return op.bind(inputs, {**node.attributes, **told}, adapt)


def must_be_known(parameter: Parameter) -> bool:
    """Whether a parameter's type asks for a value that is known at conversion."""
    return parameter.annotation not in (Any, Shaped, Operand, ShapedOperand) and not is_sizes(parameter)


def is_sizes(parameter: Parameter) -> bool:
    return parameter.annotation in (Sizes, Sizes | None)


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
