"""What closes a folder of models, whole or a part: the record, the checksums and the reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from converter.errors import OutputError
from converter.model import BuildRecord, CheckedFile, ValidationRecord
from converter.package.checksums import sums
from converter.package.dist import PAGE, RECORD, REPORT, SUMS, Dist
from converter.package.record import read_record, read_validation, to_json


def closing_texts(record: BuildRecord, previous: BuildRecord | None = None) -> Mapping[str, str]:
    """The texts of build.json, both reports and SHA256SUMS, by name; where the last one is whole, so are the others.

    The reports say what changed since `previous`.
    """
    from converter.report import render_report
    from converter.report.page import render_page

    published = [artifact for model in record.models if model.passed for artifact in model.artifacts]
    return {
        RECORD: to_json(_kept(record)),
        REPORT: render_report(record, previous),
        PAGE: render_page(record, previous),
        SUMS: sums(published),
    }


def _kept(record: BuildRecord) -> BuildRecord:
    """Without the placements of operations, which are many and of one machine: their record has them."""

    def bare(check: ValidationRecord) -> ValidationRecord:
        return replace(check, files=tuple(replace(file, placements=()) for file in check.files))

    return replace(record, checks=tuple(map(bare, record.checks)))


def report(dist: Path, validations: Sequence[Path], previous: BuildRecord | None) -> BuildRecord:
    """Write the reports of a finished folder anew, and with `validations` its record too, which then holds them.

    Raises OutputError with every validation that cannot be read or is of other files.
    """
    record, complaints, checks = read_record(dist), list[str](), list[ValidationRecord]()
    for file in validations:
        try:
            checks.append(read_validation(file))
        except OutputError as error:
            complaints.append(error.problem)
        else:
            complaints += [f"{file}: {words}" for words in _foreign(record, checks[-1])]
    if complaints:
        raise OutputError("\n".join(complaints), where=("report",), fix="validate this folder again")
    if validations:
        record = replace(record, checks=tuple(checks))
    with Dist(dist) as held:
        held.write(closing_texts(record, previous))
    return record


def _foreign(record: BuildRecord, check: ValidationRecord) -> Iterator[str]:
    models = {model.name for model in record.models}
    digests = {file.path: file.sha256 for model in record.models for file in model.artifacts}

    def is_another(file: CheckedFile) -> bool:
        return bool(file.sha256) and digests.get(file.file) != file.sha256

    named = [file.model for file in check.files]
    named += [compiled.model for compiled in check.compiled] + [vision.model for vision in check.vision]
    for name in dict.fromkeys(named):
        if name not in models:
            yield f"the folder has no model {name}"
    for path in dict.fromkeys(file.file for file in check.files if file.model in models and is_another(file)):
        yield f"{path} is another file in the folder"
