"""onnx's own cases, and each through the whole way: converted, saved, loaded from disk, run, compared."""

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from converter.errors import ConversionError, ConverterError, UnsupportedOpsError
from converter.model import Format

KINDS = ("node", "pytorch-converted", "pytorch-operator")
_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32}
_BAKED_ROUNDS = 10  # what must be known is found step by step: a loop's count, then what its body needs

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with inputs and the answers that are right; `kind` is one of KINDS."""

    name: str
    kind: str
    model: onnx.ModelProto
    data_sets: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a case.

    `outcome` is `passed`, `different` (with the wrong answers), `refused` (with the frontend's reason), `crashed`, or
    `constant`: right, yet every input was known at conversion, so that nothing was left to run. `baked` are the inputs
    that were made constants because the lowering declares them so. `fixed`: no output depends on an input.
    """

    name: str
    kind: str
    outcome: str
    reason: str = ""
    baked: tuple[str, ...] = ()
    fixed: bool = False


def is_sampled(name: str, one_in: int) -> bool:
    """By the name's hash, so that a sample stays the same when onnx adds cases."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


@cache
def cases() -> Mapping[str, Case]:
    """All node cases that onnx generates, and those that were converted from PyTorch, by name."""
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow and divide by zero on purpose
        generated = list(collect_testcases(None))
    found = [
        Case(name=c.name, kind="node", model=c.model, data_sets=_arrays(c.data_sets), rtol=c.rtol, atol=c.atol)
        for c in generated
        if c.model is not None and c.data_sets is not None
    ]
    found += [_stored(case, kind) for kind in KINDS[1:] for case in load_model_tests(kind=kind)]
    return {case.name: case for case in found}


def _arrays(data_sets: Iterable[tuple[Iterable[Any], Iterable[Any]]]) -> list[tuple[list[Any], list[Any]]]:
    """The sets with every tensor as an array; the cases of Cast hold some as protobuf."""
    return [
        (
            [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in inputs],
            [numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for v in outputs],
        )
        for inputs, outputs in data_sets
    ]


def _stored(case: Any, kind: str) -> Case:
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    sets = [
        (_read(data, "input", model.graph.input), _read(data, "output", model.graph.output))
        for data in sorted(folder.glob("test_data_set_*"))
    ]
    return Case(name=case.name, kind=kind, model=model, data_sets=sets, rtol=case.rtol, atol=case.atol)


def _read(folder: Path, what: str, values: Iterable[onnx.ValueInfoProto]) -> list[np.ndarray]:
    count = len(list(folder.glob(f"{what}_*.pb")))
    return [
        numpy_helper.to_array(onnx.TensorProto.FromString((folder / f"{what}_{index}.pb").read_bytes()))
        for index, _ in zip(range(count), values, strict=False)
    ]


def judge(case: Case, folder: Path, format: Format = "mlpackage") -> Result:
    """Take the case through the whole way at float32, by an ML Program or by a NeuralNetwork."""

    def result(outcome: str, reason: str = "", baked: Iterable[str] = (), *, fixed: bool = False) -> Result:
        return Result(
            name=case.name, kind=case.kind, outcome=outcome, reason=reason, baked=tuple(sorted(baked)), fixed=fixed
        )

    baked: frozenset[str] = frozenset()
    fixed = False
    for inputs, outputs in case.data_sets:
        try:
            path, baked = converted(case, inputs, folder, format)
            problem, fixed = _compared(case, path, inputs, outputs)
        except ConversionError as error:
            return result("refused", _first_reason(error), baked)
        except ConverterError as error:
            return result("crashed", str(error), baked)
        except Exception as error:
            return result("crashed", f"{type(error).__name__}: {error}", baked)
        if problem:
            return result("different", problem, baked)
    names = [
        value.name
        for value, given in zip(case.model.graph.input, inputs, strict=False)
        if value.name not in _initialized(case.model) and np.size(given)
    ]
    return result("passed" if set(names) - baked else "constant", "", baked, fixed=fixed)


def _first_reason(error: ConversionError) -> str:
    lines = error.problem.splitlines()
    return lines[1].strip() if isinstance(error, UnsupportedOpsError) and len(lines) > 1 else lines[0]


def converted(
    case: Case, inputs: Sequence[Any], folder: Path, format: Format = "mlpackage"
) -> tuple[Path, frozenset[str]]:
    """The case's saved file, and the inputs that became constants, as the lowering says that it must know them.

    Raises ConversionError.
    """
    import converter

    path, target = folder / f"{case.name}.{format}", {"mlpackage": "iOS16", "mlmodel": "iOS14"}[format]
    baked = frozenset(  # an empty tensor, which Core ML does not have, tells the conversion nothing but its shape
        value.name
        for value, given in zip(case.model.graph.input, inputs, strict=False)
        if isinstance(given, np.ndarray) and not given.size
    )
    for _ in range(_BAKED_ROUNDS):
        try:
            model = with_constants(case.model, inputs, baked)
            converter.convert_onnx(model, path, format=format, deployment_target=target, compute_precision="float32")
        except UnsupportedOpsError as error:
            if not error.inputs - baked:
                raise
            baked |= error.inputs
        else:
            return path, baked
    raise AssertionError(f"{case.name} asks for ever more constants")


def with_constants(model: onnx.ModelProto, inputs: Sequence[Any], names: frozenset[str]) -> onnx.ModelProto:
    """The model with these inputs as initializers, which hold the given values."""
    if not names:
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value, given in zip(list(fixed.graph.input), inputs, strict=False):
        if value.name in names:
            if not isinstance(given, np.ndarray | np.generic):
                raise ConversionError(f'the input "{value.name}" would have to be a constant, but is no tensor')
            fixed.graph.input.remove(value)
            fixed.graph.initializer.append(numpy_helper.from_array(np.asarray(given), value.name))
    return fixed


def _initialized(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def _compared(case: Case, path: Path, inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[str, bool]:
    """What differs, or nothing; and whether the file's outputs depend on no input."""
    import converter

    model = converter.load_model(path, compute="float32")
    answered = model.predict(fed(case, model.spec, inputs))
    answers = [np.asarray(answered[feature.name]) for feature in model.spec.description.output]
    return difference(outputs, answers, rtol=case.rtol, atol=case.atol), _is_fixed(model.spec)


def fed(case: Case, spec: Any, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
    """A set of a case's inputs as its converted file takes them."""
    original = spec.description.metadata.userDefined
    names = [value.name for value in case.model.graph.input]
    by_name = dict(zip(names, inputs, strict=False))
    given = {}
    for feature in spec.description.input:
        array = np.atleast_1d(by_name[original.get(f"onnx.name.{feature.name}", feature.name)])
        kind = feature.type.multiArrayType
        given[feature.name] = array.astype(_DTYPES[kind.ArrayDataType.Name(kind.dataType)])
    return given


def _is_fixed(spec: Any) -> bool:
    """Whether no output depends on an input."""
    if spec.WhichOneof("Type") == "neuralNetwork":
        needed = {output.name for output in spec.description.output}
        for layer in reversed(spec.neuralNetwork.layers):
            if needed & _touched(layer, "output"):
                needed |= _touched(layer, "input")
        return not needed & {given.name for given in spec.description.input}
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    needed = set(block.outputs)
    for operation in reversed(block.operations):
        if needed & {output.name for output in operation.outputs}:
            needed |= _used(operation)
    return not needed & {value.name for value in function.inputs}


def _touched(layer: Any, side: str) -> set[str]:
    """What a layer of a NeuralNetwork reads (side `input`) or writes (`output`), its branches and loops too."""
    inner = {"branch": ("ifBranch", "elseBranch"), "loop": ("conditionNetwork", "bodyNetwork")}
    kind = layer.WhichOneof("layer")
    networks = [getattr(getattr(layer, kind), name) for name in inner.get(kind, ())]
    return set(getattr(layer, side)).union(*(_touched(own, side) for network in networks for own in network.layers))


def _used(operation: Any) -> set[str]:
    names = {argument.name for given in operation.inputs.values() for argument in given.arguments if argument.name}
    inner = [(block, nested) for block in operation.blocks for nested in block.operations]
    return names.union(*(_used(nested) for _, nested in inner), *(block.outputs for block in operation.blocks))


def difference(expected: Sequence[Any], answers: Arrays, *, rtol: float, atol: float) -> str:
    """What differs first, or nothing.

    Core ML has no scalars but vectors of one, and no integers but int32. Floats are rounded to the type that is
    expected before they are compared; integers are compared as numbers.
    """
    if len(expected) != len(answers):
        return f"{len(answers)} outputs, {len(expected)} are expected"
    for index, (right, answer) in enumerate(zip(expected, answers, strict=True)):
        right = np.asarray(right)
        if answer.shape != (right.shape or (1,)):
            return f"output {index} has the shape {list(answer.shape)}, {list(right.shape)} is expected"
        answer = answer.reshape(right.shape)
        if right.dtype.kind in "biu":
            if right.dtype == np.uint64:  # what int64 does not hold becomes a number that no int32 equals
                right = np.minimum(right, np.iinfo(np.int64).max)
            answer, right = answer.astype(np.int64), right.astype(np.int64)
        else:
            answer = answer.astype(right.dtype)
            if right.dtype.kind == "V":  # ml_dtypes' bfloat16, which numpy's comparison does not take
                answer, right = answer.astype(np.float32), right.astype(np.float32)
        try:
            np.testing.assert_allclose(answer, right, rtol=rtol, atol=atol)
        except AssertionError as error:
            found = re.search(r"Mismatched elements.*|.*location mismatch.*", str(error))
            worst = re.search(r"Max absolute difference.*", str(error))
            return f"output {index}: " + "; ".join(m[0].strip() for m in (found, worst) if m)
    return ""
