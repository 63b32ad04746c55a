"""One file under Core ML, compute unit by compute unit: some are required to pass, the others are information."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converter.errors import ConverterError, TimeLimitError
from converter.model import CheckedFile, ComputeUnits
from converter.validate.apart import Limits, Told, ask_apart
from converter.validate.check import judge
from converter.validate.drift import at_fault, drift
from converter.validate.engines import engine as engine_called
from converter.validate.references import Candidate, References

COMPUTE_UNITS: tuple[ComputeUnits, ...] = ("CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE", "ALL")

INFORMATIONAL_SHARE = 5
"""A compute unit that is information has this part of the time limit: hangs of 27 minutes were seen on hosted Macs."""

_HANGS = 2  # one file may be at fault, two are the machine


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One model file, with all that decides over its answers; `checked` is what is known of it beforehand."""

    checked: CheckedFile
    saved: Path
    stored: Path
    references: References
    candidate: Candidate


class UnderCoreML:
    """Checks one file after another and keeps in mind what hung, as it may again for the next one."""

    def __init__(self, compute_units: Sequence[ComputeUnits], limits: Limits) -> None:
        self.engine = engine_called("coreml")
        self._chosen = compute_units or COMPUTE_UNITS
        self._limits = limits
        self._hangs: Counter[ComputeUnits] = Counter()
        self._plans_that_hang: set[ComputeUnits] = set()

    def __call__(self, asked: Asked) -> Iterator[CheckedFile]:
        """The file on CPU_ONLY, on the units that its model requires, and on the others that were chosen."""
        required = {"CPU_ONLY", *asked.references.compute_units_required}
        hung = False
        for units in COMPUTE_UNITS:
            if units not in required and units not in self._chosen:
                continue
            checked = replace(asked.checked, compute_units=units, required=units in required)
            skipped = "" if checked.required else self._reason_to_skip(units, hung)
            if skipped:
                yield replace(checked, error=f"not asked: {skipped}")
                continue
            try:
                told = ask_apart(
                    asked.saved,
                    asked.stored,
                    engine_called("coreml", units),
                    self._limits_for(checked),
                )
            except (ConverterError, OSError) as error:
                late = isinstance(error.__cause__, TimeLimitError)
                hung = hung or (late and units == "CPU_ONLY")
                self._hangs[units] += late
                yield failed(checked, error)
                continue
            self._hangs[units] = 0
            if told.plan_hung:
                self._plans_that_hang.add(units)
            yield judged(checked, told, asked)

    def _limits_for(self, checked: CheckedFile) -> Limits:
        share = 1 if checked.required else INFORMATIONAL_SHARE
        return replace(
            self._limits,
            timeout_s=self._limits.timeout_s / share,
            plan_s=0 if checked.compute_units in self._plans_that_hang else self._limits.plan_s,
        )

    def _reason_to_skip(self, units: ComputeUnits, hung: bool) -> str:
        if hung:
            return "it hung on CPU_ONLY"
        if self._hangs[units] >= _HANGS:
            return f"{units} hung for {_HANGS} files one after the other, and is information only"
        return ""


def judged(checked: CheckedFile, told: Told, asked: Asked) -> CheckedFile:
    """What was answered, held against the source, and against the reference evaluator where that was elsewhere."""
    references, candidate = asked.references, asked.candidate
    try:
        validation = judge(
            told.answers,
            references.reference,
            interface=references.interface,
            precision=candidate.precision,
            gates=references.gates,
        )
        apart = drift(told.answers, candidate, references)
        return replace(
            checked,
            validation=replace(validation, notes=(*validation.notes, *([told.note] if told.note else ()))),
            drift=apart,
            at_fault=at_fault(validation, apart, candidate, references),
            times=told.times,
            placements=told.placements,
        )
    except ConverterError as error:
        return replace(failed(checked, error), times=told.times, placements=told.placements)
    except Exception as error:  # noqa: BLE001  the border: what one file answers never stops the others
        return failed(checked, f"internal error: {type(error).__name__}: {error}")


def failed(checked: CheckedFile, error: Exception | str) -> CheckedFile:
    """The file with the words of what went wrong, without what the record of it says already."""
    if isinstance(error, ConverterError):
        file = Path(checked.file).name.removesuffix(".zip")
        said = ("validate", checked.engine, f"{file} on {checked.engine}")
        error.where = tuple(place for place in error.where if place not in said)
    return replace(checked, error=str(error))
