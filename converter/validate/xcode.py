"""What Xcode makes of the files of a finished output folder, and what an app with them sees."""

import contextlib
import functools
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from converter.errors import ConverterError, EvaluationError, ManifestError, OutputError, ValidationError
from converter.model import Artifact, CompiledFile, Format, ValidationRecord, VisionCheck
from converter.package.archive import unzipped, zip_package
from converter.package.checksums import artifact
from converter.package.record import read_record
from converter.validate import vision, xcrun
from converter.validate.compiled import differences
from converter.validate.references import Candidate, References, read_references

_COMPILER = ("xcrun", "coremlcompiler")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")  # as the manifest takes them
_Program = Callable[[], Path | ConverterError]


def require(artifacts: Path, engine: str) -> None:
    """Raise ManifestError where Xcode is not to be had, and OutputError where `artifacts` can be no folder."""
    if engine != "coreml":
        raise ManifestError("--artifacts goes with --engine coreml", fix="add --engine coreml, or leave it out")
    xcrun.require()
    with _writing(artifacts):
        artifacts.mkdir(parents=True, exist_ok=True)


def with_xcode(
    record: ValidationRecord, dist: Path, artifacts: Path, *, timeout_s: float, say: Callable[[str], object]
) -> ValidationRecord:
    """The record and what Xcode and Vision say of the same folder; compiled models and Swift classes go to `artifacts`.

    Each tool has `timeout_s` for one file. Raises OutputError where `artifacts` cannot be written; whatever is wrong
    with one file is in the record, and `say` gets a line for each.
    """
    started = time.monotonic()
    compiled, seen = [], []
    for check in _checks(dist, artifacts, timeout_s):
        say(words(check))
        if isinstance(check, CompiledFile):
            compiled.append(check)
        else:
            seen.append(check)
    seconds = record.seconds + time.monotonic() - started
    record = replace(record, compiled=tuple(compiled), vision=tuple(seen), seconds=seconds)
    passed = sum(check.passed for check in record.app_checks)
    say(f"{artifacts}: {passed} of {len(record.app_checks)} checks passed in Xcode and Vision")
    return record


def words(check: CompiledFile | VisionCheck) -> str:
    """One line for people, and one more for each note."""
    name = Path(check.file).name.removesuffix(".zip")
    if isinstance(check, CompiledFile):
        made = ", ".join(artifact.path for artifact in check.artifacts)
        return f"{name}: compiled: {made}" if check.passed else f"{name}: FAILED in Xcode: {'; '.join(check.problems)}"
    return "\n".join([f"{name}: {_seen(check)}", *(f"  note: {note}" for note in check.notes)])


def _seen(check: VisionCheck) -> str:
    place = f"Vision ({check.crop})"
    if check.error:
        return f"FAILED in {place}: {check.error}"
    wrong = check.words.splitlines()
    named = f"{len(check.pictures) - len(wrong)} of {len(check.pictures)} pictures are named as the source names them"
    ties = sum(picture.near_tie for picture in check.pictures)
    named += f", {ties} of them by a near tie" if ties else ""
    return "; ".join([f"{place}: {named}" if check.passed else f"FAILED in {place}: {named}", *wrong])


def _checks(dist: Path, artifacts: Path, timeout_s: float) -> Iterator[CompiledFile | VisionCheck]:
    with tempfile.TemporaryDirectory() as folder:

        @functools.cache
        def program() -> Path | ConverterError:
            try:
                return vision.program(Path(folder), timeout_s=timeout_s)
            except ConverterError as error:
                return error

        for model in read_record(dist).models:
            if not model.passed:
                continue
            stored = f"{model.name}/{model.name}.references.npz"
            try:
                references = _references(dist / stored, model.name)
            except ConverterError as error:
                yield CompiledFile(model=model.name, file=stored, problems=(str(error),))
                continue
            for candidate in references.candidates:
                yield from _file(dist, artifacts, references, candidate, program, timeout_s)


def _references(stored: Path, model: str) -> References:
    """The model's references. Raises ValidationError for names that would lead out of the folders, too.

    The folder comes from a machine that has run models' code, and files are written by these names.
    """
    references = read_references(stored)
    for name in (model, *(candidate.file for candidate in references.candidates)):
        if not _NAME.fullmatch(name) or references.model != model:
            raise ValidationError(f"{name!r} is no name of a model or file of its own", where=(str(stored),))
    return references


def _file(
    dist: Path, artifacts: Path, references: References, candidate: Candidate, program: _Program, timeout_s: float
) -> Iterator[CompiledFile | VisionCheck]:
    name = references.model
    path = next((p for end in ("", ".zip") if (p := dist / name / f"{candidate.file}{end}").is_file()), None)
    if path is None:
        yield CompiledFile(model=name, file=f"{name}/{candidate.file}", problems=("the file is missing",))
        return
    file = path.relative_to(dist).as_posix()
    problems: list[str] = []
    made: list[Path] = []
    image = vision.seen_image(references.interface)
    check = VisionCheck(model=name, file=file, crop=image.crop) if image else None
    with tempfile.TemporaryDirectory() as aside:
        compiled: Path | None = None
        try:
            with unzipped(path) as saved:
                for tool in (_compile, _generate):
                    with _noted(problems):
                        made += tool(saved, Path(aside), timeout_s)
        except ConverterError as error:
            problems.append(str(error))
        compiled = next((one for one in made if one.suffix == ".mlmodelc"), None)
        if compiled:
            with _noted(problems):
                problems += differences(compiled / "metadata.json", references, _format(candidate))
        kept = _keep(made, artifacts, artifacts / name / _format(candidate))
        yield CompiledFile(model=name, file=file, artifacts=kept, problems=tuple(problems))
        if check:
            yield _looked(check, compiled, references, candidate, program, Path(aside), timeout_s)


def _looked(
    check: VisionCheck,
    compiled: Path | None,
    references: References,
    candidate: Candidate,
    program: _Program,
    aside: Path,
    timeout_s: float,
) -> VisionCheck:
    if compiled is None:
        return replace(check, error="it is not compiled, so nothing was shown to it")
    built = program()
    if isinstance(built, ConverterError):
        return replace(check, error=str(built))
    try:
        pictures, notes = vision.look(built, compiled, references, candidate, aside, timeout_s=timeout_s)
    except ConverterError as error:
        return replace(check, error=str(error))
    return replace(check, pictures=pictures, notes=notes, top1_limit=references.gates.top1_limit)


@contextlib.contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ConverterError as error:
        problems.append(str(error))


def _format(candidate: Candidate) -> Format:
    return "mlmodel" if candidate.file.endswith(".mlmodel") else "mlpackage"


def _compile(saved: Path, aside: Path, timeout_s: float) -> list[Path]:
    """The .mlmodelc folder. Raises EvaluationError with the compiler's words."""
    made = aside / "compiled"
    made.mkdir()
    xcrun.run([*_COMPILER, "compile", saved, made], timeout_s=timeout_s)
    compiled = made / f"{saved.stem}.mlmodelc"
    if not compiled.is_dir():
        raise EvaluationError(f"{' '.join(_COMPILER)} compile says nothing, but leaves no {compiled.name}")
    return [compiled]


def _generate(saved: Path, aside: Path, timeout_s: float) -> list[Path]:
    """The Swift class, in a file that Xcode names. Raises EvaluationError with the compiler's words."""
    made = aside / "generated"  # which has to be there: coremlcompiler makes no folder for a class
    made.mkdir()
    xcrun.run([*_COMPILER, "generate", saved, made, "--language", "Swift"], timeout_s=timeout_s)
    classes = sorted(made.glob("*.swift"))
    if not classes:
        raise EvaluationError(f"{' '.join(_COMPILER)} generate says nothing, but leaves no Swift class")
    return classes


def _keep(made: list[Path], artifacts: Path, folder: Path) -> tuple[Artifact, ...]:
    """The compiled model, zipped, and the class in `folder`, instead of what an earlier check has left there."""
    kept = []
    with _writing(artifacts):
        for earlier in (*folder.glob("*.mlmodelc.zip"), *folder.glob("*.swift")):
            earlier.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        for one in made:
            file = folder / (f"{one.name}.zip" if one.is_dir() else one.name)
            if one.is_dir():
                zip_package(one, file)
            else:
                shutil.copyfile(one, file)
            kept.append(artifact(file, artifacts, published=False))
    return tuple(kept)


@contextlib.contextmanager
def _writing(artifacts: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{artifacts} cannot be written: {error.strerror}", fix="give another folder by --artifacts"
        ) from error
