"""The promises that a model has to keep before it leaves, and the words for those it does not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from converter.model import Gate, Output, OutputMetrics, Precision

# Looser limits are blind: in float32 an averaged std still leaves 61 to 69 dB, LayerNorm's eps 1e-3 for 1e-5 80 dB,
# GELU's erf for tanh 87 dB.
PSNR_DB: dict[Precision, float] = {"float32": 90.0, "float16": 35.0}

TOP1 = 1.0

# An image output holds whole numbers: off by one everywhere is 20 log10(255 / 1) = 48.1 dB.
IMAGE_PSNR_DB = 48.0


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What is asked for; None is the default (psnr_db by precision, top1 where there are classes), or no limit."""

    psnr_db: float | None = None
    top1: float | None = None
    max_abs_error: float | None = None
    min_accuracy: float | None = None
    max_accuracy_drop: float | None = None

    def psnr_limit_db(self, precision: Precision, output: Output) -> float:
        """The limit for one output of a model that computes in `precision`."""
        narrow = output.dtype == "float16"
        limit = PSNR_DB["float16" if narrow else precision] if self.psnr_db is None else self.psnr_db
        return min(limit, IMAGE_PSNR_DB) if output.color else limit

    @property
    def top1_limit(self) -> float:
        return TOP1 if self.top1 is None else self.top1

    @property
    def asks_accuracy(self) -> bool:
        return self.min_accuracy is not None or self.max_accuracy_drop is not None


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


def accuracy_gates(correct: int, reference_correct: int, count: int, gates: Gates) -> Iterator[Gate]:
    """The gates of a labelled set, from counts, so that 0.2 points of 360 pictures means the same predictions."""
    subject = f"{count} labelled samples"
    if gates.min_accuracy is not None:
        yield at_least("min_accuracy", subject, correct / count, gates.min_accuracy, detail=f"{correct} are right")
    if gates.max_accuracy_drop is not None:
        drop = (reference_correct - correct) / count
        detail = f"{correct} are right, {reference_correct} with the source model"
        yield at_most("max_accuracy_drop", subject, drop, gates.max_accuracy_drop, detail=detail)


def failures(gates: Sequence[Gate]) -> str:
    """The failed gates' words, joined; empty when all hold."""
    return "; ".join(gate.words for gate in gates if not gate.passed)
