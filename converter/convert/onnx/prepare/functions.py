"""Ops that the standard itself spells out in others: their function bodies stand in for lowerings that we lack."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import onnx
import onnx.defs

from converter.convert.onnx.ops import TABLES


@cache
def schema(op_type: str, domain: str, opset: int) -> Any:
    """What the standard says of an op at an opset (onnx.defs.OpSchema); None where it does not know it."""
    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None


@cache
def _defaults(op_type: str, domain: str, opset: int) -> tuple[onnx.AttributeProto, ...]:
    found = schema(op_type, domain, opset)
    attributes = found.attributes.values() if found is not None else ()
    return tuple(attribute.default_value for attribute in attributes if attribute.default_value.name)


def with_defaults(node: onnx.NodeProto, opsets: Mapping[str, int]) -> onnx.NodeProto:
    """The node with every attribute that it leaves to the standard's default.

    onnx 1.23.2 infers the shape of a STFT without `onesided` as if that were 0, though its default is 1.
    """
    given = {attribute.name for attribute in node.attribute}
    missing = [a for a in _defaults(node.op_type, node.domain, opsets.get(node.domain, 0)) if a.name not in given]
    if not missing:
        return node
    full = onnx.NodeProto()
    full.CopyFrom(node)
    full.attribute.extend(missing)
    return full


def body(
    node: onnx.NodeProto, opsets: Mapping[str, int], protos: Mapping[str, onnx.TypeProto]
) -> onnx.FunctionProto | None:
    """The function that an op without a lowering stands for, if it has one; `protos` are the types of its inputs."""
    version = opsets.get(node.domain, 0)
    if node.domain in TABLES and TABLES[node.domain].find(node.op_type, version) is not None:
        return None
    found = schema(node.op_type, node.domain, version)
    if found is None:
        return None
    function: onnx.FunctionProto
    standard = opsets.get("", onnx.defs.onnx_opset_version())
    if found.has_function:
        at = _version(found.function_opset_versions, standard)
        function = onnx.FunctionProto.FromString(found.get_function_with_opset_version(at))
    elif found.has_context_dependent_function and all(name in protos for name in node.input if name):
        at = _version(found.context_dependent_function_opset_versions, standard)
        types = [protos[name] if name else onnx.TypeProto() for name in node.input]
        built = found.get_context_dependent_function_with_opset_version(
            at, node.SerializeToString(), [type_.SerializeToString() for type_ in types]
        )
        function = onnx.FunctionProto.FromString(built)
    else:
        return None
    given = {attribute.name for attribute in function.attribute_proto}
    defaults = _defaults(node.op_type, node.domain, version)
    function.attribute_proto.extend(attribute for attribute in defaults if attribute.name not in given)
    return function


def _version(versions: list[int], opset: int) -> int:
    """Of the opsets that a body is written in, the newest that the model's reaches; else the oldest."""
    return max((version for version in versions if version <= opset), default=min(versions))
