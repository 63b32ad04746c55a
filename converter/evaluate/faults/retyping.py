"""Holds each operation's results against the types that the program declares, by computing it once.

Inputs are made up. What an operation cannot give is replaced by a value of the declared type, so that one fault is one
fault and all that follows is checked too. Large operations are computed on torch's "meta" device, where tensors have
types and no numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from converter.errors import EvaluationError
from converter.evaluate.faults.fault import Faults
from converter.evaluate.faults.made_up import LARGE, UNKNOWN, misfit, resolved, substitute, typed_only
from converter.evaluate.limits import KERNEL_ERRORS
from converter.evaluate.mil.arguments import adapt
from converter.evaluate.mil.reader import Body, Constant, Name, Step, Type
from converter.evaluate.mil.types import TensorType
from converter.registry import BindError

_MULTIPLICATIONS = 1 << 28  # the same for an operation's multiplications
_SMALL = 1 << 12  # a value that keeps its numbers even then: shapes and indices
_LISTS = {"list_gather", "list_length", "list_read", "list_scatter", "list_write", "make_list"}
_WITHOUT_NUMBERS = {"shape"}  # their results depend on types only


class Retyping:
    """`lost` are values whose operations could not be read. `labels` collects what classifiers name, and for how many.

    A value is tainted when it depends on the made-up inputs: where one decides what an operation does (an index, a
    size), the operation's failure says nothing about the file. Nor does that of an operation on a value whose type
    leaves sizes open: the described default may be one that the app never gives.
    """

    def __init__(self, lost: Mapping[str, Type], faults: Faults) -> None:
        self.lost = lost
        self.faults = faults
        self.tainted: set[str] = set()
        self.open: set[str] = set()
        self.labels: list[tuple[list[str | int], int | None, Step]] = []

    def walk(self, body: Body, inputs: Mapping[str, Any], outer: Mapping[str, Any]) -> list[Any]:
        """Compute a block; its inputs count as made up. Gives its outputs."""
        self.tainted |= set(inputs)
        self.open |= {name for name, kind in body.inputs if _is_open(kind)}
        values = {**outer, **body.constants, **inputs}
        values |= {name: substitute(kind) for name, kind in self.lost.items() if name not in values}
        last = {name: index for index, step in enumerate(body.steps) for name in step.uses}
        for index, step in enumerate(body.steps):
            results = self._step(step, values)
            values |= {name: value for (name, _), value in zip(step.outputs, results, strict=True)}
            for name in (*step.uses, *(name for name, _ in step.outputs)):
                if last.get(name, index) <= index and name not in body.outputs and name not in outer:
                    values.pop(name, None)
        return [resolved(values.get(name, UNKNOWN)) for name in body.outputs]

    def _step(self, step: Step, values: Mapping[str, Any]) -> list[Any]:
        declared = [substitute(kind) for _, kind in step.outputs]
        here = self.faults.at(op=step.op_type, name=step.name)
        uses = {a.name for binding in step.arguments.values() for a in binding if isinstance(a, Name)}
        if (uses & self.tainted or step.bodies) and step.op_type not in _WITHOUT_NUMBERS:
            self.tainted |= {name for name, _ in step.outputs}
        self.open |= {name for name, kind in step.outputs if _is_open(kind)}
        large = is_large(step, values)
        given = {key: [_argument(a, values, large) for a in binding] for key, binding in step.arguments.items()}
        if step.op_type == "classify":
            self._classes(step, given)
            return declared
        if any(value is UNKNOWN for binding in given.values() for value in binding):
            return declared
        try:
            results = self._nested(step, given, values) if step.bodies else _computed(step, given, large)
        except BindError as error:
            here.add(str(error))
            return declared
        except EvaluationError as error:
            here.caught(error)
            return declared
        except KERNEL_ERRORS as error:
            if not uses & self.open and not self._depends_on_numbers(step, given):
                lines = str(error).strip().splitlines() or [type(error).__name__]
                here.add(f"cannot be computed: {lines[0]} ({_shapes(given)})")
            return declared
        if not step.outputs:
            return []
        if len(results) != len(step.outputs):
            here.add(f"gives {len(results)} values, the program declares {len(step.outputs)}")
            return declared
        checked = []
        for (name, kind), result, spare in zip(step.outputs, results, declared, strict=True):
            problem = "" if result is UNKNOWN else misfit(result, kind)
            if problem and not self._depends_on_numbers(step, given):
                here.add(f"its result {name!r} {problem}, the program declares {kind}")
            checked.append(spare if problem or result is UNKNOWN else _kept(result))
        return checked

    def _nested(self, step: Step, given: Mapping[str, Sequence[Any]], values: Mapping[str, Any]) -> list[Any]:
        """Both branches of a condition, or one round of a loop; what a branch gives must fit as well."""
        outer = dict(values.items())
        if step.op_type == "while_loop":
            variables = list(given["loop_vars"])
            condition, body = step.bodies
            self.walk(condition, _named(condition, variables), outer)
            return self.walk(body, _named(body, variables), outer)
        branches = [self.walk(body, {}, outer) for body in step.bodies]
        here = self.faults.at(op=step.op_type, name=step.name)
        for branch in branches[1:]:
            for (name, kind), result in zip(step.outputs, branch, strict=False):
                if result is not UNKNOWN and (problem := misfit(result, kind)):
                    here.add(f"its result {name!r} {problem} in the other branch, the program declares {kind}")
        return branches[0]

    def _classes(self, step: Step, given: Mapping[str, Sequence[Any]]) -> None:
        if len(given["probabilities"]) != 1 or len(given["classes"]) != 1:
            self.faults.at(op=step.op_type, name=step.name).add("takes one list of classes and one of probabilities")
            return
        scores, classes = given["probabilities"][0], given["classes"][0]
        count = scores.numel() if isinstance(scores, torch.Tensor) else None
        if isinstance(classes, list | torch.Tensor):
            labels = [int(c) if isinstance(c, torch.Tensor) else c for c in classes]
            self.labels.append((labels, count, step))

    def _depends_on_numbers(self, step: Step, given: Mapping[str, Sequence[Any]]) -> bool:
        """Whether a failure may come from the made-up inputs: indices or sizes among them, or values of no elements."""
        if step.op_type in _LISTS:
            return True
        for key, binding in step.arguments.items():
            for argument, value in zip(binding, given[key], strict=True):
                if not isinstance(value, torch.Tensor):
                    continue
                if value.numel() == 0:
                    return True
                if isinstance(argument, Name) and argument.name in self.tainted and not value.is_floating_point():
                    return True
        return False


def _is_open(kind: Type) -> bool:
    return not isinstance(kind, TensorType) or kind.shape is None or None in kind.shape


def is_large(step: Step, values: Mapping[str, Any]) -> bool:
    """Whether an operation's numbers would take long: only its types are looked at then."""
    results = [math.prod(d or 1 for d in k.shape or ()) for _, k in step.outputs if isinstance(k, TensorType)]
    known = [values.get(a.name) if isinstance(a, Name) else a for b in step.arguments.values() for a in b]
    given = [math.prod(_shape(value)) for value in known]
    weights = [_shape(v) for key in ("weight", "y") for v in _bound(step, key, values)]
    inner = max((math.prod(shape[1:]) for shape in weights if shape), default=1)
    return max([0, *results, *given]) > LARGE or max([0, *results]) * inner > _MULTIPLICATIONS


def _bound(step: Step, key: str, values: Mapping[str, Any]) -> list[Any]:
    return [values.get(a.name) if isinstance(a, Name) else a for a in step.arguments.get(key, ())]


def _shape(value: Any) -> Sequence[int]:
    if isinstance(value, torch.Tensor):
        return value.shape
    if isinstance(value, Constant):
        tensor = value.message.type.tensorType
        return [d.constant.size for d in tensor.dimensions]
    return ()


def _argument(argument: Name | Constant, values: Mapping[str, Any], large: bool) -> Any:
    value = values.get(argument.name, UNKNOWN) if isinstance(argument, Name) else argument
    if large and isinstance(value, Constant) and math.prod(_shape(value)) > _SMALL:
        return typed_only(value)
    value = resolved(value)
    if not isinstance(value, torch.Tensor):
        return value
    if large and (value.is_floating_point() or value.numel() > _SMALL):
        return value.to("meta")
    return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta and not large else value


def _computed(step: Step, given: Mapping[str, Sequence[Any]], large: bool) -> list[Any]:
    def once(named: Mapping[str, Any]) -> list[Any]:
        with torch.inference_mode():
            result = step.op.bind(named=named, adapt=adapt)()
        return list(result) if isinstance(result, tuple) else [result]

    if not large:
        return once(given)
    check_bias(step, given)
    try:
        return once(given)
    except KERNEL_ERRORS as error:
        # Without numbers some kernels refuse what they take with numbers; such an operation stays unchecked.
        if "meta" in str(error) or isinstance(error, NotImplementedError):
            return [UNKNOWN for _ in step.outputs]
        raise


def check_bias(step: Step, given: Mapping[str, Sequence[Any]]) -> None:
    """What torch's convolutions do not look at on the meta device."""
    if step.op_type not in ("conv", "conv_transpose"):
        return
    x, weight = given["x"][0], given["weight"][0]
    groups = int(given["groups"][0]) if "groups" in given else 1
    outputs = weight.shape[0] if step.op_type == "conv" else weight.shape[1] * groups
    inputs = weight.shape[1] * groups if step.op_type == "conv" else weight.shape[0]
    if x.shape[1] != inputs:
        raise ValueError(f"the weight takes {inputs} channels, the input has {x.shape[1]}")
    if "bias" in given and list(given["bias"][0].shape) != [outputs]:
        raise ValueError(f"the bias has the shape {list(given['bias'][0].shape)} for {outputs} channels")


def _kept(value: Any) -> Any:
    """A result as it is handed on: an int or bool without numbers counts as zeros."""
    if isinstance(value, torch.Tensor) and value.is_meta and value.numel() <= LARGE:
        return torch.zeros(value.shape, dtype=value.dtype)
    return value


def _named(body: Body, values: Sequence[Any]) -> dict[str, Any]:
    return {name: value for (name, _), value in zip(body.inputs, values, strict=False)}


def _shapes(given: Mapping[str, Sequence[Any]]) -> str:
    shapes = [
        f"{key} {list(value.shape)}"
        for key, binding in given.items()
        for value in binding
        if isinstance(value, torch.Tensor) and value.dim()
    ]
    return ", ".join(shapes) or "no tensors"
