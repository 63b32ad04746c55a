"""Hold a saved model against its reference: ask an engine, compare, apply the gates."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from converter.errors import ConverterError, ValidationError
from converter.model import (
    Accuracy,
    Activation,
    Gate,
    Interface,
    OutputMetrics,
    Plot,
    Precision,
    Ranking,
    Reference,
    Tensors,
    Validation,
)
from converter.validate import metrics, shown
from converter.validate.accuracy import METRICS, accuracies, prediction
from converter.validate.doubts import doubts, shown_name
from converter.validate.engines import Answer, Engine, ask
from converter.validate.gates import Gates, accuracy_gates, at_most, excuses, output_gates

On = Literal["values", "before softmax", "before sigmoid", "probabilities"]

# Probabilities are held against the candidate's own scores, as numpy computes the activation: half precision is good
# to 2**-11, and a sum of a thousand of them loses a little more.
_ACTIVATION_LIMIT: dict[Precision, float] = {"float32": 1e-5, "float16": 5e-3}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one saved model answered to all samples of a reference, and to the labelled set.

    Of a classification the labelled set has the first labels as well, which is all that older records hold.
    """

    engine: str
    samples: tuple[Answer, ...]
    labelled: tuple[str, ...] = ()
    seconds: float = 0.0
    predictions: tuple[Tensors, ...] = ()


def answers(path: Path, reference: Reference, interface: Interface, engine: Engine) -> Answers:
    """Ask the saved .mlmodel file or .mlpackage folder all that the reference was asked.

    Raises EvaluationError or ValidationError, with the sample, where it cannot be run or gives no answer.
    """
    started = time.monotonic()
    place = f"{path.name} on {engine.name}"
    sample = ""
    try:
        predictor = engine.load(path)
        given, labelled, predictions = [], [], []
        for one in reference.samples:
            sample = one.name
            given.append(ask(predictor, interface, one.inputs))
        for one in reference.labelled:
            sample = one.name
            answer = ask(predictor, interface, one.inputs)
            predictions.append(prediction(reference.task, interface, answer.values, one.inputs, answer.label))
            if reference.task.kind == "classification":
                labelled.append(_label(answer, interface))
    except ConverterError as error:
        raise error.within("validate", place, *([f"sample {sample}"] if sample else [])) from None
    return Answers(
        engine=engine.name,
        samples=tuple(given),
        labelled=tuple(labelled),
        seconds=time.monotonic() - started,
        predictions=tuple(predictions),
    )


def judge(
    answers: Answers, reference: Reference, *, interface: Interface, precision: Precision, gates: Gates
) -> Validation:
    """Apply the gates to what a saved model answered; `precision` is what it computes in."""
    started = time.monotonic()
    notes = list(doubts(reference, interface, gates.psnr_limit_db(precision, interface.outputs[0])))
    held = [_output(index, answers, reference, interface, precision, gates) for index in range(len(interface.outputs))]
    accurate = accuracies(reference, answers.predictions, answers.labelled, interface)
    held.append(_labelled(accurate, reference, gates))
    verdicts = [gate for one in held for gate in one.gates]
    if not verdicts:
        raise ValidationError(
            "every gate is skipped, so nothing would be promised",
            where=("validate", answers.engine),
            fix="hold at least one gate: an output's, or one of a labelled set",
        )
    named = {name for one in held for name in one.names}
    idle = [f"{name} is skipped ({reason}), and was not to be held" for name, reason in gates.skip.items()]
    notes += [note for name, note in zip(gates.skip, idle, strict=True) if name not in named]
    first = next((one for one in accurate if one.metric == "top1"), None)
    return Validation(
        engine=answers.engine,
        metrics=tuple(one.metrics for one in held if one.metrics),
        gates=tuple(verdicts),
        accuracy=first.value if first else None,
        reference_accuracy=first.reference if first else None,
        seconds=answers.seconds + time.monotonic() - started,
        notes=(*notes, *(note for one in held for note in one.notes)),
        accuracies=accurate,
        plots=tuple(one.plot for one in sorted(held, key=_psnr_db)[: shown.PLOTS] if one.plot),
        rankings=held[0].rankings,
    )


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What one output, or the labelled set, came to."""

    gates: Sequence[Gate] = ()
    notes: Sequence[str] = ()
    metrics: OutputMetrics | None = None
    plot: Plot | None = None
    rankings: tuple[Ranking, ...] = ()
    names: Sequence[str] = ()  # what a reason to skip may have named here


def _psnr_db(held: _Held) -> float:
    return held.metrics.psnr_db if held.metrics else math.inf


def _output(
    index: int, answers: Answers, reference: Reference, interface: Interface, precision: Precision, gates: Gates
) -> _Held:
    output, name = interface.outputs[index], shown_name(interface, index)
    asked = gates.of_output(output.name, name)
    limit_db = asked.psnr_limit_db(precision, output)
    try:
        compared = _compared(index, reference, answers, interface, asked)
        _require_values(compared)
        measured = _measure(compared, limit_db, asked)
    except ConverterError as error:
        if reason := _reason(gates, output.name, name):
            note = f"{name} is skipped ({reason}), and cannot be compared: {error.problem}"
            return _Held(notes=[note], names=[output.name, name])
        raise error.within("validate", answers.engine, f"output {name}") from None
    verdicts = list(output_gates(measured, asked, limit_db, problem=_non_finite(compared, reference)))
    if compared.activation_error is not None:
        limit = _ACTIVATION_LIMIT[precision]
        verdicts.append(at_most("activation_error", compared.name, compared.activation_error, limit))
    kept, notes = _kept(verdicts, gates, output.name, name)
    return _Held(
        gates=kept,
        notes=[compared.note, *notes] if compared.note else notes,
        metrics=measured,
        plot=shown.plot(compared.name, compared.on, compared.expected, compared.given),
        rankings=_rankings(compared, reference, answers, interface, limit_db, asked) if index == 0 else (),
        names=[output.name, name, *(gate.name for gate in verdicts)],
    )


def _labelled(accurate: Sequence[Accuracy], reference: Reference, gates: Gates) -> _Held:
    verdicts = list(accuracy_gates(accurate, gates))
    kept, notes = _kept(verdicts, gates)
    notes = [*excuses(kept), *notes]
    if gates.asked and not reference.labelled:
        notes.append("accuracy is not checked here: the labelled set was too large to be stored with the model")
    elif lost := [METRICS[metric].words for metric in gates.asked if metric not in [one.metric for one in accurate]]:
        notes.append(f"{', '.join(lost)} is not checked here: the answers do not tell it")
    return _Held(gates=kept, notes=notes, names=[gate.name for gate in verdicts])


def _reason(gates: Gates, *names: str) -> str:
    """Why an output or a gate is skipped; empty where it is not."""
    return next((gates.skip[name] for name in names if name in gates.skip), "")


def _kept(held: Sequence[Gate], gates: Gates, *outputs: str) -> tuple[list[Gate], list[str]]:
    """The gates that are not skipped, and for each other one a sentence with the manifest's reason."""
    kept, notes = [], []
    for gate in held:
        if reason := _reason(gates, *outputs, gate.name):
            verdict = "it holds" if gate.passed else "it would fail"
            notes.append(f"{gate.name} is skipped ({reason}); {verdict}: {gate.words}")
        else:
            kept.append(gate)
    return kept, notes


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """One output's values, sample by sample, in the same shape; `classes` are the candidate's first classes."""

    name: str
    on: On
    expected: Sequence[np.ndarray]
    given: Sequence[np.ndarray]
    classes: Sequence[int] | None = None
    activation_error: float | None = None
    note: str = ""


def _compared(index: int, reference: Reference, answers: Answers, interface: Interface, gates: Gates) -> _Compared:
    output = interface.outputs[index]
    name = shown_name(interface, index)
    expected = [outputs[output.name] for outputs in reference.outputs]
    given = [answer.values[output.name] for answer in answers.samples]
    if output.color is not None:
        # An image holds whole numbers; what the source gives is rounded the same way.
        expected = [np.clip(np.rint(values), 0, 255) for values in expected]
    if index > 0:
        limits = gates.outputs.get(name)
        has_classes = limits is not None and limits.top1 is not None
        best = [metrics.top(values, 1)[0] for values in given] if has_classes else None
        return _Compared(name=name, on="values", expected=expected, given=given, classes=best)
    classifier = interface.classifier
    if classifier:
        given = [_shaped(values, like) for values, like in zip(given, expected, strict=True)]
    activation = classifier.activation if classifier and classifier.activation else reference.scores_activation
    if activation is None:
        on: On = "probabilities" if classifier else "values"
        note = f"{name} is compared as it is: the source's scores before an activation cannot be reached"
        # Without labels only the manifest can say that the values are scores of classes.
        labelled = reference.labelled and reference.task.kind == "classification"
        scored = classifier or labelled or gates.top1 is not None
        classes = _classes(answers, interface, given) if scored else None
        return _Compared(
            name=name, on=on, expected=expected, given=given, classes=classes, note=note if classifier else ""
        )
    scores = [answer.scores for answer in answers.samples if answer.activation == activation]
    reached = [values for values in scores if values is not None]
    if len(reached) < len(given):
        return _Compared(
            name=name,
            on="probabilities",
            expected=[activated(values, activation) for values in expected],
            given=given,
            classes=_classes(answers, interface, given),
            note=f"{name} is compared after its {activation}: {answers.engine} does not reach the scores before it",
        )
    reached = [_shaped(values, like) for values, like in zip(reached, expected, strict=True)]
    return _Compared(
        name=name,
        on="before softmax" if activation == "softmax" else "before sigmoid",
        expected=expected,
        given=reached,
        classes=_classes(answers, interface, reached),
        activation_error=float(
            np.max(
                [
                    metrics.max_abs_error(activated(before, activation), after)
                    for before, after in zip(reached, given, strict=True)
                ]
            )
        ),
    )


def activated(scores: np.ndarray, activation: Activation) -> np.ndarray:
    """Softmax over the last axis, or sigmoid, in float64."""
    values = scores.astype(np.float64)
    if activation == "sigmoid":
        # tanh does not overflow where exp(-x) would.
        return np.asarray((np.tanh(values / 2) + 1) / 2)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _shaped(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A classifier's scores lose their leading axes on the way; nothing else may differ."""
    return values.reshape(like.shape) if values.size == like.size else values


def _classes(answers: Answers, interface: Interface, scores: Sequence[np.ndarray]) -> list[int]:
    """The class that each answer names first: a classifier's label, else the highest score."""
    best = [metrics.top(values, 1)[0] for values in scores]
    if not interface.classifier:
        return best
    labels = list(interface.classifier.labels)
    classes = []
    for answer, highest in zip(answers.samples, best, strict=True):
        named = labels.index(answer.label) if answer.label in labels else -1
        probabilities = answer.values[interface.outputs[0].name].ravel()
        # Half precision saturates at 1.0: a label that ties there with the highest score stands for both.
        tied = named >= 0 and probabilities[named] == probabilities[highest]
        classes.append(highest if tied else named)
    return classes


def _measure(compared: _Compared, limit_db: float, gates: Gates) -> OutputMetrics:
    pairs = list(zip(compared.expected, compared.given, strict=True))
    top1, top5, near_ties = None, None, 0
    if compared.classes is not None:
        drifts = [metrics.allowed_drift(expected, limit_db, gates.max_abs_error) for expected in compared.expected]
        agreements = _agreements(compared, drifts)
        near_ties = agreements.count("near tie")
        top1 = 1 - agreements.count("different") / len(agreements)
        top5 = float(np.mean([metrics.top5_agreement(*pair, d) for pair, d in zip(pairs, drifts, strict=True)]))
    return OutputMetrics(
        output=compared.name,
        on=compared.on,
        # numpy's, which hand a NaN on: Python's own lose it
        psnr_db=float(np.min([metrics.psnr_db(*pair) for pair in pairs])),
        max_abs_error=float(np.max([metrics.max_abs_error(*pair) for pair in pairs])),
        cosine=metrics.cosine(*(np.concatenate([v.ravel() for v in values]) for values in zip(*pairs, strict=True))),
        top1_agreement=top1,
        top5_agreement=top5,
        near_ties=near_ties,
    )


def _agreements(compared: _Compared, drifts: Sequence[float]) -> list[metrics.Agreement]:
    return [
        metrics.top1_agreement(expected, named, drift) if named >= 0 else "different"
        for expected, named, drift in zip(compared.expected, compared.classes or (), drifts, strict=True)
    ]


def _rankings(
    compared: _Compared, reference: Reference, answers: Answers, interface: Interface, limit_db: float, gates: Gates
) -> tuple[Ranking, ...]:
    """The first classes of some samples, of an output that holds one score for each class."""
    if compared.classes is None or any(values.size != values.shape[-1] for values in compared.expected if values.ndim):
        return ()
    classifier, name = interface.classifier, interface.outputs[0].name
    activation = (classifier and classifier.activation) or reference.scores_activation
    expected = [activated(values, activation) if activation else values for values in compared.expected]
    drifts = [metrics.allowed_drift(values, limit_db, gates.max_abs_error) for values in compared.expected]
    agreements = _agreements(compared, drifts)
    count = max(values.size for values in expected)
    labels = classifier.labels if classifier else tuple(map(str, range(count)))
    return tuple(
        shown.ranking(
            reference.samples[index].name,
            expected[index],
            answers.samples[index].values[name],
            labels,
            agreements[index],
        )
        for index in shown.chosen(reference.samples, agreements)
    )


def _require_values(compared: _Compared) -> None:
    """Refuse an output of which no sample holds a value: whatever the model answers would pass."""
    if not any(values.size for values in compared.expected):
        raise ValidationError(
            "the source gives no values to any sample, so there is nothing to compare",
            fix="give `samples` to which it answers, or leave the output out",
        )


def _non_finite(compared: _Compared, reference: Reference) -> str:
    counts = {s.name: metrics.non_finite(v) for s, v in zip(reference.samples, compared.given, strict=True)}
    return "; ".join(f"{count} NaN or infinite values for {name}" for name, count in counts.items() if count)


def _class_name(index: int, interface: Interface) -> str:
    return interface.classifier.labels[index] if interface.classifier else str(index)


def _label(answer: Answer, interface: Interface) -> str:
    if answer.label is not None:
        return answer.label
    return _class_name(metrics.top(answer.values[interface.outputs[0].name], 1)[0], interface)
