"""Figures of an earlier run, which later ones may not fall behind: a JSON file in the user's repository.

Nothing but the standard library: the job on macOS reads it, too. Figures are kept for each file and engine, as the
reference evaluator and Core ML do not answer alike.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from converter.errors import ManifestError, OutputError
from converter.model import Attempt, CheckedFile, Gate, ModelRecord, Validation
from converter.plain import from_plain, to_plain

SCHEMA = 1
PREFIX = "baseline "
"""What the names of a baseline's gates begin with."""
SAID = "Baseline: "
"""What its notes begin with."""

# Beyond this a float32 output says more of the machine's own rounding than of the file.
_ENOUGH_DB = 120.0

Engine = Literal["reference", "coreml"]
Figures = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class AllowedDrop:
    """By how much a figure may fall: PSNR in dB, and shares (of equal classes, of right answers, IoU, mAP)."""

    psnr_db: float = 1.0
    share: float = 0.005


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The file's content: figures by name, by engine, by file (`resnet18/resnet18.mlmodel`)."""

    schema: int = SCHEMA
    allowed_drop: AllowedDrop = AllowedDrop()
    files: Mapping[str, Mapping[str, Figures]] = field(default_factory=dict)
    name: str = ""  # of the file, for words; not written


def read_baseline(path: Path, *, may_be_new: bool = False) -> Baseline:
    """Read the file; with `may_be_new` one that is not there is empty. Raises ManifestError."""
    if may_be_new and not path.exists():
        return Baseline(name=path.name)
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(described, dict) and described.get("schema") != SCHEMA:
            raise ValueError(f"schema {described.get('schema')}, this release reads {SCHEMA}")
        read: Baseline = from_plain(Baseline, described)
    except FileNotFoundError as error:
        raise ManifestError(
            f"there is no baseline {path}", fix="check the path, or let --update-baseline write it"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise ManifestError(
            f"{path} is no baseline: {error}", fix="restore it from git, or remove it and run with --update-baseline"
        ) from error
    return replace(read, name=path.name)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file, in an order that does not change, so that its differences can be read. Raises OutputError."""
    described = to_plain(baseline)
    del described["name"]
    text = json.dumps(described, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", fix="give another place") from error


def figures(validation: Validation) -> dict[str, float]:
    """What a baseline keeps of a check; more is better for each."""
    found: dict[str, float] = {}
    for one in validation.metrics:
        found[f"psnr_db of {one.output}"] = one.psnr_db
        if one.top1_agreement is not None:
            found[f"top1 of {one.output}"] = one.top1_agreement
    found |= {f"{one.metric} on the labelled set": one.value for one in validation.accuracies}
    return {name: _rounded(name, value) for name, value in found.items()}


def updated(baseline: Baseline, engine: Engine, measured: Mapping[str, Figures]) -> Baseline:
    """With what was measured in the place of what was known; other files and engines stay."""
    files = {file: dict(engines) for file, engines in baseline.files.items()}
    for file, values in measured.items():
        files.setdefault(file, {})[engine] = values
    return replace(baseline, files=files)


def held(validation: Validation, baseline: Baseline, engine: Engine, file: str) -> tuple[Validation, list[str]]:
    """The check with a gate for each figure that the baseline has, and what is to be said of the others."""
    known, now = baseline.files.get(file, {}).get(engine, {}), figures(validation)
    kept = tuple(gate for gate in validation.gates if not gate.name.startswith(PREFIX))
    gates = [_gate(name, was, now[name], baseline) for name, was in known.items() if name in now]
    where = f"{baseline.name} on {'Core ML' if engine == 'coreml' else 'the reference evaluator'}"
    notes = []
    if new := [name for name in now if name not in known]:
        what = "no figures" if not known else "no " + ", ".join(new)
        notes.append(f"{SAID}{file} has {what} in {where} yet; --update-baseline adds what was measured")
    if lost := [name for name in known if name not in now]:
        notes.append(f"{SAID}{file} has {', '.join(lost)} in {where}, and nothing of that was measured now")
    return replace(validation, gates=(*kept, *gates)), notes


def held_files(files: Iterable[CheckedFile], baseline: Baseline | None, engine: Engine) -> Iterator[CheckedFile]:
    """The files of an output folder, those that have to pass held to the baseline as well."""
    for file in files:
        if baseline is None or file.validation is None or not file.required:
            yield file
            continue
        validation, notes = held(file.validation, baseline, engine, _key(file))
        yield replace(file, validation=replace(validation, notes=(*validation.notes, *notes)))


def held_record(record: ModelRecord, baseline: Baseline | None) -> ModelRecord:
    """A model of an earlier run, held to the baseline as it is now; its own gates are those of then."""
    notes = [note for note in record.notes if not note.startswith(SAID)]
    attempts = []
    for attempt in record.attempts:
        holding, said = held_attempt(attempt, baseline, record.name) if attempt.passed else (attempt, [])
        attempts.append(holding)
        notes += said
    return replace(record, attempts=tuple(attempts), notes=tuple(notes))


def worse(record: ModelRecord, baseline: Baseline | None) -> bool:
    """Whether a model of an earlier run, which passed then, is worse than the baseline as it is now."""
    after = held_record(record, baseline).attempts
    return any(one.passed and not two.passed for one, two in zip(record.attempts, after, strict=True))


def held_attempt(attempt: Attempt, baseline: Baseline | None, model: str) -> tuple[Attempt, list[str]]:
    """One file of a model with the baseline's gates, or none where there is no baseline; and notes."""
    if attempt.validation is None or attempt.conversion is None:
        return attempt, []
    file = f"{model}/{attempt.conversion.path.name}"
    validation, notes = held(attempt.validation, baseline or Baseline(), "reference", file)
    return replace(attempt, validation=validation), notes if baseline else []


def figures_of_files(files: Iterable[CheckedFile]) -> dict[str, Figures]:
    """The figures of the files that passed and had to; what fails becomes no baseline."""
    return {_key(file): figures(file.validation) for file in files if file.passed and file.required and file.validation}


def figures_of_records(records: Sequence[ModelRecord]) -> dict[str, Figures]:
    return {
        f"{record.name}/{attempt.conversion.path.name}": figures(attempt.validation)
        for record in records
        if record.passed
        for attempt in record.attempts
        if attempt.passed and attempt.conversion and attempt.validation
    }


def _key(file: CheckedFile) -> str:
    name = file.file.removesuffix(".zip")
    return name if file.compute_units == "CPU_ONLY" else f"{name} on {file.compute_units}"


def _rounded(name: str, value: float) -> float:
    """Few digits, so that noise does not show in a difference; PSNR in hundredths of a dB, shares in 1e-6."""
    return round(float(value), 2 if name.startswith("psnr_db") else 6) if math.isfinite(value) else value


def _gate(name: str, was: float, now: float, baseline: Baseline) -> Gate:
    metric = name.partition(" ")[0]
    is_psnr = metric == "psnr_db"
    allowed = baseline.allowed_drop.psnr_db if is_psnr else baseline.allowed_drop.share
    limit = (min(was, _ENOUGH_DB) if is_psnr else was) - allowed
    passed = now >= limit - 1e-9  # shares of decimal fractions
    words = f"{name} was {_shown(was, is_psnr)} in {baseline.name} and is {_shown(now, is_psnr)} now"
    if not passed:
        words += f", {_shown(allowed, is_psnr)} less is allowed; --update-baseline accepts it"
    return Gate(name=f"{PREFIX}{metric}", limit=limit, measured=now, passed=passed, words=words)


def _shown(value: float, is_psnr: bool) -> str:
    if is_psnr:
        return "exact" if value == math.inf else f"{value:.2f} dB"
    return f"{100 * value:.2f} %"
