"""A block made ready to run: constants bound to their ops once, and each value freed after its last use."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from converter.errors import EvaluationError
from converter.evaluate.limits import KERNEL_ERRORS
from converter.evaluate.mil.arguments import adapt
from converter.evaluate.mil.constants import Kept
from converter.evaluate.mil.reader import Body, Constant, Name, Step, Type, has_declared_kind
from converter.evaluate.mil.table import Block
from converter.evaluate.mil.types import TensorType
from converter.model import Precision
from converter.registry import BindError, Parameter

# The joint forms of compression take three; each more doubles what is computed, since none of them is kept.
_DEEPEST = 3


class Unpacked:
    """A weight that constexpr ops make of constants: computed when it is first used, and then kept."""

    def __init__(self, call: "Call", index: int) -> None:
        self._call = call
        self._index = index
        self.depth = call.depth

    @cached_property
    def value(self) -> Any:
        return self.stored

    @property
    def stored(self) -> Any:
        """The value, computed anew."""
        try:
            return self._call.unpack()[self._index]
        except EvaluationError as error:
            error.within(self._call.step.place)
            raise

    def release(self, value: Any) -> None:
        """What is not kept is freed by itself."""


Fixed = Kept | Unpacked


class Call:
    """An operation with its arguments: those that are the same in each run are bound once, before it first runs."""

    def __init__(
        self, step: Step, scope: Mapping[str, Fixed], routines: Sequence["Routine"], compute: Precision
    ) -> None:
        self.step = step
        self.compute = compute
        known = {parameter.name: parameter for parameter in step.op.parameters}
        self._arguments = [
            (known[key], [self._resolved(argument, scope) for argument in binding])
            for key, binding in step.arguments.items()
        ]
        blocks = [parameter.name for parameter in step.op.parameters if parameter.annotation == Block]
        self.routines = dict(zip(blocks, routines, strict=True))
        self._open: list[tuple[Parameter, list[Any]]] = []

    @property
    def is_constant(self) -> bool:
        """Whether it unpacks a weight, out of the file alone."""
        arguments = [argument for _, binding in self._arguments for argument in binding]
        is_unpacking = self.step.op_type.startswith("constexpr_") and all(isinstance(a, Fixed) for a in arguments)
        return is_unpacking and self.depth <= _DEEPEST

    @cached_property
    def depth(self) -> int:
        """How many constexpr ops stand one after the other, up to this one."""
        unpacked = (a for _, binding in self._arguments for a in binding if isinstance(a, Unpacked))
        return 1 + max((a.depth for a in unpacked), default=0)

    @cached_property
    def uses(self) -> frozenset[str]:
        """The values that it needs, those of its blocks included."""
        direct = {a.name for _, binding in self._arguments for a in binding if isinstance(a, Name)}
        return frozenset(direct.union(*(routine.free for routine in self.routines.values())))

    @cached_property
    def writes_state(self) -> bool:
        """Whether it must run, whoever uses its results."""
        nested = (call for routine in self.routines.values() for call in routine.calls)
        return not self.step.outputs or any(call.writes_state for call in nested)

    def run(self, values: Mapping[str, Any], blocks: Mapping[str, Any]) -> list[Any]:
        """The results, of the types that the program declares; `blocks` are the callables that run its blocks."""
        try:
            given = {**self._bound, **blocks}
            for parameter, binding in self._open:
                given[parameter.name] = adapt(
                    [values[a.name] if isinstance(a, Name) else a for a in binding], parameter
                )
            return self._results(self.step.op.function(**given))
        except (BindError, *KERNEL_ERRORS) as error:
            raise _refused(error) from error

    def unpack(self) -> list[Any]:
        """The results of a constant call; what they are made of is not kept."""
        given = {}
        try:
            stored = [[(a, a.stored) for a in binding if not isinstance(a, Name)] for _, binding in self._arguments]
            for (parameter, _), pairs in zip(self._arguments, stored, strict=True):
                given[parameter.name] = adapt([value for _, value in pairs], parameter)
            results = self._results(self.step.op.function(**given))
            for argument, value in itertools.chain(*stored):
                argument.release(value)
            return results
        except (BindError, *KERNEL_ERRORS) as error:
            raise _refused(error) from error

    def _resolved(self, argument: Name | Constant, scope: Mapping[str, Fixed]) -> Name | Fixed:
        return Kept(argument, self.compute) if isinstance(argument, Constant) else scope.get(argument.name, argument)

    def bind(self) -> None:
        """Decode and bind now what is the same in each run.

        What is small and stays, laid down between a run's large values, would leave holes in memory that nothing fits.
        """
        try:
            self._bound  # noqa: B018  # computed here
        except (BindError, *KERNEL_ERRORS) as error:
            raise _refused(error) from error

    @cached_property
    def _bound(self) -> dict[str, Any]:
        bound, self._open = {}, []
        for parameter, binding in self._arguments:
            values = [a if isinstance(a, Name) else a.value for a in binding]
            if any(isinstance(v, Name) for v in values):
                self._open.append((parameter, values))
            elif any(
                isinstance(v, torch.Tensor) and v.is_floating_point() and v.dtype != torch.float32 for v in values
            ):
                self._open.append((parameter, values))  # to be widened in each run
            else:
                bound[parameter.name] = adapt(values, parameter)
        return bound

    def _results(self, result: Any) -> list[Any]:
        results = list(result) if isinstance(result, tuple) else [result]
        outputs = self.step.outputs
        if not outputs and results == [None]:
            return []
        if len(results) != len(outputs):
            raise EvaluationError(f"gives {len(results)} values, the program declares {len(outputs)}")
        if has_declared_kind(self.step.op):
            results = [_as_kind(r, kind) for r, (_, kind) in zip(results, outputs, strict=True)]
        return [
            typed(r, kind, f"the result {name}", self.compute) for r, (name, kind) in zip(results, outputs, strict=True)
        ]


@dataclass(frozen=True)
class Routine:
    """A block's calls that are needed, in order; after the call at i nothing needs the values of `frees[i]`."""

    inputs: Sequence[str]
    outputs: Sequence[Name | Fixed]
    calls: Sequence[Call]
    frees: Sequence[Sequence[str]]
    constants: Mapping[str, Kept]

    @cached_property
    def free(self) -> frozenset[str]:
        """Names from outside that the block uses."""
        own = {*self.inputs, *self.constants, *(name for call in self.calls for name, _ in call.step.outputs)}
        return frozenset(_names(self.outputs).union(*(call.uses for call in self.calls)) - own)

    def only(self, wanted: Collection[str]) -> "Routine":
        """What computes the `wanted` values; they are kept by who wants them, not given as outputs."""
        return _routine(self.inputs, (), self.calls, self.constants, frozenset(wanted))


def prepared(body: Body, compute: Precision, outer: Mapping[str, Fixed] | None = None) -> Routine:
    """The block as a routine: of one in another block, which sees the constants `outer`, what its outputs need."""
    inputs = [name for name, _ in body.inputs]
    constants = {name: Kept(constant, compute) for name, constant in body.constants.items()}
    scope = {name: fixed for name, fixed in (outer or {}).items() if name not in inputs}
    scope.update(constants)
    calls = []
    for step in body.steps:
        call = Call(step, scope, [prepared(nested, compute, scope) for nested in step.bodies], compute)
        for index, (name, _) in enumerate(step.outputs):
            scope.pop(name, None)
            if call.is_constant:
                scope[name] = Unpacked(call, index)
        calls.append(call)
    outputs = [scope.get(name, Name(name)) for name in body.outputs]
    made = {name for step in body.steps for name, _ in step.outputs}
    return _routine(inputs, outputs, calls, constants, made if outer is None else _names(outputs))


def _routine(
    inputs: Sequence[str],
    outputs: Sequence[Name | Fixed],
    calls: Sequence[Call],
    constants: Mapping[str, Kept],
    wanted: Collection[str],
) -> Routine:
    """With the calls alone that `wanted` needs or that write states; values die after their last use, or unused."""
    needed, dying = set(wanted), []
    chosen: list[Call] = []
    for call in reversed(calls):
        made = {name for name, _ in call.step.outputs}
        if call.writes_state or needed & made:
            dying.append(sorted((call.uses | made) - needed))
            needed |= call.uses | made
            chosen.append(call)
    return Routine(inputs, outputs, chosen[::-1], dying[::-1], constants)


def typed(value: Any, kind: Type, name: str, compute: Precision) -> Any:
    """`value` in the data type that the program declares; its shape must be the declared one."""
    if not isinstance(kind, TensorType):
        return value
    if isinstance(value, str if kind.data_type.kind == "string" else int):  # a label, by classify
        return value
    if not isinstance(value, torch.Tensor):
        raise EvaluationError(f"{name} is a {type(value).__name__}, the program declares {kind}")
    declared = value.shape if kind.shape is None else kind.shape
    if value.dim() != len(declared) or any(
        d is not None and d != size for d, size in zip(declared, value.shape, strict=True)
    ):
        raise EvaluationError(f"{name} has shape {list(value.shape)}, the program declares {kind}")
    if _kind(value) != kind.data_type.kind:
        raise EvaluationError(f"{name} is of {value.dtype}, the program declares {kind}")
    if compute == "float32" and kind.data_type.kind == "float":
        return value.float()
    return kind.data_type.fit(value)


def _as_kind(value: torch.Tensor, kind: Type) -> torch.Tensor:
    """Numbers of one kind as those of another."""
    if isinstance(kind, TensorType) and _kind(value) != kind.data_type.kind:
        return value.to(kind.data_type.carrier)
    return value


def _names(arguments: Collection[Name | Fixed]) -> frozenset[str]:
    return frozenset(argument.name for argument in arguments if isinstance(argument, Name))


def _refused(error: Exception) -> EvaluationError:
    if isinstance(error, BindError):
        return EvaluationError(str(error))
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return EvaluationError(f"cannot be computed: {lines[0]}")


def _kind(tensor: torch.Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"
