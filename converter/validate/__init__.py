"""Hold what was converted against its source: samples, references, engines, metrics, gates.

Nothing here imports torch or the manifest's libraries before they are used: on macOS coremltools, numpy and Pillow
suffice.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converter.errors import ConverterError, EvaluationError
from converter.model import (
    Artifact,
    Attachments,
    Attempt,
    Contents,
    Conversion,
    LabelledTask,
    Reference,
    Source,
    Validation,
)
from converter.package.checksums import artifact
from converter.validate.accuracy import require_outputs
from converter.validate.check import answers, judge
from converter.validate.engines import engine
from converter.validate.gates import Gates, require_known, require_measurable
from converter.validate.references import Candidate, References, read_references, write_references
from converter.validate.shown import shown_samples

if TYPE_CHECKING:
    from converter.manifest.schema import ValidationOptions

__all__ = ["Gates", "contents", "reference_of", "shown_samples", "store", "validate"]


def reference_of(
    source: Source,
    files: Attachments,
    *,
    seeds: int,
    task: LabelledTask = LabelledTask(),  # noqa: B008  frozen
    gates: Gates = Gates(),  # noqa: B008  frozen
) -> Reference:
    """Ask the source framework, in float32, for what the samples and the labelled set have to give.

    `seeds` inputs are made up where there are no sample files; `task` is what the labelled set asks. Raises SourceError
    for a sample that does not fit, and ValidationError for NaN or infinity in the source's answers and for `task` or
    `gates` that name what the model does not have.
    """
    from converter.validate.labelled import labelled
    from converter.validate.reference import reference
    from converter.validate.samples import samples

    try:
        require_outputs(task, source.interface)
        require_known(gates, source.interface, task)
        require_measurable(gates, source.interface)
        asked = samples(source.interface, files.samples, seeds=seeds)
        known = labelled(source.interface, files.labelled, task) if files.labelled else ()
    except ConverterError as error:
        raise error.within(source.place, "validate") from None
    if not files.samples:
        # Real inputs say more than seeded ones: some of the labelled set are compared value by value as well.
        asked = (*asked, *known[:: max(1, len(known) // seeds)][:seeds])
    return reference(source, asked, known, task)


def validate(
    source: Source,
    reference: Reference,
    conversion: Conversion,
    options: "ValidationOptions",
    *,
    labelled: Path | None = None,
) -> Validation:
    """Compare a conversion's saved file with the reference; a missed gate is a Validation that has not passed.

    Such a one says its causes; `labelled` is the labelled set's folder or file, whose original pictures help to find
    them. What the evaluator answers is kept beside the file until `store` collects it. Raises EvaluationError or
    ValidationError where there is nothing to compare: a file that cannot be run, a missing output, another shape; and
    EvaluationError for a file that runs here but has a fault that Core ML may refuse.
    """
    from converter.validate.causes import diagnosis

    gates, precision = Gates(**options.limits), conversion.target.compute_precision
    try:
        given = answers(conversion.path, reference, source.interface, engine("reference"))
        _check(conversion.path)
        validation = judge(given, reference, interface=source.interface, precision=precision, gates=gates)
        if not validation.passed:
            found = diagnosis(
                source,
                reference,
                given,
                validation,
                precision=precision,
                gates=gates,
                path=conversion.path,
                labelled=labelled,
            )
            notes = (*validation.notes, found.note) if found.note else validation.notes
            validation = dataclasses.replace(validation, causes=found.causes, notes=notes)
    except ConverterError as error:
        raise error.within(source.place) from None
    aside = _aside(conversion)
    aside.parent.mkdir(exist_ok=True)
    empty = dataclasses.replace(
        reference, samples=(), outputs=(), labelled=(), labelled_scores=None, labelled_predictions=()
    )
    candidate = Candidate(file=conversion.path.name, precision=precision, answers=given)
    write_references(
        aside,
        References(
            model=source.name,
            interface=source.interface,
            gates=gates,
            reference=empty,
            candidates=(candidate,),
            compute_units_required=options.compute_units_required,
        ),
    )
    return validation


def contents(path: Path) -> Contents:
    """What a saved .mlmodel file or .mlpackage folder is made of. Raises EvaluationError where it cannot be read."""
    from converter.evaluate import describe

    said = describe(path)
    ops = {op_type: sum(by_precision.values()) for op_type, by_precision in said.ops.items()}
    precisions: Counter[str] = Counter()
    for by_precision in said.ops.values():
        precisions.update(by_precision)
    precisions.pop("", None)  # layers have no precision of their own
    return Contents(ops=ops, precisions=dict(precisions.most_common()), weights_bytes=said.weights_bytes)


def _check(path: Path) -> None:
    from converter.evaluate import check_file

    faults = check_file(path)
    if faults:
        words = "\n".join(str(fault) for fault in faults)
        raise EvaluationError(f"{len(faults)} faults in the file\n{words}", where=["validate", path.name])


def _aside(conversion: Conversion) -> Path:
    return conversion.path.parent / ".answers" / f"{conversion.path.name}.npz"


def store(reference: Reference, source: Source, attempts: Sequence[Attempt], folder: Path) -> list[Artifact]:
    """Write NAME.references.npz for the attempts that passed; it travels with dist and is not published."""
    kept = [read_references(_aside(a.conversion)) for a in attempts if a.passed and a.conversion]
    path = folder / f"{source.name}.references.npz"
    whole = dataclasses.replace(
        kept[0], reference=reference, candidates=tuple(candidate for one in kept for candidate in one.candidates)
    )
    write_references(path, whole)
    shutil.rmtree(folder / ".answers", ignore_errors=True)
    return [artifact(path, folder.parent, published=False)]
