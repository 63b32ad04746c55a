"""Which opsets of ai.onnx the lowerings were written against."""

from collections.abc import Iterator

import onnx
import onnx.defs

from converter.convert.onnx.prepare import foreign
from converter.convert.onnx.prepare.functions import schema
from converter.convert.onnx.prepare.scope import AI_ONNX
from converter.errors import ConversionError, SourceError

OLDEST_OPSET = 6
NEWEST_OPSET = 28  # the newest whose every change was read; tests/convert/onnx/test_revisions.py holds it


def checked_opsets(model: onnx.ModelProto) -> dict[str, int]:
    """The version of each operator set that a model imports, ai.onnx as ''.

    Raises ConversionError for ops of ai.onnx whose meaning at the model's opset nobody has read: those that changed
    before OLDEST_OPSET or after NEWEST_OPSET. An older or newer model that holds no such op is taken.
    """
    if not model.graph.node and not model.graph.output:
        raise SourceError("the ONNX model is empty", fix="export the model again")
    opsets = {"" if o.domain in AI_ONNX else o.domain: o.version for o in model.opset_import}
    opsets.setdefault(foreign.DOMAIN, 1)  # onnxruntime's ops that it writes into ai.onnx
    version = opsets.setdefault("", OLDEST_OPSET)  # of a model that only uses other operator sets
    if OLDEST_OPSET <= version <= NEWEST_OPSET:
        return opsets
    newest = onnx.defs.onnx_opset_version()
    unread = sorted({name for name in _ops(model.graph) if version > newest or not _is_read(name, version)})
    if unread:
        raise ConversionError(
            f"the model is of ai.onnx opset {version}; {OLDEST_OPSET} to {NEWEST_OPSET} can be converted "
            f"(elsewhere {', '.join(unread)} may mean something else)",
            fix="export it again at an opset in that range, 18 for example",
        )
    return opsets


def _is_read(op_type: str, version: int) -> bool:
    """Whether an op outside the range means what it means inside."""
    found = schema(op_type, "", version)
    if found is None:
        return True  # unknown to everybody, and refused as such
    inside = schema(op_type, "", max(version, OLDEST_OPSET))
    return found.since_version <= NEWEST_OPSET and inside is not None and inside.since_version == found.since_version


def _ops(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        if node.domain in AI_ONNX:
            yield node.op_type
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _ops(inner)
