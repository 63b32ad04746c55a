"""onnx's node cases under Core ML: converted by our frontend in float32, predicted on the CPU, held to onnx's answers.

`script/test-coreml` runs it on macOS. Inputs and expected outputs are those of onnx.backend.test, as are the
tolerances; the predictions run in a process of their own, so that one that hangs or aborts is a result.
"""

import argparse
import hashlib
import re
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converter import workers
from converter.errors import ConversionError, ConverterError
from converter.validate import coreml

KNOWN = Path(__file__).with_name("known.toml")
_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32}


@dataclass
class Tally:
    """What became of each case, in words; `passed` ones have none."""

    passed: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)
    not_lowered: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = len(self.passed), len(self.different), len(self.not_lowered)
        return "{} passed, {} different, {} not lowered".format(*counts)


def is_sampled(name: str, one_in: int) -> bool:
    """By the name's hash, so that a sample stays the same when onnx adds cases."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0


def cases() -> list[Any]:
    """All node cases that onnx generates."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow and divide by zero on purpose
        return list(collect_testcases(None))


def run(chosen: list[Any], *, timeout_s: float) -> Tally:
    """Convert and predict the cases; each set of inputs that a case has is asked."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks: dict[str, dict[str, Any]] = {}
        expected: dict[str, tuple[Any, list[list[np.ndarray]]]] = {}
        for case in chosen:
            try:
                path, given = converted(case, folder)
            except ConversionError as error:
                tally.not_lowered[case.name] = error.problem.splitlines()[0].removesuffix(":")
                continue
            except Exception as error:  # a bug of the frontend is a result of its case
                tally.different[case.name] = f"the conversion crashed: {type(error).__name__}: {error}"
                continue
            tasks[case.name] = {"path": path, "given": given}
            expected[case.name] = case, [list(outputs) for _, outputs in case.data_sets]
        for done in workers.run(predicted, tasks, workers=1, logs=folder, timeout_s=timeout_s):
            if not isinstance(done, workers.Done):
                continue
            case, outputs = expected[done.name]
            problem = str(done.error) if done.error else _difference(case, outputs, done.result)
            if problem:
                tally.different[done.name] = problem
            else:
                tally.passed.append(done.name)
    return tally


def converted(case: Any, folder: Path) -> tuple[Path, list[dict[str, np.ndarray]]]:
    """The case's saved file and its sets of inputs, as Core ML takes them. Raises ConversionError."""
    from coremltools.models.utils import load_spec

    import converter

    plain = [
        isinstance(value, np.ndarray | np.generic)
        for inputs, outputs in case.data_sets
        for value in (*inputs, *outputs)
    ]
    if not all(plain):
        raise ConversionError("it takes or gives sequences or optional values")
    path = folder / f"{case.name}.mlpackage"
    try:
        converter.convert_onnx(case.model, path, compute_precision="float32")
    except ConversionError:
        if (frozen := _frozen(case)) is None:
            raise
        converter.convert_onnx(frozen, path, compute_precision="float32")
    description = load_spec(str(path)).description
    names = [value.name for value in case.model.graph.input]
    sets = []
    for inputs, _ in case.data_sets:
        by_name = dict(zip(names, inputs, strict=False))
        given = {}
        for feature in description.input:
            array = by_name[description.metadata.userDefined.get(f"onnx.name.{feature.name}", feature.name)]
            kind = feature.type.multiArrayType
            given[feature.name] = np.atleast_1d(array).astype(_DTYPES[kind.ArrayDataType.Name(kind.dataType)])
        sets.append(given)
    return path, sets


def _frozen(case: Any) -> Any:
    """The model with axes, sizes and scalars as constants, as exporters write them; None where that changes nothing."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = case.data_sets[0][0]
    constant = [
        (value, onnx.numpy_helper.from_array(np.asarray(array), value.name))
        for value, array in zip(list(model.graph.input), inputs, strict=False)
        if value.name and (array.dtype == np.int64 or array.shape == ())
    ]
    if len(case.data_sets) > 1 or not 0 < len(constant) < len(inputs):
        return None
    for value, initializer in constant:
        model.graph.input.remove(value)
        model.graph.initializer.append(initializer)
    return model


def predicted(*, path: Path, given: list[dict[str, np.ndarray]], tell: Any) -> list[list[np.ndarray]]:
    """In the worker: each set's outputs, in the model's order."""
    from coremltools.models.utils import load_spec

    names = [feature.name for feature in load_spec(str(path)).description.output]
    model = coreml.CoreML(path)
    return [[np.asarray(answered[name]) for name in names] for answered in map(model.predict, given)]


def _difference(case: Any, expected: list[list[np.ndarray]], given: list[list[np.ndarray]]) -> str:
    """What differs first, or nothing. Core ML has neither scalars nor integers but int32: those are cast."""
    for wanted, got in zip(expected, given, strict=True):
        if len(wanted) != len(got):
            return f"{len(got)} outputs, {len(wanted)} are expected"
        for index, (right, answer) in enumerate(zip(wanted, got, strict=True)):
            if answer.shape != (right.shape or (1,)):
                return f"output {index} has the shape {list(answer.shape)}, {list(right.shape)} is expected"
            try:
                np.testing.assert_allclose(
                    answer.reshape(right.shape).astype(right.dtype), right, rtol=case.rtol, atol=case.atol
                )
            except AssertionError as error:
                found = re.search(r"Mismatched elements.*|.*location mismatch.*", str(error))
                worst = re.search(r"Max absolute difference.*", str(error))
                return f"output {index}: " + "; ".join(m[0].strip() for m in (found, worst) if m)
    return ""


def verdict(tally: Tally, known: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Lines to print, and whether the run failed; see known.toml for when a difference fails."""
    listed: Mapping[str, str] = known.get("differences", {})
    lines = [
        f"DIFFERENT {name}: {problem}" + (f"\n  known: {listed[name]}" if name in listed else "")
        for name, problem in tally.different.items()
    ]
    lines += [f"not lowered: {count} x {reason}" for reason, count in Counter(tally.not_lowered.values()).most_common()]
    healed = [name for name in tally.passed if name in listed]
    lines += [f"{name} is listed as different and passes: take it from the list" for name in healed]
    unlisted = [name for name in tally.different if name not in listed]
    failed = bool(unlisted or healed)
    if failed and not known["seen_on"]:
        lines.append("nothing of this fails the run, as known.toml's `seen_on` is empty: its list was never compared")
        failed = False
    if not tally.passed and not tally.different:
        lines.append("no case was predicted, so nothing was checked")
        failed = True
    return lines, failed


def _chosen(only: list[str], one_in: int) -> Iterator[Any]:
    found = set()
    for case in cases():
        if case.name in only or (not only and is_sampled(case.name, one_in)):
            found.add(case.name)
            yield case
    if missing := set(only) - found:
        sys.exit(f"onnx has no case {', '.join(sorted(missing))}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="CASE", help="these cases instead of a sample")
    parser.add_argument("--one-in", type=int, default=10, help="size of the sample (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one case (default: %(default)s)")
    parser.add_argument("--known", type=Path, default=KNOWN, help="the list of known differences")
    arguments = parser.parse_args()
    try:
        coreml.require()
    except ConverterError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    tally = run(list(_chosen(arguments.only, arguments.one_in)), timeout_s=arguments.timeout)
    lines, failed = verdict(tally, tomllib.loads(arguments.known.read_text(encoding="utf-8")))
    print(*lines, f"{tally} on {coreml.machine()}", sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
