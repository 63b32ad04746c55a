"""The product on one page: load, convert, validate, package; the record is written as models finish."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter import workers
from converter.console import Console
from converter.errors import ConverterError, ManifestError, OutputError, ValidationError, shared_exit_code
from converter.ledger import Ledger
from converter.model import Attachments, Attempt, ModelRecord, Reference, Route, Source, Target
from converter.package.checksums import artifact
from converter.package.dist import Dist, is_full_disk, refusal, writing
from converter.shards import Shard, balanced

if TYPE_CHECKING:
    from converter.baseline import Baseline
    from converter.manifest.schema import Manifest, Model

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says about a run."""

    output: Path
    cache: Path
    only: tuple[str, ...] = ()
    shard: Shard | None = None
    jobs: int = 1
    verbose: bool = False
    store: str | None = None  # where unchanged models come from; None is a folder of the cache
    anew: bool = False  # convert what is unchanged as well
    explain: bool = False
    update_baseline: bool = False


def run(manifest: "Manifest", options: Options, console: Console) -> tuple[ModelRecord, ...]:
    """Build the manifest's models into the output folder; every model ends as a record, in the manifest's order.

    A model that nothing changed for is left where it is, or comes out of the store.

    Raises ManifestError for a name that is not in the manifest, OutputError where the folder cannot be written. A
    failing model is a record with an error.
    """
    from converter.baseline import held_record, worse
    from converter.manifest.schema import FactorySource
    from converter.store.reuse import Reuse

    models = _selected(manifest, options)
    baselines = _baselines(models, options)

    def held(record: ModelRecord) -> ModelRecord:
        return held_record(record, baselines.get(record.name))

    if options.shard:
        index, total = options.shard.index, options.shard.total
        console.say(f"shard {index} of {total}: {len(models)} of {len(manifest.models)} models")
    with (
        Dist(options.output) as dist,
        Reuse(
            manifest,
            models.values(),
            cache=options.cache,
            store=options.store,
            anew=options.anew,
            say=console.say,
            holds=lambda record: not worse(record, baselines.get(record.name)),
        ) as reuse,
        Ledger.open(dist, manifest, tuple(models), options.shard) as ledger,
    ):
        if options.explain:
            for name, reason in reuse.reasons(dist.folder, ledger.earlier).items():
                console.say(f"{name}: {reason}")
        unchanged = {name: held(record) for name, record in reuse.in_place(dist.folder, ledger.earlier).items()}
        folders = {name: dist.workspace(name) for name in models if name not in unchanged}
        logs = dist.workspace(".logs")
        ledger.begin(unchanged)
        fetched = {name: held(record) for name, record in reuse.from_store(folders).items()}
        ledger.enter(*fetched.values())
        reuse.placed({name: folders[name] for name in fetched}, dist.folder)
        console.reused([name for name in models if name in {**unchanged, **fetched}])

        tasks = {
            name: {"model": models[name], "folder": folder, "cache": options.cache, "baseline": baselines.get(name)}
            for name, folder in folders.items()
            if name not in fetched
        }
        changing = [name for name, model in models.items() if isinstance(model.source, FactorySource)]
        verbose = options.verbose and not console.is_held
        running = workers.run(build, tasks, workers=options.jobs, logs=logs, verbose=verbose, changing=changing)
        with contextlib.closing(running):  # when stopped: workers end before their folders go
            for event in running:
                if isinstance(event, workers.Event):
                    console.stage(event.name, event.said)
                else:
                    record = event.result if event.error is None else _died(models[event.name], event.error)
                    ledger.enter(reuse.keyed(record))
                    reuse.put(ledger.records[record.name], dist.folder / record.name)
                    console.finished(record, logs / f"{record.name}.log")
    records = tuple(ledger.records[name] for name in models)
    if options.update_baseline:
        _update_baselines(models, records, console)
    return records


def _baseline_of(model: "Model") -> Path | None:
    return model.folder / model.validation.baseline if model.validation.baseline else None


def _baselines(models: "Mapping[str, Model]", options: Options) -> "dict[str, Baseline]":
    """What each model is held to; nothing where the baseline is to be written anew."""
    from converter.baseline import read_baseline

    named = {name: path for name, model in models.items() if (path := _baseline_of(model))}
    if options.update_baseline and not named:
        raise ManifestError(
            "--update-baseline: no model names a baseline",
            fix="add `validate: {baseline: baseline.json}` to `defaults`",
        )
    read = {path: read_baseline(path, may_be_new=True) for path in named.values()}
    return {} if options.update_baseline else {name: read[path] for name, path in named.items()}


def _update_baselines(models: "Mapping[str, Model]", records: Sequence[ModelRecord], console: Console) -> None:
    from converter.baseline import figures_of_records, read_baseline, updated, write_baseline

    for path in dict.fromkeys(filter(None, map(_baseline_of, models.values()))):
        measured = figures_of_records([record for record in records if _baseline_of(models[record.name]) == path])
        write_baseline(path, updated(read_baseline(path, may_be_new=True), "reference", measured))
        console.say(f"{path.name}: the figures of {len(measured)} files are the baseline now; commit it")


def build(model: "Model", folder: Path, cache: Path, tell: Tell, baseline: "Baseline | None" = None) -> ModelRecord:
    """One model through all stages, in a worker process; what goes wrong on the way becomes part of its record."""
    from converter.load import attachments, load
    from converter.package import package
    from converter.report import render_card
    from converter.validate import Gates, reference_of, shown_samples, store

    trip = _Trip(tell, baseline)
    source: Source | None = None
    try:
        with trip.stage("load"):
            files = attachments(model, cache=cache)
            source = load(model, root=model.folder, cache=cache)
        with trip.stage("reference"):
            asked = model.validation
            reference = reference_of(source, files, seeds=asked.seeds, task=asked.task, gates=Gates(**asked.limits))
        for target in model.targets:
            trip.attempts += _attempts(model, source, files, reference, target, folder, trip)
        validations = [a.validation for a in trip.attempts if a.validation]
        samples = shown_samples(reference, source.interface, validations, pictures=asked.show_pictures)
        record = replace(_record(model, source, trip), samples=samples)
        if not record.passed:
            return record
        with trip.stage("package"), writing(folder):
            conversions = [a.conversion for a in trip.attempts if a.passed and a.conversion]
            artifacts = package(source, conversions, files.extra, folder)
            artifacts += store(reference, source, trip.attempts, folder)
            record = replace(record, artifacts=tuple(artifacts))
            card = folder / f"{model.name}.md"
            card.write_text(render_card(record), encoding="utf-8")
            record = replace(record, artifacts=(*artifacts, artifact(card, folder.parent)))
    except ConverterError as error:
        return _record(model, source, trip, _from(model.folder, error))
    except OSError as error:
        if not is_full_disk(error):
            raise
        return _record(model, source, trip, refusal(error, folder))
    return replace(record, seconds=dict(trip.seconds))


def _selected(manifest: "Manifest", options: Options) -> "dict[str, Model]":
    models = {model.name: model for model in manifest.models}
    unknown = [name for name in options.only if name not in models]
    if unknown:
        raise ManifestError(f"--only {unknown[0]}: no such model", fix=f"the manifest has {', '.join(models)}")
    if not options.shard:
        return {name: model for name, model in models.items() if not options.only or name in options.only}
    if options.only:  # a part without some of its models could never be merged or published
        raise ManifestError(
            f"--only and shard {options.shard} do not go together",
            fix="--shard 1/1 switches off what --shard or the batch engine says",
        )
    return {model.name: model for model in balanced(manifest.models, options.shard.total)[options.shard.index - 1]}


@dataclass
class _Trip:
    """What a model gathers on its way through the stages."""

    tell: Tell
    baseline: "Baseline | None" = None
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        self.tell(f"{name} {detail}".strip())
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 3)


def _attempts(
    model: "Model",
    source: Source,
    files: Attachments,
    reference: Reference,
    target: Target,
    folder: Path,
    trip: _Trip,
) -> Iterator[Attempt]:
    """One attempt per route asked for; with `auto` the next route only where the one before failed."""
    for route in model.routes_to(target.format):
        attempt = _attempt(model, source, files, reference, route, target, folder, trip)
        yield attempt
        if model.is_auto and attempt.passed:
            return


def _attempt(
    model: "Model",
    source: Source,
    files: Attachments,
    reference: Reference,
    route: Route,
    target: Target,
    folder: Path,
    trip: _Trip,
) -> Attempt:
    from converter.baseline import held_attempt
    from converter.convert import convert
    from converter.convert.given import given
    from converter.debug import first_that_differs
    from converter.package import file_stem
    from converter.package.archive import unzipped
    from converter.validate import contents, validate

    stem = file_stem(model.name, route, () if model.is_auto else model.routes_to(target.format))
    path = folder / f"{stem}.{target.format}"
    attempt = Attempt(route=route, format=target.format)
    try:
        _clear(path)
        with trip.stage("convert", f"{target.format} {route}"):
            if route == "given":
                with unzipped(files.given[target.format]) as file:
                    conversion = given(source, file, target, path)
            else:
                conversion = convert(source, route, target, path)
            attempt = replace(attempt, conversion=conversion)
        with trip.stage("validate", f"{target.format} {route}"):
            validation = validate(source, reference, conversion, model.validation, labelled=files.labelled)
            attempt = replace(attempt, contents=contents(path))
        if not validation.passed:
            with trip.stage("debug", f"{target.format} {route}"):
                words, divergence = first_that_differs(source, reference, conversion, model.validation)
            attempt = replace(attempt, differs="" if validation.causes else words, divergence=divergence)
        attempt, notes = held_attempt(replace(attempt, validation=validation), trip.baseline, model.name)
        trip.notes += notes
        attempt = replace(attempt, exit_code=0 if attempt.passed else ValidationError.exit_code)
    except OutputError:
        raise
    except ConverterError as error:
        return replace(attempt, error=str(_from(model.folder, error)), exit_code=error.exit_code)
    return attempt


def _clear(path: Path) -> None:
    """Remove what an earlier route left under the same name."""
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def _record(model: "Model", source: Source | None, trip: _Trip, error: ConverterError | None = None) -> ModelRecord:
    """The model's record so far; its error says every attempt that the manifest asks for and that failed."""
    failed = [a for a in trip.attempts if not a.passed and not _made_good(model, a, trip.attempts)]
    codes = [error.exit_code] if error else [a.exit_code for a in failed]
    words = str(error) if error else "\n".join(a.told for a in failed)
    return ModelRecord(
        name=model.name,
        place=model.place,
        source=source.description if source else model.source.description,
        source_files=source.files if source else (),
        attempts=tuple(trip.attempts),
        artifacts=(),
        interface=source.interface if source else None,
        metadata=source.metadata if source else model.metadata.record,
        notes=(*(source.notes if source else ()), *trip.notes),
        error=words,
        exit_code=shared_exit_code(codes),
        seconds=dict(trip.seconds),
    )


def _from(folder: Path, error: ConverterError) -> ConverterError:
    """The error with the places below the manifest's folder named from there, as the manifest names them."""
    error.where = tuple(place.removeprefix(f"{folder}{os.sep}") for place in error.where)
    return error


def _died(model: "Model", error: ConverterError) -> ModelRecord:
    """The record of a model whose worker did not come back with one."""
    return _record(model, None, _Trip(lambda said: None), error.within(model.place))


def _made_good(model: "Model", failed: Attempt, attempts: Sequence[Attempt]) -> bool:
    return model.is_auto and any(a.passed and a.format == failed.format for a in attempts)
