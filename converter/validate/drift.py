"""Core ML against what the reference evaluator answered on Linux to the same file: which of the two is at fault."""

from dataclasses import replace
from typing import Literal

import numpy as np

from converter.errors import ConverterError
from converter.model import Interface, OutputMetrics, Reference, Validation
from converter.validate.check import Answers, judge
from converter.validate.references import Candidate, References


def drift(given: Answers, candidate: Candidate, references: References) -> tuple[OutputMetrics, ...]:
    """The same metrics, with the evaluator in the source's place; none where the answers cannot be compared."""
    evaluated = replace(
        references.reference,
        outputs=tuple(answer.values for answer in candidate.answers.samples),
        labelled=(),
        labelled_scores=None,
        scores_activation=None,  # both have answered with what comes after it
    )
    validation = _judged(given, evaluated, _as_it_is(references.interface), candidate, references)
    return validation.metrics if validation else ()


def at_fault(
    given: Validation, drift: tuple[OutputMetrics, ...], candidate: Candidate, references: References
) -> Literal["", "the conversion", "the device"]:
    """What a missed gate is put down to, empty where none is missed or that cannot be told.

    The evaluator is judged by what Core ML can show: outputs alone, no scores before an activation. It is the device
    where the evaluator then keeps every gate, and the conversion where it does not, and is farther from the source
    than Core ML is from it.
    """
    if given.passed:
        return ""
    outputs_alone = replace(
        candidate.answers,
        samples=tuple(replace(answer, scores=None, activation=None) for answer in candidate.answers.samples),
    )
    evaluated = _judged(outputs_alone, references.reference, references.interface, candidate, references)
    if evaluated is None:
        return ""
    if evaluated.passed:
        return "the device"
    nearer = [d.psnr_db > e.psnr_db or d.psnr_db == np.inf for d, e in zip(drift, evaluated.metrics, strict=False)]
    return "the conversion" if nearer and all(nearer) else ""


def _judged(
    given: Answers, reference: Reference, interface: Interface, candidate: Candidate, references: References
) -> Validation | None:
    try:
        return judge(given, reference, interface=interface, precision=candidate.precision, gates=references.gates)
    except ConverterError:
        return None


def _as_it_is(interface: Interface) -> Interface:
    """The interface of outputs to which nothing is added any more."""
    classifier = interface.classifier
    return replace(interface, classifier=replace(classifier, activation=None)) if classifier else interface
