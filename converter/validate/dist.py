"""Check a finished output folder again, by the references that lie in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from converter.errors import ConverterError, ValidationError
from converter.model import ModelRecord, Validation
from converter.package.archive import unzipped
from converter.package.checksums import sha256
from converter.package.dist import RECORD
from converter.package.record import read_record
from converter.validate.check import answers, judge
from converter.validate.engines import Engine
from converter.validate.engines import engine as engine_called
from converter.validate.gates import failures
from converter.validate.references import Candidate, References, read_references


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one saved model answered this time, or the words of what went wrong."""

    model: str
    file: str
    engine: str
    validation: Validation | None = None
    error: str = ""

    @property
    def passed(self) -> bool:
        return self.validation is not None and self.validation.passed

    @property
    def words(self) -> str:
        """One line for people, and one more for each note."""
        if self.validation is None:
            return f"{self.file}: FAILED on {self.engine}: {self.error}"
        gates = self.validation.gates
        said = [
            f"{self.file}: passed {len(gates)} gate{'s' * (len(gates) != 1)} on {self.engine}"
            if self.passed
            else f"{self.file}: FAILED on {self.engine}: {failures(gates)}"
        ]
        return "\n".join([*said, *(f"  note: {note}" for note in self.validation.notes)])


def validate_dist(dist: Path, engine: str) -> Iterator[Result]:
    """Check every model that dist/build.json lists as complete, on the engine `reference` or `coreml`.

    Raises ManifestError where the engine cannot run here and OutputError where the folder has no readable record; what
    is wrong with one file is its Result.
    """
    answering = engine_called(engine)
    models = read_record(dist).models
    return (result for model in models if model.passed for result in _model(dist, model, answering))


def _model(dist: Path, model: ModelRecord, engine: Engine) -> Iterator[Result]:
    name = model.name
    digests = {artifact.path: artifact.sha256 for artifact in model.artifacts}
    stored = f"{name}/{name}.references.npz"
    try:
        references = read_references(_intact(dist, stored, digests))
    except ConverterError as error:
        yield Result(model=name, file=stored, engine=engine.name, error=str(error))
        return
    for candidate in references.candidates:
        yield _candidate(dist, references, candidate, digests, engine)


def _candidate(
    dist: Path, references: References, candidate: Candidate, digests: dict[str, str], engine: Engine
) -> Result:
    name = references.model
    path = f"{name}/{candidate.file}"
    try:
        stored = f"{path}.zip" if f"{path}.zip" in digests else path
        with unzipped(_intact(dist, stored, digests)) as saved:
            given = answers(saved, references.reference, references.interface, engine)
        validation = judge(
            given,
            references.reference,
            interface=references.interface,
            precision=candidate.precision,
            gates=references.gates,
        )
    except (ConverterError, OSError) as error:
        return Result(model=name, file=candidate.file, engine=engine.name, error=str(error))
    return Result(model=name, file=candidate.file, engine=engine.name, validation=validation)


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
