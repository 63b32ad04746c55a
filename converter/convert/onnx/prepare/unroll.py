"""Control flow opened at conversion: a known branch taken, a loop of known length written out round by round.

What only the running model can decide stays as a node with Subgraphs (`ops/controlflow.py` lowers it).
"""

# ruff: noqa: N802  the functions are named as the standard's ops

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from converter.convert.onnx.builder import NotConstant, Unsupported
from converter.convert.onnx.prepare.scope import Call, Value, tensors
from converter.convert.onnx.prepare.walk import Walk

MAX_VISITED = 50_000  # nodes that a model may have when its loops are written out


def If(walk: Walk, call: Call) -> Sequence[Value]:
    branches = {name: call.attribute(name) for name in ("else_branch", "then_branch")}
    (cond,) = tensors(call.inputs)
    known = walk.known(cond)
    if known is not None:
        graph = branches["then_branch" if known.reshape(-1)[0] else "else_branch"]
        return walk.enclosed(graph, [], call.scope.within(call.prefix))
    try:
        subgraphs = {
            name: walk.subgraph(graph, [], call.scope.within(f"{call.prefix}{name}/"))
            for name, graph in branches.items()
        }
    except Unsupported as error:
        raise NotConstant("cond") from error
    pairs = zip(*(subgraph.outputs for subgraph in subgraphs.values()), strict=True)
    return walk.emit(call, subgraphs, [_common(walk, *pair) for pair in pairs])


def _common(walk: Walk, one: str, other: str) -> onnx.TypeProto | None:
    """The type of a value that is one or the other; a size that differs is open."""
    if one not in walk.protos or other not in walk.protos:
        return None
    proto = onnx.TypeProto()
    proto.CopyFrom(walk.protos[one])
    shape, other_shape = walk.types[one].shape, walk.types[other].shape
    if shape is None or other_shape is None or len(shape) != len(other_shape):
        proto.tensor_type.ClearField("shape")
        return proto
    for dim, size, other_size in zip(proto.tensor_type.shape.dim, shape, other_shape, strict=True):
        if size != other_size:
            dim.Clear()
    return proto


def Loop(walk: Walk, call: Call) -> Sequence[Value]:
    call = replace(call, inputs=(*call.inputs, "", "")[: max(2, len(call.inputs))])  # M and cond may be left out
    count, cond, *initial = call.inputs
    written = _written_out(walk, call, initial)
    if written is not None:
        return written
    unknown = [name for name, value in (("M", count), ("cond", cond)) if value and walk.known(value) is None]
    states = tensors(initial) if all(isinstance(value, str) for value in initial) else None
    if states is None or any(name not in walk.protos for name in states):
        raise NotConstant(*unknown) if unknown else Unsupported(_OPEN_END)
    body = call.attribute("body")
    types = [_scalar(TensorProto.INT64), _scalar(TensorProto.BOOL), *(walk.protos[name] for name in states)]
    try:
        subgraph = walk.subgraph(body, types, call.scope.within(call.prefix))
    except Unsupported as error:
        raise (NotConstant(*unknown) if unknown else error) from error
    changed = [
        name
        for name, before in zip(subgraph.outputs[1:], states, strict=False)
        if name in walk.types and walk.types[name] != walk.types[before]
    ]
    if changed:
        raise NotConstant(*unknown) if unknown else Unsupported(_OPEN_END)
    return walk.emit(call, {"body": subgraph}, types[2:])


_OPEN_END = (
    "its number of rounds is found by the running model, which Core ML can only do where the values that it carries "
    "are tensors that keep their shapes"
)


def _scalar(elem_type: int) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(elem_type, ())


def _written_out(walk: Walk, call: Call, states: Sequence[Value]) -> list[Value] | None:
    """The loop's outputs where it is known when it ends; None where only the running model can tell."""
    count, go_on = walk.known(call.inputs[0]), walk.known(call.inputs[1])
    if (call.inputs[0] and count is None) or (call.inputs[1] and go_on is None):
        return None
    rounds = range(int(count.reshape(-1)[0])) if count is not None else itertools.count()
    body = call.attribute("body")
    nodes, carried = len(walk.nodes), list(states)
    collected: list[list[Value]] = [[] for _ in body.output[1 + len(states) :]]
    for index in rounds:
        if go_on is not None and not go_on.reshape(-1)[0]:
            break
        _check_length(walk)
        scope = call.scope.within(f"{call.prefix}{index}/")
        given = [walk.constant(np.array(index, np.int64)), walk.constant(np.array(True)), *carried]
        cond, *outputs = walk.enclosed(body, given, scope)
        go_on = walk.known(cond)
        if go_on is None:
            del walk.nodes[nodes:]
            return None
        carried = outputs[: len(states)]
        for elements, value in zip(collected, outputs[len(states) :], strict=True):
            elements.append(value)
    return [*carried, *(_stacked(walk, elements, 0) for elements in collected)]


def _check_length(walk: Walk) -> None:
    if walk.visited > MAX_VISITED:
        raise Unsupported(f"written out round by round, the model would have more than {MAX_VISITED} nodes")


def _stacked(walk: Walk, values: Sequence[Value], axis: int) -> str:
    """Tensors of one shape along a new axis."""
    if not values:
        raise Unsupported("it ends before its first round, so that an output is empty, which Core ML cannot hold")
    axes = walk.constant(np.array([axis], np.int64))
    rows = [walk.op("Unsqueeze", name, axes)[0] for name in tensors(values)]
    return walk.op("Concat", *rows, axis=axis)[0]


def Scan(walk: Walk, call: Call) -> Sequence[Value]:
    if call.opset < 9:
        return _batches(walk, call)
    return _scanned(walk, call, tensors(call.inputs), call.attribute("scan_input_axes"))


def _scanned(walk: Walk, call: Call, inputs: Sequence[str], axes: Sequence[int] | None) -> list[Value]:
    body, count = call.attribute("body"), call.attribute("num_scan_inputs")
    carried, scanned = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    made = len(body.output) - len(carried)
    backwards = call.attribute("scan_input_directions", call.attribute("directions", (0,) * count))
    rows = [
        _rows(walk, name, axis)[:: -1 if back else 1]
        for name, axis, back in zip(scanned, axes or (0,) * count, backwards, strict=True)
    ]
    if len({len(slices) for slices in rows}) != 1:
        raise Unsupported("the tensors that it scans are not of one length")
    states: list[Value] = list(carried)
    collected: list[list[Value]] = [[] for _ in range(made)]
    for index, slices in enumerate(zip(*rows, strict=True)):
        _check_length(walk)
        outputs = walk.enclosed(body, [*states, *slices], call.scope.within(f"{call.prefix}{index}/"))
        states = outputs[: len(states)]
        for elements, value in zip(collected, outputs[len(states) :], strict=True):
            elements.append(value)
    turned = call.attribute("scan_output_directions", (0,) * made)
    out_axes = call.attribute("scan_output_axes", (0,) * made)
    stacks = [
        _stacked(walk, elements[:: -1 if back else 1], axis)
        for elements, axis, back in zip(collected, out_axes, turned, strict=True)
    ]
    return [*states, *stacks]


def _batches(walk: Walk, call: Call) -> list[Value]:
    """Scan-8: an axis of batches before all, and lengths that differ."""
    lengths, *inputs = tensors(call.inputs)
    if lengths:
        raise Unsupported("sequences of different lengths (sequence_lens) end at different rounds")
    columns = [_rows(walk, name, 0) for name in inputs]
    batches = [_scanned(walk, call, given, None) for given in zip(*columns, strict=True)]
    return [_stacked(walk, values, 0) for values in zip(*batches, strict=True)]


def _rows(walk: Walk, name: str, axis: int) -> list[str]:
    """A tensor cut into slices along an axis, which goes."""
    shape = walk.types[name].shape if name in walk.types else None
    size = shape[axis] if shape is not None else None
    if not isinstance(size, int):
        raise Unsupported("the length of what it goes through must be known at conversion")
    if size == 0:
        raise Unsupported("what it goes through is empty, which Core ML cannot hold")
    parts = walk.op("Split", name, walk.constant(np.ones(size, np.int64)), outputs=size, axis=axis)
    axes = walk.constant(np.array([axis], np.int64))
    return [walk.op("Squeeze", part, axes)[0] for part in parts]


OPENERS = {
    function.__name__: function
    for function in (
        If,
        Loop,
        Scan,
    )
}
