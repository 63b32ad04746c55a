"""Numbers as people read them, in one place: the report, the model card and the closing table show the same."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from converter.model import Artifact, Attempt, CheckedFile, ComputeUnits, Gate, ModelRecord, Target, Validation

# The first systems that run a deployment target's files.
_SYSTEMS = {
    "iOS13": "iOS 13, macOS 10.15, tvOS 13, watchOS 6",
    "iOS14": "iOS 14, macOS 11, tvOS 14, watchOS 7",
    "iOS15": "iOS 15, macOS 12, tvOS 15, watchOS 8",
    "iOS16": "iOS 16, macOS 13, tvOS 16, watchOS 9",
    "iOS17": "iOS 17, macOS 14, tvOS 17, watchOS 10",
    "iOS18": "iOS 18, macOS 15, tvOS 18, watchOS 11",
    "iOS26": "iOS 26, macOS 26, tvOS 26, watchOS 26",
}
_METRICS = {"top1": "top-1", "top5": "top-5", "mean_iou": "mean IoU", "map": "mAP", "map50": "mAP at 0.5"}
_UNITS = {"CPU_ONLY": "CPU", "CPU_AND_GPU": "CPU and GPU", "CPU_AND_NE": "CPU and Neural Engine", "ALL": "all units"}
_NOTHING = "–"

Justify = Literal["left", "right"]


class Line(NamedTuple):
    """One attempt in the report's table, or a model that came to none."""

    model: str
    route: str
    format: str
    size: str
    precision: str
    psnr: str
    top1: str
    accuracy: str
    runs_on: str
    time: str
    result: str


class _Columns(NamedTuple):
    model: str
    route: str
    format: str
    size: str
    PSNR: str
    top_1: str
    time: str
    result: str


class Row(_Columns):
    """A line of the closing table, which has to fit a terminal."""

    __slots__ = ()

    JUSTIFY: ClassVar[tuple[Justify, ...]] = ("left", "left", "left", "right", "right", "right", "right", "left")

    @property
    def passed(self) -> bool:
        return self.result != "FAILED"


def rows(records: Sequence[ModelRecord]) -> list[Row]:
    """The closing table: a row for each attempt, in order; a model that came to none has one of its own."""
    return [Row(x.model, x.route, x.format, x.size, x.psnr, x.top1, x.time, x.result) for x in lines(records)]


def lines(records: Sequence[ModelRecord]) -> list[Line]:
    """The report's table, a line for each row of the closing one."""
    return [line for record in records for line in _lines(record)]


def _lines(record: ModelRecord) -> list[Line]:
    if not record.attempts:
        return [Line._make([record.name, *[_NOTHING] * 8, seconds(sum(record.seconds.values())), "FAILED"])]
    return [_line(record, attempt) for attempt in record.attempts]


def _line(record: ModelRecord, attempt: Attempt) -> Line:
    target = attempt.conversion.target if attempt.conversion else None
    validation = attempt.validation
    first = validation.metrics[0] if validation and validation.metrics else None
    file = artifact_of(record, attempt)
    took = (attempt.conversion.seconds if attempt.conversion else 0.0) + (validation.seconds if validation else 0.0)
    return Line(
        model=record.name,
        route=attempt.route,
        format=attempt.format,
        size=size(file.size_bytes) if file else _NOTHING,
        precision=target.compute_precision if target else _NOTHING,
        psnr=worst(validation),
        top1=share(first.top1_agreement) if first else _NOTHING,
        accuracy=accuracy(validation),
        runs_on=runs_on(target).partition(",")[0] if target else _NOTHING,
        time=seconds(took),
        result=outcome(record, attempt),
    )


def worst(validation: Validation | None) -> str:
    """The PSNR of the worst output, which is what the gate holds."""
    return psnr(min(m.psnr_db for m in validation.metrics)) if validation and validation.metrics else _NOTHING


def accuracy(validation: Validation | None) -> str:
    """The share of right answers, or the first metric that the labelled set has instead, with its name."""
    if validation is None or validation.accuracy is not None or not validation.accuracies:
        return share(validation.accuracy) if validation else _NOTHING
    first = validation.accuracies[0]
    return f"{_METRICS[first.metric]} {share(first.value)}"


def outcome(record: ModelRecord, attempt: Attempt) -> str:
    """passed, FAILED, or left: a route that failed where another one was there to make it good.

    Of a model that was not converted in this run `passed` is called reused.
    """
    if attempt.passed:
        return "reused" if record.reused else "passed"
    followers = record.attempts[record.attempts.index(attempt) + 1 :]
    made_good = record.passed and any(a.passed and a.format == attempt.format for a in followers)
    return "left" if made_good else "FAILED"


def why(file: CheckedFile) -> str:
    """Why a file did not pass: an error, or the gates that failed and what that is put down to."""
    return "\n".join(filter(None, [reason(file, "\n"), fault(file)]))


def reason(file: CheckedFile, between: str = "; ") -> str:
    """An error, or the gates that failed."""
    if file.error or file.validation is None:
        return file.error
    return between.join(gate.words for gate in file.validation.gates if not gate.passed)


def fault(file: CheckedFile) -> str:
    """What a missed gate is put down to; empty where that cannot be told."""
    match file.at_fault:
        case "the device":
            return f"at fault: the device; the reference evaluator keeps every gate with this file{_apart(file)}"
        case "the conversion":
            said = "the reference evaluator does not keep the gates with this file either"
            return f"at fault: the conversion; {said}{_apart(file)}"
    return ""


def _apart(file: CheckedFile) -> str:
    return f" (PSNR between Core ML and it: {psnr(min(m.psnr_db for m in file.drift))})" if file.drift else ""


def took(file: CheckedFile) -> str:
    """What a file took on that machine."""
    if file.times is None:
        return ""
    times = file.times
    return (
        f"loaded in {duration(times.load_s)}, predicts in {duration(times.predict_s)} "
        f"(median of {times.predictions}, on this machine)"
    )


def preferred(file: CheckedFile) -> str:
    """Which devices Core ML would rather use, in a sentence; empty where it was not asked."""
    named = devices(file)
    return f"Core ML would rather use, by number of operations: {named}" if named else ""


def devices(file: CheckedFile) -> str:
    """`Neural Engine 57, CPU 3`: the devices that Core ML prefers, with the number of operations, most first."""
    counts = Counter(placement.preferred for placement in file.placements)
    return ", ".join(f"{device or 'not said'} {count}" for device, count in counts.most_common())


def notes(record: ModelRecord) -> list[str]:
    """What a reader of the record should know: of the source, of its labels, and what weakens a promise."""
    classifier = record.interface.classifier if record.interface else None
    said = [*record.notes, *(f"Labels: {repair}" for repair in (classifier.repairs if classifier else ()))]
    for attempt in record.attempts:
        for note in attempt.validation.notes if attempt.validation else ():
            said.append(f"{attempt.format}, {attempt.route}: {note}")
    return said


def artifact_of(record: ModelRecord, attempt: Attempt) -> Artifact | None:
    """The file of dist that an attempt became."""
    if attempt.conversion is None or not attempt.passed:
        return None
    name = attempt.conversion.path.name
    return next((a for a in record.artifacts if a.path.rpartition("/")[2] in (name, f"{name}.zip")), None)


def psnr(value: float) -> str:
    if math.isnan(value) or value == -math.inf:
        return "none"
    return "exact" if value == math.inf else f"{value:.1f} dB"


def share(value: float | None) -> str:
    """A share as a percentage; one that is not whole never reads as 100 or 0 %."""
    if value is None:
        return _NOTHING
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    return f"{min(max(100 * value, 0.01), 99.99):.2f} %"


def number(value: float) -> str:
    return f"{value:.4g}"


def size(size_bytes: int) -> str:
    """Decimal units, as release pages show them."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value, unit = float(size_bytes), "B"
    for unit in ("kB", "MB", "GB"):  # noqa: B007
        value /= 1000
        if value < 999.95:
            break
    return f"{value:.1f} {unit}"


def duration(value_s: float) -> str:
    """Short times in milliseconds, with three digits that mean something."""
    return f"{value_s * 1000:.3g} ms" if value_s < 0.9995 else f"{value_s:.3g} s"


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def runs_on(target: Target) -> str:
    """The first systems that run the file: `iOS 16, macOS 13, tvOS 16, watchOS 9`."""
    return _SYSTEMS[target.deployment_target]


def units(compute_units: ComputeUnits) -> str:
    """`CPU_AND_NE` as people say it."""
    return _UNITS[compute_units]


def milliseconds(value_s: float) -> str:
    """A duration that is short: three digits, in ms or s."""
    if value_s >= 1:
        return f"{value_s:.3g} s" if value_s < 1000 else f"{value_s:,.0f} s"
    shown = f"{1000 * value_s:.3g}"
    return f"{shown} ms" if "e" not in shown else f"{1000 * value_s:.0f} ms"


def base(path: str) -> str:
    """A file's name as people get it, without its folder."""
    return path.rpartition("/")[2]


def files(record: ModelRecord) -> dict[str, Attempt]:
    """The model files of dist by their path, and the attempts that became them."""
    found = ((artifact_of(record, attempt), attempt) for attempt in record.attempts)
    return {file.path: attempt for file, attempt in found if file}


def closest(validation: Validation | None) -> Gate | None:
    """The gate that says most: the first that is missed, else the PSNR with the least to spare, else any."""
    gates = validation.gates if validation else ()
    missed = [gate for gate in gates if not gate.passed]
    psnrs = sorted((gate for gate in gates if gate.name == "psnr_db"), key=lambda gate: gate.measured - gate.limit)
    return next(iter((*missed, *psnrs, *gates)), None)


def measured(name: str, value: float) -> str:
    """A gate's number, measured or asked for, in its own unit."""
    metric = name.removeprefix("baseline ")
    if metric == "psnr_db":
        return psnr(value)
    if metric in ("max_abs_error", "activation_error"):
        return number(value)
    return share(value) if value >= 0 else f"−{share(-value)}"  # a drop below zero is a gain


def bound(gate: Gate) -> str:
    """What a gate asks for: `≥ 35.0 dB`."""
    return f"{'≤' if 'at most' in gate.words else '≥'} {measured(gate.name, gate.limit)}"


def missed(record: ModelRecord) -> str:
    """What went wrong, for a page that shows the causes beside it: the error, without the words of those."""
    causes = any(a.validation and a.validation.causes for a in record.attempts)
    words = "\n".join(a.words for a in record.attempts if not a.passed and a.words)
    return words if causes and words else record.error


def causes_of(record: ModelRecord) -> str:
    """The names of the causes that were found: `, by BGR`; empty where none was."""
    names = dict.fromkeys(c.name for a in record.attempts if a.validation for c in a.validation.causes)
    return f", by {' and '.join(names)}" if names else ""
