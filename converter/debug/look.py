"""One converted file held against its source, value by value, on one sample."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from converter.convert import convert
from converter.convert.origins import Origin, recording
from converter.debug.align import align
from converter.debug.candidate import Candidate, Outlet, candidate_values
from converter.debug.diverge import Found, diverge
from converter.debug.source import MAX_BYTES, source_values
from converter.debug.values import Value
from converter.errors import ManifestError
from converter.evaluate.wiring import Wire
from converter.model import Cause, Conversion, Divergence, Precision, Reference, Route, Source, Target, Validation
from converter.validate.causes import diagnosis
from converter.validate.check import Answers, activated, answers, judge
from converter.validate.engines import engine
from converter.validate.gates import Gates

if TYPE_CHECKING:
    from converter.manifest.schema import ValidationOptions

_Stage = Literal["export", "conversion", "precision"]
_Comparison = tuple[_Stage, Callable[[], tuple[Found, float]]]

_AGREES_DB: dict[Precision, float] = {"float32": 60.0, "float16": 40.0}  # two values are the same one, misjudged or not
_HALF_WEIGHTS_DB = 50.0  # what the mathematics of a file keep whose weights were rounded to float16


@dataclass(frozen=True)
class Case:
    """What is asked of a model: its source, what that answers, and the limits."""

    source: Source
    reference: Reference
    gates: Gates
    max_bytes: int = MAX_BYTES
    labelled: Path | None = None  # where the original pictures are
    names_causes: bool = False  # looking for them takes up to a minute

    @classmethod
    def of(
        cls, source: Source, reference: Reference, options: "ValidationOptions", max_bytes: int = MAX_BYTES
    ) -> "Case":
        return cls(source, reference, Gates(**options.limits), max_bytes)

    def causes(self, path: Path, given: Answers, missed: Validation, precision: Precision) -> tuple[Cause, ...]:
        """The known mistakes that explain why the file misses its gates, where they are asked for."""
        if missed.passed or not self.names_causes:
            return ()
        return diagnosis(
            self.source, self.reference, given, missed,
            precision=precision, gates=self.gates, path=path, labelled=self.labelled,
        ).causes  # fmt: skip

    def limits_db(self, precision: Precision) -> list[float]:
        return [self.gates.psnr_limit_db(precision, output) for output in self.source.interface.outputs]

    def ask(self, path: Path) -> Answers:
        return answers(path, self.reference, self.source.interface, engine("reference"))

    def judged(self, given: Answers, precision: Precision) -> Validation:
        return judge(given, self.reference, interface=self.source.interface, precision=precision, gates=self.gates)

    def worst(self, given: Answers, precision: Precision) -> int:
        """The sample with the largest error."""
        found = []
        for place in range(len(self.reference.samples)):
            one = replace(
                self.reference,
                samples=self.reference.samples[place : place + 1],
                outputs=self.reference.outputs[place : place + 1],
                labelled=(),
                labelled_scores=None,
            )
            validation = judge(
                replace(given, samples=given.samples[place : place + 1], labelled=()),
                one,
                interface=self.source.interface,
                precision=precision,
                gates=self.gates,
            )
            found.append(min(metric.psnr_db for metric in validation.metrics))
        return int(np.argmin(found))

    def number(self, sample: int | None, given: Answers, precision: Precision) -> int:
        if sample is None:
            return self.worst(given, precision)
        if not 0 <= sample < len(self.reference.samples):
            names = ", ".join(f"{place} is {one.name}" for place, one in enumerate(self.reference.samples))
            raise ManifestError(f"--sample {sample}: there is no such sample", fix=names)
        return sample


def look(
    case: Case,
    route: Route,
    target: Target,
    folder: Path,
    *,
    sample: int | None = None,
    conversion: Conversion | None = None,
) -> Divergence:
    """Convert (unless that was done) and look for the first operation that differs.

    A float16 file is converted a second time in float32: what differs there too is the conversion's fault, what
    differs only in the file itself is float16's. Raises what converting, reading and running raise.
    """
    seen = exported(case.source, folder) if route == "onnx" else case.source
    path, origins = _converted(seen, route, target, folder / f"{case.source.name}.{target.format}")
    if conversion is not None:
        path = conversion.path
    return _look(case, seen, route, target, path, origins, folder, sample)


def look_at_file(case: Case, path: Path, precision: Precision, *, sample: int | None = None) -> Divergence:
    """The same for a file that somebody else converted: where its values come from is told by the values alone."""
    target = Target(
        format="mlmodel" if path.suffix == ".mlmodel" else "mlpackage",
        deployment_target="",
        compute_precision=precision,
    )
    return _look(case, case.source, None, target, path, {}, None, sample)


def _look(
    case: Case,
    seen: Source,
    route: Route | None,
    target: Target,
    path: Path,
    origins: Mapping[str, Origin],
    folder: Path | None,
    sample: int | None,
) -> Divergence:
    precision = target.compute_precision
    given = case.ask(path)
    validation = case.judged(given, precision)
    number = case.number(sample, given, precision)
    one = Sample(case, number)
    source = source_values(seen, one.inputs, max_bytes=case.max_bytes)
    file = seen.onnx_file if seen is not case.source else None
    stages: list[_Comparison] = []
    if file is not None:
        stages.append(("export", lambda: one.export(file, source)))
    if precision == "float32":
        limits_db = case.limits_db("float32")
        stages.append(("conversion", lambda: one.compare(path, source, origins, limits_db)))
    else:
        stages.append(("conversion", lambda: one.mathematics(seen, route, target, path, source, origins, folder)))
        stages.append(("precision", lambda: one.rounding(path, source, origins)))
    stage, found, limit_db = _first_wrong(stages)
    named = case.causes(path, given, validation, precision)
    explained = bool(named) and stage != "precision"  # then it is no fault of ours to report
    return Divergence(
        model=case.source.name,
        file=path.name,
        sample=case.reference.samples[number].name,
        limit_db=limit_db,
        ops=found.ops,
        first=found.first,
        culprits=found.culprits,
        causes=named,
        suggestion=_suggestion(stage, found, route) if found.first is not None and not explained else "",
        stage=stage if found.first is not None else "",
        route=route,
        missed=tuple(gate.words for gate in validation.gates if not gate.passed),
    )


def _first_wrong(stages: Sequence[_Comparison]) -> tuple[_Stage, Found, float]:
    """What the first stage in which an output differs found, else the last."""
    *before, (last, compare) = stages
    for stage, comparison in before:
        found, limit_db = comparison()
        if found.first is not None:
            return stage, found, limit_db
    return (last, *compare())


class Sample:
    """One sample of a case, run on both sides."""

    def __init__(self, case: Case, number: int) -> None:
        self.case = case
        self.inputs = case.reference.samples[number].inputs
        self.expected = case.reference.outputs[number]

    def run(self, path: Path, compute: Precision) -> Candidate:
        return candidate_values(
            path,
            self.case.source.interface,
            self.inputs,
            self.expected,
            scores_activation=self.case.reference.scores_activation,
            compute=compute,
        )

    def compare(
        self,
        path: Path,
        source: list[Value],
        origins: Mapping[str, Origin],
        limits_db: list[float],
    ) -> tuple[Found, float]:
        """The file's mathematics against the source."""
        candidate = self.run(path, "float32")
        alignment = align(source, candidate, origins, _AGREES_DB["float32"])
        return diverge(candidate, alignment, origins, limits_db), min(limits_db)

    def mathematics(
        self,
        seen: Source,
        route: Route | None,
        target: Target,
        path: Path,
        source: list[Value],
        origins: Mapping[str, Origin],
        folder: Path | None,
    ) -> tuple[Found, float]:
        """Whether the conversion is right, apart from float16: by a file in float32, else by the file's own numbers."""
        if route is None or folder is None:
            limits = [_HALF_WEIGHTS_DB] * len(self.expected)
            return self.compare(path, source, origins, limits)
        twin = replace(target, compute_precision="float32", float32_ops=())
        wide, wide_origins = _converted(seen, route, twin, folder / f"float32.{target.format}")
        return self.compare(wide, source, wide_origins, self.case.limits_db("float32"))

    def rounding(self, path: Path, source: list[Value], origins: Mapping[str, Origin]) -> tuple[Found, float]:
        """The file as it is. Its values are joined with the source's by what they are before they are rounded."""
        alignment = align(source, self.run(path, "float32"), origins, _AGREES_DB["float16"])
        limits_db = self.case.limits_db("float16")
        return diverge(self.run(path, "float16"), alignment, origins, limits_db), min(limits_db)

    def export(self, file: Path, onnx: list[Value]) -> tuple[Found, float]:
        """torch's ONNX export against torch."""
        candidate = _onnx_candidate(file, onnx, self.case, self.expected)
        source = source_values(self.case.source, self.inputs, max_bytes=self.case.max_bytes)
        alignment = align(source, candidate, {}, _AGREES_DB["float32"])
        limits_db = self.case.limits_db("float32")
        return diverge(candidate, alignment, {}, limits_db), min(limits_db)


def _onnx_candidate(file: Path, values: list[Value], case: Case, expected: Any) -> Candidate:
    """An ONNX file as what is held against torch."""
    import onnx

    graph = onnx.load(str(file), load_external_data=False).graph
    wires = [
        Wire(node.op_type, node.name or node.output[0], tuple(filter(None, node.input)), tuple(node.output))
        for node in graph.node
    ]
    outlets = []
    for index, (output, shown) in enumerate(zip(graph.output, case.source.interface.outputs, strict=True)):
        value, wanted = output.name, expected[shown.name]
        activation = case.reference.scores_activation if index == 0 else None
        if activation:  # the reference stands before it
            last = next((wire for wire in wires if value in wire.outputs), None)
            if last is not None and last.op_type.lower() == activation:
                value = last.inputs[0]
            else:
                wanted = activated(wanted, activation)
        outlets.append(Outlet(shown.name, value, wanted))
    return Candidate({value.name: value for value in values}, wires, outlets)


def exported(source: Source, folder: Path) -> Source:
    """The source as the ONNX file that the route goes over, so that its names are known."""
    if source.onnx_file is not None:
        return source
    from converter.convert.torch import export_onnx

    path = folder / "exported.onnx"
    export_onnx(source, path)
    return replace(source, module=None, exported=None, onnx_file=path)


def _converted(source: Source, route: Route, target: Target, path: Path) -> tuple[Path, Mapping[str, Origin]]:
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    with recording() as origins:
        convert(source, route, target, path)
    return path, origins.by_name()


def _suggestion(stage: _Stage, found: Found, route: Route | None) -> str:
    if stage == "export":
        return "torch's ONNX export answers otherwise than torch; take `route: direct`, or export the model yourself"
    if stage == "conversion":
        other = {"direct": "; `route: onnx` may convert it rightly", "onnx": "; `route: direct` may convert it rightly"}
        way = other.get(route or "", "")
        return f"this is a fault of the conversion; please report it with the operation and the node{way}"
    if found.gradual:
        return (
            "no single operation loses it: the error grows from one to the next\n"
            "try `compute_precision: float32`, or --fix for the operations that matter most"
        )
    assert found.first is not None
    said = "keep it in float32 (--fix looks for the smallest set of operations that passes)"
    return f"{found.ops[found.first].name} leaves float16's range or digits: {said}"
