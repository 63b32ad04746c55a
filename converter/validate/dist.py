"""Check a finished output folder again, by the references that lie in it."""

import contextlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from converter.errors import ConverterError, ManifestError, OutputError, ValidationError
from converter.model import CheckedFile, ComputeUnits, ModelRecord, ValidationRecord
from converter.package.archive import unzipped
from converter.package.checksums import sha256
from converter.package.dist import RECORD
from converter.package.record import read_record
from converter.plain import to_plain
from converter.validate.apart import Limits
from converter.validate.check import answers, judge
from converter.validate.coreml import machine
from converter.validate.engines import Engine
from converter.validate.engines import engine as engine_called
from converter.validate.references import Candidate, read_references
from converter.validate.units import Asked, UnderCoreML, failed

_ASKED_BY = ("coremltools", "numpy", "pillow")


Check = Callable[[Asked], Iterator[CheckedFile]]


def validate_dist(
    dist: Path, engine: str, *, limits: Limits, compute_units: Sequence[ComputeUnits] = ()
) -> Iterator[CheckedFile]:
    """Check every model that dist/build.json lists as complete, on the engine `reference` or `coreml`.

    Core ML is asked on CPU_ONLY, on what a model requires, and on `compute_units` (all where none are given), with
    `limits` for each file. Raises ManifestError where the engine cannot run here, OutputError where the folder has no
    readable record, and ValidationError where no model in it is complete; what is wrong with one file is its
    CheckedFile. A part without models, of more shards than models, has nothing to check.
    """
    check: Evaluated | UnderCoreML
    if engine == "coreml":
        check = UnderCoreML(compute_units, limits)
    else:
        check = Evaluated(engine)
        if compute_units:
            raise ManifestError(f"the engine {engine} knows no compute units", fix="leave out --compute-units")
    record = read_record(dist)
    models = [model for model in record.models if model.passed]
    if not models and not (record.shard and not record.models):
        raise ValidationError(
            f"no model in {dist} is complete, so there is nothing to check", fix="see report.md there for the reasons"
        )
    return (
        checked
        for model in models
        for checked in _Folder(dist, model, {a.path: a.sha256 for a in model.artifacts}, check.engine.name).files(check)
    )


def validation_record(dist: Path, engine: str, files: Sequence[CheckedFile], seconds: float) -> ValidationRecord:
    """What the check of `dist` came to, for machines to read."""
    versions = {"python": platform.python_version()}
    for name in _ASKED_BY:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return ValidationRecord(
        engine=engine,
        machine=machine(),
        versions=versions,
        commit=read_record(dist).commit,
        files=tuple(files),
        seconds=seconds,
    )


def forget_validation(path: Path) -> None:
    """Remove an earlier check's record: this check may end without one, or be killed. Raises OutputError."""
    with _recording(path):
        if path.is_file() and not path.is_symlink():  # not /dev/stdout
            path.unlink()


def write_validation(path: Path, record: ValidationRecord) -> None:
    """Write the record as JSON. Raises OutputError."""
    with _recording(path):
        path.write_text(json.dumps(to_plain(record), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _recording(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}", fix="give another place by --record"
        ) from error


class Evaluated:
    """Checks files by an engine that answers in this process."""

    def __init__(self, name: str) -> None:
        self.engine: Engine = engine_called(name)

    def __call__(self, asked: Asked) -> Iterator[CheckedFile]:
        references = asked.references
        given = answers(asked.saved, references.reference, references.interface, self.engine)
        yield replace(
            asked.checked,
            validation=judge(
                given,
                references.reference,
                interface=references.interface,
                precision=asked.candidate.precision,
                gates=references.gates,
            ),
        )


@dataclass(frozen=True)
class _Folder:
    """One model's folder in dist, and the sha256 that each of its files has to have."""

    dist: Path
    model: ModelRecord
    digests: Mapping[str, str]
    engine: str

    def files(self, check: Check) -> Iterator[CheckedFile]:
        """The model's files one by one; a file that is not as the record has it is a failure of its own."""
        name = self.model.name
        stored = f"{name}/{name}.references.npz"
        built = [f"{name}/{a.conversion.path.name}" for a in self.model.attempts if a.passed and a.conversion]
        asked = {stored}
        candidates: Sequence[Candidate] = ()
        try:
            references = read_references(self._intact(stored))
            candidates = references.candidates
            if not candidates and not built:
                raise ValidationError(f"{stored} tells of no file, so nothing was checked", where=(str(self.dist),))
        except ConverterError as error:
            yield failed(self._checked(stored), error)
            built = []
        for candidate in candidates:
            path = self._as_stored(f"{name}/{candidate.file}")
            asked.add(path)
            checked = self._checked(path)
            try:
                with unzipped(self._intact(path)) as saved:
                    yield from check(
                        Asked(
                            checked=checked,
                            saved=saved,
                            stored=self.dist / stored,
                            references=references,
                            candidate=candidate,
                        )
                    )
            except (ConverterError, OSError) as error:
                yield failed(checked, error)
            except Exception as error:  # noqa: BLE001  the border: what one file answers never stops the others
                yield failed(checked, f"internal error: {type(error).__name__}: {error}")
        for path in map(self._as_stored, built):
            if path not in asked:
                problem = f"{stored} does not tell what {path} has to answer"
                yield failed(self._checked(path), ValidationError(problem, where=(str(self.dist),)))
        for path in self.digests:
            if path not in asked:
                try:
                    self._intact(path)
                except (ConverterError, OSError) as error:
                    yield failed(self._checked(path), error)

    def _checked(self, path: str) -> CheckedFile:
        return CheckedFile(model=self.model.name, file=path, sha256=self.digests.get(path, ""), engine=self.engine)

    def _as_stored(self, path: str) -> str:
        """A model file as the folder holds it: a package is zipped."""
        return f"{path}.zip" if f"{path}.zip" in self.digests else path

    def _intact(self, path: str) -> Path:
        """The file, which must be the one that the record names."""
        file = self.dist / path
        problem = ""
        if path not in self.digests:
            problem = f"{path} is not in {RECORD}"
        elif not file.is_file():
            problem = f"{path} is missing"
        elif sha256(file) != self.digests[path]:
            problem = f"{path} is not the file that was built: its sha256 differs from {RECORD}"
        if problem:
            raise ValidationError(
                problem, where=(str(self.dist),), fix="convert the model again, or fetch the folder again"
            )
        return file
