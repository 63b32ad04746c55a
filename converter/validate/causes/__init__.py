"""Why a gate is missed: known mistakes are tried one by one, and the one whose undoing explains the answers is named.

Nothing is guessed. Of the file against its source, the source is asked once more as the mistake would have it, and the
same comparison is made with what the file answered. A mistake that is named makes the gate hold or takes the error away
by far, and no other does as well.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from converter.model import Cause, Precision, Reference, Source, Validation
from converter.validate.causes.accuracy import of_manifest
from converter.validate.causes.answers import of_file
from converter.validate.causes.tried import Case
from converter.validate.check import Answers
from converter.validate.gates import Gates

__all__ = ["Diagnosis", "diagnosis"]

LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The causes, the best explanation first; `note` says why there is none, or why it cannot be told."""

    causes: tuple[Cause, ...] = ()
    note: str = ""


def diagnosis(
    source: Source,
    reference: Reference,
    answers: Answers,
    validation: Validation,
    *,
    precision: Precision,
    gates: Gates,
    path: Path | None = None,
    labelled: Path | None = None,
    limit_s: float = LIMIT_S,
) -> Diagnosis:
    """Why `validation` misses its gates: nothing where it misses none, or where no mistake that is known explains it.

    `path` is the saved file, for what only a second run of it shows; `labelled` the labelled set as the manifest names
    it, for the crop. No new mistake is tried after `limit_s` seconds.
    """
    failed = {gate.name for gate in validation.gates if not gate.passed}
    if not failed:
        return Diagnosis()
    case = Case(
        source=source,
        reference=reference,
        answers=answers,
        validation=validation,
        precision=precision,
        gates=gates,
        path=path,
        labelled=labelled,
        ends_at=time.monotonic() + limit_s,
    )
    found, notes = [], []
    if not all(_is_of_labels(name) for name in failed):
        causes, note = of_file(case)
        found += causes
        notes += [note] if note else []
    wanted, reached = gates.min_accuracy, validation.reference_accuracy
    if wanted is not None and reached is not None and reached < wanted:
        causes, note = of_manifest(case)
        found += causes
        notes += [note] if note else []
    return Diagnosis(causes=tuple(found), note="; ".join(notes))


def _is_of_labels(gate: str) -> bool:
    """Whether a gate is of the labelled set: min_accuracy, max_accuracy_drop and their like."""
    return gate.startswith("min_") or gate.endswith("_drop")
