"""One case, and what its gates would see with a mistake undone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from converter.errors import ConverterError
from converter.model import Activation, ImageInput, Interface, Precision, Reference, Sample, Source, Tensors, Validation
from converter.validate import metrics
from converter.validate.causes.mistakes import Seen
from converter.validate.check import Answers, activated, judge
from converter.validate.gates import Gates

# A mistake explains a gate that it makes hold, if three quarters of the error go with it; or most of an error, if not.
CLEARLY_DB = 6.0
BY_FAR_DB = 20.0
# Two explanations that differ by less cannot be told apart.
APART_DB = 3.0
_EXACT_DB = 150.0  # above, two floats are as equal as they can be
_SAMPLES = 12  # enough to tell; a large network takes seconds for each


@dataclass(frozen=True, kw_only=True)
class Case:
    """A saved file that misses a gate: what it answered, what its source answers, and until when to look for the cause.

    `labelled` is the labelled set's folder or file, `path` the saved file; each may be missing.
    """

    source: Source
    reference: Reference
    answers: Answers
    validation: Validation
    precision: Precision
    gates: Gates
    path: Path | None
    labelled: Path | None
    ends_at: float  # time.monotonic()
    _seen: dict[str, tuple[Tensors, ...] | None] = field(default_factory=dict)

    @property
    def interface(self) -> Interface:
        return self.source.interface

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.ends_at

    @property
    def activations(self) -> tuple[Activation, ...]:
        """What stands between the source's scores and the answer that is promised."""
        classifier = self.interface.classifier
        kind = classifier.activation if classifier and classifier.activation else self.reference.scores_activation
        return (kind,) if kind else ()

    @property
    def limit_db(self) -> float:
        return max(self.gates.psnr_limit_db(self.precision, output) for output in self.interface.outputs)

    def small(self) -> "Case":
        """The same with few samples, the one furthest off among them, and without the labelled set's answers."""
        count, name = len(self.reference.samples), self.interface.outputs[0].name
        chosen = (
            {round(i * (count - 1) / (_SAMPLES - 1)) for i in range(_SAMPLES)} if count > _SAMPLES else {*range(count)}
        )
        if count > _SAMPLES:
            pairs = zip(self.reference.outputs, self.answers.samples, strict=True)
            error = [metrics.psnr_db(*_flat(through(e[name], self.activations), g.values[name])) for e, g in pairs]
            chosen.add(int(np.argmin(error)))
        places = sorted(chosen)
        reference = replace(
            self.reference,
            samples=tuple(self.reference.samples[i] for i in places),
            outputs=tuple(self.reference.outputs[i] for i in places),
            labelled=(),
            labelled_scores=None,
        )
        answers = replace(self.answers, samples=tuple(self.answers.samples[i] for i in places), labelled=())
        return replace(self, reference=reference, answers=answers)

    def outputs(self, seen: Seen | None) -> tuple[Tensors, ...] | None:
        """What the source gives to the samples as they are seen with a mistake; None where it fails on them."""
        if seen is None:
            return self.reference.outputs
        key = f"{seen.spec} {seen.as_if}"
        if key not in self._seen:
            self._seen[key] = self._asked(seen)
        return self._seen[key]

    def judged(self, outputs: Sequence[Tensors], activations: tuple[Activation, ...]) -> Validation | None:
        """The gates, if the source answered `outputs` before `activations`; None where nothing can be compared."""
        first = self.interface.outputs[0].name
        *before, last = activations or (None,)
        changed = [{**one, first: through(one[first], before)} for one in outputs] if before else outputs
        classifier = self.interface.classifier
        interface = replace(self.interface, classifier=classifier and replace(classifier, activation=last))
        reference = replace(self.reference, outputs=tuple(changed), scores_activation=None if classifier else last)
        try:
            return judge(self.answers, reference, interface=interface, precision=self.precision, gates=self.gates)
        except ConverterError:
            return None

    def _asked(self, seen: Seen) -> tuple[Tensors, ...] | None:
        from converter.validate.reference import reference

        try:
            return reference(seen_by(self.source, seen), seen_samples(self.reference.samples, seen)).outputs
        except ConverterError:
            return None


def seen_by(source: Source, seen: Seen) -> Source:
    inputs = tuple(
        seen.spec if isinstance(spec, ImageInput) and spec.name == seen.spec.name else spec
        for spec in source.interface.inputs
    )
    return replace(source, interface=replace(source.interface, inputs=inputs))


def seen_samples(samples: Sequence[Sample], seen: Seen) -> tuple[Sample, ...]:
    name = seen.spec.name
    see: Callable[[np.ndarray], np.ndarray] = seen.see
    return tuple(
        replace(one, inputs={**one.inputs, name: np.ascontiguousarray(see(one.inputs[name]))}) for one in samples
    )


def through(values: np.ndarray, activations: Sequence[Activation | None]) -> np.ndarray:
    for activation in activations:
        values = activated(values, activation) if activation else values
    return values


def worst_db(validation: Validation) -> float:
    """The PSNR of the worst output, as the gate sees it."""
    return float(np.nanmin([min(m.psnr_db, _EXACT_DB) for m in validation.metrics]))


def holds_db(validation: Validation) -> bool:
    return all(gate.passed for gate in validation.gates if gate.name == "psnr_db")


def explains(before_db: float, validation: Validation) -> bool:
    """Whether a mistake that gives `validation` when it is undone is why the gate saw `before_db`."""
    after_db = worst_db(validation)
    gain = after_db - before_db
    return gain >= (CLEARLY_DB if holds_db(validation) else BY_FAR_DB) and after_db >= BY_FAR_DB


def is_blind(reference: Reference, interface: Interface, limit_db: float) -> bool:
    """Whether the source answers all samples nearly alike: then every mistake with its inputs looks the same."""
    outputs = [one[interface.outputs[0].name] for one in reference.outputs]
    alike = [values for values in outputs if values.shape == outputs[0].shape]
    if len(alike) < 2:
        return False
    return min(metrics.psnr_db(alike[0], values) for values in alike[1:]) >= min(limit_db, 40.0)


def _flat(expected: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A classifier's scores lose their leading axes on the way."""
    return expected, given.reshape(expected.shape) if given.size == expected.size else given
