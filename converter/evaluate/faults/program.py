"""An ML Program: its functions against the description, its operations against their types, its weights' blobs."""

import re
from typing import Any

from converter.errors import EvaluationError
from converter.evaluate.bundle import Weights
from converter.evaluate.faults import interface
from converter.evaluate.faults.blobs import check_blobs
from converter.evaluate.faults.face import check_face
from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.labels import check_labels
from converter.evaluate.faults.made_up import seed
from converter.evaluate.faults.reading import Reading
from converter.evaluate.faults.retyping import Retyping
from converter.evaluate.mil.program import OPSETS
from converter.evaluate.mil.reader import Body
from converter.evaluate.mil.types import value_type

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def check(spec: Any, weights: Weights, faults: Faults) -> None:
    """Add what is wrong with the functions, each by itself and against its description."""
    functions = spec.mlProgram.functions
    described = dict(interface.faces(spec))
    default = spec.description.defaultFunctionName
    if spec.description.functions and default not in described:
        faults.add(f"the default function is {default!r}; described are {', '.join(described)}")
    if "" in described:  # a model of one function
        described = {"main": described[""]}
    for name in described:
        if name not in functions:
            has = f"it has {', '.join(sorted(functions))}" if functions else "it has no functions"
            faults.at(function=name).add(f"the program has no function {name!r}; {has}")
    if spec.description.functions:
        for name in sorted(set(functions) - set(described)):
            faults.at(function=name).add("the program's function is not described")
    bodies = []
    for name in sorted(functions):
        if (body := _function(functions[name], weights, described.get(name), faults.at(function=name))) is not None:
            bodies.append((name, body))
    check_blobs(bodies, weights, faults)


def _function(message: Any, weights: Weights, face: Any | None, faults: Faults) -> Body | None:
    if message.opset not in OPSETS:
        faults.add(f"unknown opset {message.opset!r}; known are {', '.join(OPSETS)}")
        return None
    if message.opset not in message.block_specializations:
        faults.add(f"has no block for its opset {message.opset}")
        return None
    inputs = {}
    for named in message.inputs:
        here = faults.at(op="input", name=named.name)
        if named.name in inputs:
            here.add("two inputs of the function have this name")
        try:
            inputs[named.name] = value_type(named.type)
        except EvaluationError as error:
            here.caught(error)
    reading = Reading(weights, OPSETS[message.opset], faults)
    body = reading.body(message.block_specializations[message.opset], tuple(inputs.items()), {}, top=True)
    for name in {*inputs, *reading.names}:
        if not _NAME.fullmatch(name):
            faults.add(
                f"the name {name!r} is not allowed: letters, digits and _ are, and no digit first",
                fix="rename it, and convert the model again",
            )
    given = {}
    if face is not None:
        check_face(face, inputs, body.outputs, reading.types, faults)
        given = {feature.name: feature for feature in [*face.input, *face.state]}
    retyping = Retyping(reading.lost, faults)
    values = {name: seed(kind, given.get(name)) for name, kind in inputs.items()}
    retyping.walk(body, values, {})
    for labels, scores, step in retyping.labels:
        check_labels(labels, scores, faults.at(op=step.op_type, name=step.name))
    return body
