"""What checking a finished folder again came to, in words: for the terminal, the log and the job summary."""

from pathlib import Path

from converter.model import CheckedFile, ValidationRecord
from converter.report import figures

_CORE_ML = "Core ML"  # the one engine that has compute units


def words(checked: CheckedFile) -> str:
    """One line for people, and one more for whatever else is known."""
    name = Path(checked.file).name.removesuffix(".zip")
    engine = f"{checked.engine}, {checked.compute_units}" if checked.engine.startswith(_CORE_ML) else checked.engine
    information = "" if checked.required else " (for information)"
    if checked.passed and checked.validation:
        count = len(checked.validation.gates)
        said = f"{name}: passed {count} gate{'s' * (count != 1)} on {engine}{information}"
    elif checked.required:
        said = f"{name}: FAILED on {engine}: {figures.reason(checked)}"
    else:
        said = f"{name}: not passed on {engine}{information}: {figures.reason(checked)}"
    notes = checked.validation.notes if checked.validation else ()
    more = [figures.fault(checked), figures.took(checked), figures.preferred(checked)]
    if checked.validation:
        more += [f"labelled set: {accuracy.words}" for accuracy in checked.validation.accuracies]
    return "\n".join([said, *(f"  {line}" for line in more if line), *(f"  note: {note}" for note in notes)])


def passed_files(record: ValidationRecord) -> tuple[int, int]:
    """How many files passed all that is required of them, and how many there are."""
    files = {checked.file for checked in record.files}
    missed = {checked.file for checked in record.files if checked.required and not checked.passed}
    return len(files - missed), len(files)


def total(record: ValidationRecord, folder: str) -> str:
    """The last line: `dist: 2 of 2 files passed on coreml (macOS 15.1, Apple M1)`."""
    passed, files = passed_files(record)
    others = [checked for checked in record.files if not checked.required]
    more = ""
    if others:
        more = f"; for information, {sum(c.passed for c in others)} of {len(others)} checks on other compute units did"
    return f"{folder}: {passed} of {files} files passed on {record.engine} ({record.machine}){more}"
