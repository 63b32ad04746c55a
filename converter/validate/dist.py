"""Check a finished output folder again, by the references that lie in it."""

import contextlib
import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from converter.errors import ConverterError, OutputError, ValidationError
from converter.model import CheckedFile, ModelRecord, ValidationRecord
from converter.package.archive import unzipped
from converter.package.checksums import sha256
from converter.package.dist import RECORD
from converter.package.record import read_record
from converter.plain import to_plain
from converter.validate.apart import answers_apart
from converter.validate.check import answers, judge
from converter.validate.coreml import machine
from converter.validate.engines import Engine
from converter.validate.engines import engine as engine_called
from converter.validate.gates import failures
from converter.validate.references import Candidate, References, read_references

_ASKED_BY = ("coremltools", "numpy", "pillow")


def validate_dist(dist: Path, engine: str, *, timeout_s: float) -> Iterator[CheckedFile]:
    """Check every model that dist/build.json lists as complete, on the engine `reference` or `coreml`.

    Core ML has `timeout_s` for one file. Raises ManifestError where the engine cannot run here, OutputError where the
    folder has no readable record, and ValidationError where no model in it is complete; what is wrong with one file is
    its CheckedFile. A part without models, of more shards than models, has nothing to check.
    """
    answering = engine_called(engine)
    record = read_record(dist)
    models = [model for model in record.models if model.passed]
    if not models and not (record.shard and not record.models):
        raise ValidationError(
            f"no model in {dist} is complete, so there is nothing to check", fix="see report.md there for the reasons"
        )
    return (checked for model in models for checked in _model(dist, model, answering, timeout_s))


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


def words(checked: CheckedFile) -> str:
    """One line for people, and one more for each figure of the labelled set and each note."""
    name = Path(checked.file).name.removesuffix(".zip")
    if checked.error or checked.validation is None:
        return f"{name}: FAILED on {checked.engine}: {checked.error}"
    gates = checked.validation.gates
    said = [
        f"{name}: passed {len(gates)} gate{'s' * (len(gates) != 1)} on {checked.engine}"
        if checked.passed
        else f"{name}: FAILED on {checked.engine}: {failures(gates)}"
    ]
    said += [f"  labelled set: {accuracy.words}" for accuracy in checked.validation.accuracies]
    return "\n".join([*said, *(f"  note: {note}" for note in checked.validation.notes)])


def _model(dist: Path, model: ModelRecord, engine: Engine, timeout_s: float) -> Iterator[CheckedFile]:
    """The model's files one by one; a file that is not as the record has it is a failure of its own."""
    digests = {artifact.path: artifact.sha256 for artifact in model.artifacts}
    stored = f"{model.name}/{model.name}.references.npz"
    built = [f"{model.name}/{a.conversion.path.name}" for a in model.attempts if a.passed and a.conversion]
    asked = {stored}
    candidates: Sequence[Candidate] = ()
    try:
        references = read_references(_intact(dist, stored, digests))
        candidates = references.candidates
        if not candidates and not built:
            raise ValidationError(f"{stored} tells of no file, so nothing was checked", where=(str(dist),))
    except ConverterError as error:
        yield _failed(model, stored, digests, engine, error)
        built = []
    for candidate in candidates:
        path = _stored(f"{model.name}/{candidate.file}", digests)
        asked.add(path)
        yield _candidate(dist, model, references, candidate, digests, engine, timeout_s)
    for path in (_stored(path, digests) for path in built):
        if path not in asked:
            problem = f"{stored} does not tell what {path} has to answer"
            yield _failed(model, path, digests, engine, ValidationError(problem, where=(str(dist),)))
    for path in digests:
        if path not in asked:
            try:
                _intact(dist, path, digests)
            except (ConverterError, OSError) as error:
                yield _failed(model, path, digests, engine, error)


def _candidate(
    dist: Path,
    model: ModelRecord,
    references: References,
    candidate: Candidate,
    digests: dict[str, str],
    engine: Engine,
    timeout_s: float,
) -> CheckedFile:
    path = _stored(f"{model.name}/{candidate.file}", digests)
    try:
        with unzipped(_intact(dist, path, digests)) as saved:
            if engine.apart:
                stored = dist / model.name / f"{model.name}.references.npz"
                given = answers_apart(saved, stored, engine, timeout_s=timeout_s)
            else:
                given = answers(saved, references.reference, references.interface, engine)
        validation = judge(
            given,
            references.reference,
            interface=references.interface,
            precision=candidate.precision,
            gates=references.gates,
        )
    except (ConverterError, OSError) as error:
        return _failed(model, path, digests, engine, error)
    except Exception as error:  # noqa: BLE001  the border: what one file answers never stops the others
        return _failed(model, path, digests, engine, f"internal error: {type(error).__name__}: {error}")
    return CheckedFile(model=model.name, file=path, sha256=digests[path], engine=engine.name, validation=validation)


def _failed(
    model: ModelRecord, path: str, digests: dict[str, str], engine: Engine, error: Exception | str
) -> CheckedFile:
    if isinstance(error, ConverterError):  # file and engine are said already
        file = Path(path).name.removesuffix(".zip")
        said = ("validate", engine.name, f"{file} on {engine.name}")
        error.where = tuple(place for place in error.where if place not in said)
    return CheckedFile(model=model.name, file=path, sha256=digests.get(path, ""), engine=engine.name, error=str(error))


def _stored(path: str, digests: dict[str, str]) -> str:
    """A model file as the folder holds it: a package is zipped."""
    return f"{path}.zip" if f"{path}.zip" in digests else path


def _intact(dist: Path, path: str, digests: dict[str, str]) -> Path:
    """The file, which must be the one that the record names."""
    file = dist / path
    problem = ""
    if path not in digests:
        problem = f"{path} is not in {RECORD}"
    elif not file.is_file():
        problem = f"{path} is missing"
    elif sha256(file) != digests[path]:
        problem = f"{path} is not the file that was built: its sha256 differs from {RECORD}"
    if problem:
        raise ValidationError(problem, where=(str(dist),), fix="convert the model again, or fetch the folder again")
    return file
