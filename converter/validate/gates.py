"""The promises that a model has to keep before it leaves, and the words for those it does not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converter.errors import ValidationError
from converter.model import Accuracy, Gate, Interface, LabelledTask, Output, OutputLimits, OutputMetrics, Precision
from converter.validate.accuracy import METRICS, OF_TASK, TOP, Metric, compared
from converter.validate.intervals import SIGNIFICANT_P

# Looser limits are blind: in float32 an averaged std still leaves 61 to 69 dB, LayerNorm's eps 1e-3 for 1e-5 80 dB,
# GELU's erf for tanh 87 dB.
PSNR_DB: dict[Precision, float] = {"float32": 90.0, "float16": 35.0}

TOP1 = 1.0

# An image output holds whole numbers: off by one everywhere is 20 log10(255 / 1) = 48.1 dB.
IMAGE_PSNR_DB = 48.0


OUTPUT_GATES = ("psnr_db", "max_abs_error", "top1", "activation_error")


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What is asked for; None is the default (psnr_db by precision, top1 where there are classes), or no limit.

    `outputs` holds what is asked of one output alone, by its name; `skip` gives a reason for each output or gate that
    is not held.
    """

    psnr_db: float | None = None
    top1: float | None = None
    max_abs_error: float | None = None
    min_accuracy: float | None = None
    max_accuracy_drop: float | None = None
    min_top5: float | None = None
    max_top5_drop: float | None = None
    min_mean_iou: float | None = None
    max_mean_iou_drop: float | None = None
    min_map: float | None = None
    max_map_drop: float | None = None
    min_map50: float | None = None
    max_map50_drop: float | None = None
    significant_drops_only: bool = False
    outputs: Mapping[str, OutputLimits] = field(default_factory=dict)
    skip: Mapping[str, str] = field(default_factory=dict)

    def of_output(self, *names: str) -> "Gates":
        """The gates of the output that has these names, one in the model and one in the app."""
        limits = next((self.outputs[name] for name in names if name in self.outputs), OutputLimits())
        said = {
            name: value for name in ("psnr_db", "max_abs_error", "top1") if (value := getattr(limits, name)) is not None
        }
        return replace(self, **said)

    def psnr_limit_db(self, precision: Precision, output: Output) -> float:
        """The limit for one output of a model that computes in `precision`."""
        narrow = output.dtype == "float16"
        limit = PSNR_DB["float16" if narrow else precision] if self.psnr_db is None else self.psnr_db
        return min(limit, IMAGE_PSNR_DB) if output.color else limit

    @property
    def top1_limit(self) -> float:
        return TOP1 if self.top1 is None else self.top1

    def minimum(self, metric: Metric) -> float | None:
        limit: float | None = getattr(self, METRICS[metric].minimum)
        return limit

    def drop(self, metric: Metric) -> float | None:
        limit: float | None = getattr(self, METRICS[metric].drop)
        return limit

    @property
    def asked(self) -> list[Metric]:
        """The metrics of a labelled set that have a limit."""
        return [m for m in METRICS if self.minimum(m) is not None or self.drop(m) is not None]


def require_known(gates: Gates, interface: Interface, task: LabelledTask) -> None:
    """Raise ValidationError for a gate or a skip that nothing answers to: it would promise what nobody looks at."""
    outputs = [output.name for output in interface.outputs]
    shown = [interface.classifier.probabilities_name, *outputs] if interface.classifier else outputs
    limits = [limit for m in OF_TASK[task.kind] for limit in (METRICS[m].minimum, METRICS[m].drop)]
    problems = [f"`gates` limits the output {name}" for name in gates.outputs if name not in shown]
    known = [*shown, *OUTPUT_GATES, *limits]
    problems += [f"`skip` names {name}" for name in gates.skip if name not in known]
    if problems:
        raise ValidationError(
            f"{' and '.join(problems)}, which this model does not have",
            fix=f"its outputs are {', '.join(shown)}; gates that can be skipped are {', '.join(known[len(shown) :])}",
        )


def require_measurable(gates: Gates, interface: Interface) -> None:
    """Raise ValidationError for a limit of the first five of no more than five classes, which every model holds."""
    count = len(interface.classifier.labels) if interface.classifier else None
    if count is not None and count <= TOP and "top5" in gates.asked:
        raise ValidationError(
            f"the first {TOP} of {count} classes are always right, so a limit of top-5 promises nothing",
            fix="take min_top5 and max_top5_drop out; min_accuracy and max_accuracy_drop hold the first class",
        )


def at_least(name: str, subject: str, measured: float, limit: float, *, unit: str = "", detail: str = "") -> Gate:
    """A gate that holds when `measured` is `limit` or more; NaN never holds."""
    return _gate(
        name, subject, measured, limit, measured >= limit, "at least", "too low", limit - measured, unit, detail
    )


def at_most(name: str, subject: str, measured: float, limit: float, *, unit: str = "", detail: str = "") -> Gate:
    """A gate that holds when `measured` is `limit` or less; NaN never holds."""
    return _gate(
        name, subject, measured, limit, measured <= limit, "at most", "too high", measured - limit, unit, detail
    )


def _gate(
    name: str,
    subject: str,
    measured: float,
    limit: float,
    passed: bool,
    bound: str,
    verdict: str,
    miss: float,
    unit: str,
    detail: str,
) -> Gate:
    unit = f" {unit}" if unit else ""
    words = f"{name} of {subject} is {measured:.4g}{unit}, {bound} {limit:.4g}{unit} is asked for"
    if not passed:
        words += f": {miss:.3g}{unit} {verdict}"
    return Gate(
        name=name, limit=limit, measured=measured, passed=bool(passed), words=f"{words} ({detail})" if detail else words
    )


def output_gates(metrics: OutputMetrics, gates: Gates, psnr_limit_db: float, *, problem: str = "") -> Iterator[Gate]:
    """The gates of one output; `problem` says what stands in the candidate's answer where that is not a number."""
    subject = metrics.output if metrics.on == "values" else f"{metrics.output} ({metrics.on})"
    yield at_least("psnr_db", subject, metrics.psnr_db, psnr_limit_db, unit="dB", detail=problem)
    if gates.max_abs_error is not None:
        yield at_most("max_abs_error", subject, metrics.max_abs_error, gates.max_abs_error, detail=problem)
    if metrics.top1_agreement is not None:
        yield at_least("top1", metrics.output, metrics.top1_agreement, gates.top1_limit, detail=problem)


def accuracy_gates(measured: Sequence[Accuracy], gates: Gates) -> Iterator[Gate]:
    """The gates of a labelled set; shares come from counts, so that 0.2 points of 360 pictures mean one answer."""
    for accuracy in measured:
        spoken = METRICS[accuracy.metric]
        subject = f"{accuracy.samples} labelled samples"
        right, source_right = (_said(accuracy, share) for share in (accuracy.value, accuracy.reference))
        minimum, limit = gates.minimum(accuracy.metric), gates.drop(accuracy.metric)
        if minimum is not None:
            yield at_least(spoken.minimum, subject, accuracy.value, minimum, detail=right)
        if limit is not None:
            detail = f"{right}, {source_right.removesuffix(' are right')} with the source model"
            yield _excused(at_most(spoken.drop, subject, _drop(accuracy), limit, detail=detail), accuracy, gates)


def _is_counted(accuracy: Accuracy) -> bool:
    return accuracy.metric in OF_TASK["classification"]


def _said(accuracy: Accuracy, share: float) -> str:
    if _is_counted(accuracy):
        return f"{round(share * accuracy.samples)} are right"
    return f"{METRICS[accuracy.metric].words} is {100 * share:.2f} %"


def _drop(accuracy: Accuracy) -> float:
    if not _is_counted(accuracy):
        return accuracy.reference - accuracy.value
    lost = round(accuracy.reference * accuracy.samples) - round(accuracy.value * accuracy.samples)
    return lost / accuracy.samples


def _excused(gate: Gate, accuracy: Accuracy, gates: Gates) -> Gate:
    """The gate of a drop, which holds where only a significant one is asked to fail and this one is not."""
    is_chance = gates.significant_drops_only and accuracy.p_value >= SIGNIFICANT_P
    if gate.passed or not is_chance or not math.isfinite(gate.measured):
        return gate
    return replace(gate, passed=True, words=f"{gate.words}; let pass, as {compared(accuracy.p_value)}")


def excuses(gates: Sequence[Gate]) -> Iterator[str]:
    """The words of drops beyond their limit that were let pass."""
    for gate in gates:
        if gate.passed and gate.name in [spoken.drop for spoken in METRICS.values()] and gate.measured > gate.limit:
            yield gate.words


def failures(gates: Sequence[Gate]) -> str:
    """The failed gates' words, joined; empty when all hold."""
    return "; ".join(gate.words for gate in gates if not gate.passed)
