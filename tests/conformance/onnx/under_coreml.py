"""onnx's node cases under Core ML: converted by our frontend in float32, predicted on the CPU, held to onnx's answers.

`script/test-coreml` runs it on macOS. Inputs and expected outputs are those of onnx.backend.test, as are the
tolerances; the predictions run in a process of their own, so that one that hangs or aborts is a result.
"""

import argparse
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converter import workers
from converter.errors import ConversionError, ConverterError
from converter.validate import coreml
from tests.conformance.onnx.cases import Case, cases, converted, difference, fed, is_sampled

KNOWN = Path(__file__).with_name("known_coreml.toml")


@dataclass
class Tally:
    """What became of each case, in words; `passed` ones have none."""

    passed: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)
    not_lowered: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = len(self.passed), len(self.different), len(self.not_lowered)
        return "{} passed, {} different, {} not lowered".format(*counts)


def run(chosen: Sequence[Case], *, timeout_s: float) -> Tally:
    """Convert and predict the cases.

    Each set of inputs that a case has is asked, but where inputs became constants, which are the first set's.
    """
    from coremltools.models.utils import load_spec

    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks: dict[str, dict[str, Any]] = {}
        expected: dict[str, tuple[Case, list[Sequence[Any]]]] = {}
        for case in chosen:
            try:
                path, baked = converted(case, case.data_sets[0][0], folder)
                sets = case.data_sets[:1] if baked else case.data_sets
                given = [fed(case, load_spec(str(path)), inputs) for inputs, _ in sets]
            except ConversionError as error:
                tally.not_lowered[case.name] = error.problem.splitlines()[0].removesuffix(":")
                continue
            except Exception as error:  # a bug of the frontend is a result of its case
                tally.different[case.name] = f"the conversion crashed: {type(error).__name__}: {error}"
                continue
            tasks[case.name] = {"path": path, "given": given}
            expected[case.name] = case, [outputs for _, outputs in sets]
        for done in workers.run(predicted, tasks, workers=1, logs=folder, timeout_s=timeout_s):
            if not isinstance(done, workers.Done):
                continue
            case, outputs = expected[done.name]
            problem = str(done.error) if done.error else _problem(case, outputs, done.result)
            if problem:
                tally.different[done.name] = problem
            else:
                tally.passed.append(done.name)
    return tally


def predicted(*, path: Path, given: list[dict[str, np.ndarray]], tell: Any) -> list[list[np.ndarray]]:
    """In the worker: each set's outputs, in the model's order."""
    from coremltools.models.utils import load_spec

    names = [feature.name for feature in load_spec(str(path)).description.output]
    model = coreml.CoreML(path)
    return [[np.asarray(answered[name]) for name in names] for answered in map(model.predict, given)]


def _problem(case: Case, expected: list[Sequence[Any]], answers: list[list[np.ndarray]]) -> str:
    pairs = zip(expected, answers, strict=True)
    return next((d for right, given in pairs if (d := difference(right, given, rtol=case.rtol, atol=case.atol))), "")


def verdict(tally: Tally, known: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Lines to print, and whether the run failed; see known_coreml.toml for when a difference fails."""
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
        lines.append(
            "nothing of this fails the run, as known_coreml.toml's `seen_on` is empty: its list was never compared"
        )
        failed = False
    if not tally.passed and not tally.different:
        lines.append("no case was predicted, so nothing was checked")
        failed = True
    return lines, failed


def _chosen(only: list[str], one_in: int) -> list[Case]:
    found = [c for c in cases().values() if c.name in only or (not only and is_sampled(c.name, one_in))]
    if missing := set(only) - {case.name for case in found}:
        sys.exit(f"onnx has no case {', '.join(sorted(missing))}")
    return found


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
    tally = run(_chosen(arguments.only, arguments.one_in), timeout_s=arguments.timeout)
    lines, failed = verdict(tally, tomllib.loads(arguments.known.read_text(encoding="utf-8")))
    print(*lines, f"{tally} on {coreml.machine()}", sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
