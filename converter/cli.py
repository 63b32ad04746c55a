"""The commands: arguments in, exit codes out; the only place that exits, and where heavy imports are put off."""

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from converter.errors import (
    ConverterError,
    EvaluationError,
    ManifestError,
    OutputError,
    ValidationError,
    shared_exit_code,
)
from converter.model import ComputeUnits
from converter.signals import StoppedError, stoppable
from converter.version import __version__

if TYPE_CHECKING:
    from converter.baseline import Engine
    from converter.shards import Shard
    from converter.workflow import Annotations

_FOR_OTHER_PROGRAMS = (["inspect"], ["ops"], ["predict"], ["schema"])
_INTERRUPTED = 130  # what a shell expects after Ctrl-C

EXIT_CODES = """
Exit codes: 0 all well; 2 manifest or command line; 3 a source cannot be loaded; 4 a model cannot be converted;
5 a converted model does not answer as its source; 6 the output cannot be written; 7 a Core ML file cannot be read or
run; 8 publishing failed; 9 a worker process died; 1 several kinds at once; 130 interrupted;
143 stopped by SIGTERM.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    from converter import workflow

    arguments = sys.argv[1:] if arguments is None else arguments
    prints_data = arguments[:1] in _FOR_OTHER_PROGRAMS or "--json" in arguments
    with workflow.step(prints_data=prints_data) as step:
        return _main(arguments, step)


def _main(arguments: list[str], step: "Annotations") -> int:
    from converter.action import arguments as from_inputs
    from converter.console import complain
    from converter.workflow import results

    try:
        with stoppable():
            if not arguments and "INPUT_COMMAND" in os.environ:
                arguments = from_inputs(os.environ, commands)
            result = commands.main(arguments, prog_name="entrypoint.py", standalone_mode=False, obj=step)
    except click.ClickException as error:
        error.show()
        step.error(error.format_message())
        return error.exit_code
    except ConverterError as error:
        complain(error)
        results.failed(step, error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted; finished models are kept", file=sys.stderr)
        return _INTERRUPTED
    except StoppedError as stopped:
        print(f"stopped by {stopped.name}; finished models are kept", file=sys.stderr)
        return stopped.exit_code
    return result if isinstance(result, int) else 0


def _step() -> "Annotations":
    """What this process tells the workflow it runs in."""
    from converter.workflow import Annotations

    return click.get_current_context().ensure_object(Annotations)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def commands() -> None:
    """PyTorch and ONNX models in, checked Core ML models out."""


def _examples(*lines: str) -> str:
    """An epilog that click leaves as it is."""
    return "\b\nExamples:\n" + "\n".join(f"  python entrypoint.py {line}" for line in lines)


_MANIFEST = click.argument("manifest", type=click.Path(path_type=Path), default="models.yml")
_OUTPUT = click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="dist", show_default=True, help="Output folder."
)
_CACHE = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for downloads.  [default: $XDG_CACHE_HOME/coreml-release]",
)
_STORE = click.option(
    "--store",
    metavar="FOLDER|s3://BUCKET/PREFIX",
    help="Where models that nothing changed for come from, and converted ones are kept.  [default: models/ in "
    "the cache]",
)
_ONLY = click.option("--only", multiple=True, metavar="NAME", help="Only this model; may be given several times.")


def _building(command: Any) -> Any:
    """The options that `run` and `convert` share."""
    for option in (
        _MANIFEST,
        _ONLY,
        click.option(
            "--shard",
            metavar="I/N",
            help="Only the I-th of N shares of the models, balanced by size; 1/1 is the whole.  [default: what "
            "Kubernetes, AWS Batch or a GitHub matrix says to this job]",
        ),
        _OUTPUT,
        click.option(
            "--jobs",
            "-j",
            type=click.IntRange(1, 256),
            default=1,
            show_default=True,
            help="Models built at the same time, each in a process of its own.",
        ),
        _CACHE,
        _STORE,
        click.option("--no-cache", "anew", is_flag=True, help="Convert models that nothing changed for as well."),
        click.option("--explain", is_flag=True, help="Say of each model what changed since it was converted."),
        click.option(
            "--update-baseline",
            is_flag=True,
            help="Write what was measured to the manifest's `baseline` files, instead of comparing with them.",
        ),
        click.option("--verbose", "-v", is_flag=True, help="Show what the libraries print."),
    ):
        command = option(command)
    return command


@commands.command(epilog=_examples("check models.yml"))
@_MANIFEST
def check(manifest: Path) -> int:
    """Read a manifest and say everything that is wrong with it; nothing is downloaded or converted."""
    from converter.manifest import read_manifest

    read = read_manifest(manifest)
    files = sum(model.files_count for model in read.models)
    click.echo(f"{manifest}: {len(read.models)} models, {files} files to build; nothing is wrong with it")
    return 0


@commands.command(
    epilog=_examples("plan models.yml", "plan models.yml --shards 8", "plan models.yml --json > plan.json")
)
@_MANIFEST
@click.option(
    "--shards",
    metavar="N|auto",
    default="auto",
    show_default=True,
    help="Number of shards; auto is one for each model, at most 20.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON, for `publish --plan`.")
@click.option("--explain", is_flag=True, help="Say of each model whether it is unchanged, or what changed.")
@_OUTPUT
@_CACHE
@_STORE
def plan(
    manifest: Path, shards: str, as_json: bool, explain: bool, output: Path, cache: Path | None, store: str | None
) -> int:
    """Say which shard builds which model; nothing is downloaded or converted.

    In a workflow its outputs `matrix` and `plan` are written.
    """
    from converter.manifest import read_manifest
    from converter.plan import lines, outputs, plan, shards_for, to_json
    from converter.workflow import in_workflow, results, write_outputs

    read = read_manifest(manifest)
    planned = plan(read, shards_for(shards, len(read.models)))
    for line in [to_json(planned)] if as_json else lines(read, planned):
        click.echo(line)
    if explain:
        from converter.store.reuse import explained

        say = partial(click.echo, err=as_json)
        for name, reason in explained(read, dist=output, cache=cache or _cache(), store=store, say=say).items():
            say(f"{name}: {reason}")
    if in_workflow():
        write_outputs(outputs(planned))
        results.planned(planned)
    return 0


@commands.command(epilog=_examples("merge dist-1-of-2 dist-2-of-2", "merge parts/* --output dist"))
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default="dist", show_default=True, help="Output folder."
)
def merge(parts: tuple[Path, ...], output: Path) -> int:
    """Join the output folders of all shards into one, as if one machine had built it."""
    from converter.package.dist import PAGE
    from converter.package.merge import merge
    from converter.workflow import results

    record = merge(parts, output)
    passed = sum(model.passed for model in record.models)
    click.echo(f"{output}: {passed} of {len(record.models)} models passed, from {len(parts)} parts; see {PAGE} there")
    results.merged(record.models, output)
    return 0


@commands.command(
    epilog=_examples(
        "report dist",
        "report dist --validation validation.json",
        "report dist --validation 1.json --validation 2.json --previous old/build.json",
    )
)
@click.argument("dist", type=click.Path(path_type=Path, exists=True, file_okay=False), default="dist")
@click.option(
    "--validation",
    "validations",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `validate --record` wrote, of a Mac say; may be given several times, one for each shard.",
)
@click.option(
    "--previous",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The build.json of an earlier release, to say what changed since.",
)
def report(dist: Path, validations: tuple[Path, ...], previous: Path | None) -> int:
    """Write report.html and report.md of a finished folder anew; build.json then holds the validations too."""
    from converter.errors import OutputError
    from converter.package.closing import report
    from converter.package.dist import PAGE
    from converter.package.record import read_record_file
    from converter.workflow import results

    before = None
    if previous:
        try:
            before = read_record_file(previous)
        except OutputError as error:  # of a release that wrote other records: no reason not to report
            click.echo(f"note: what changed is not said: {error.problem}", err=True)
    record = report(dist, validations, before)
    checked = sum(len(check.files) for check in record.checks)
    click.echo(f"{dist}: {len(record.models)} models, {checked} later checks; see {PAGE} there")
    results.reported(dist)
    return 0


@commands.command(
    epilog=_examples(
        "convert models.yml", "convert models.yml --only resnet50 --jobs 2", "convert models.yml --shard 2/4"
    )
)
@_building
def convert(**options: Any) -> int:
    """Load, convert, check and package the models; publish nothing."""
    return _build(**options)


@commands.command(epilog=_examples("run models.yml", "run models.yml --output dist --jobs 2"))
@_building
def run(**options: Any) -> int:
    """The whole job: convert, check, package, and publish to the manifest's targets if every model passed."""
    from converter.manifest import read_manifest
    from converter.manifest.s3 import S3Publish
    from converter.publish.targets import publisher

    targets = read_manifest(options["manifest"]).publish
    shard = _shard(options["shard"])
    if shard and any(not isinstance(target, S3Publish) for target in targets):
        raise ManifestError(
            f"shard {shard} alone can be published to S3 only, and the manifest names other places",
            fix="`convert` the shards, join them by `merge`, and `publish` what comes out",
        )
    code = _build(**options)
    if code == 0 and targets:
        from converter.release import release

        release(options["output"], [publisher(target, options["manifest"].parent) for target in targets], None, _step())
    elif targets:
        click.echo("nothing is published, as not every model passed", err=True)
    return code


@commands.command(
    epilog=_examples(
        "publish dist --to github --set tag=v1.2.0 --set draft=true",
        "publish dist --to s3 --set bucket=models --set tag=v1.2.0 --dry-run",
        "publish dist --to directory --set folder=public",
        "publish dist --manifest models.yml",
        "publish dist --plan plan.json --to github",
        "publish --finalize --manifest models.yml",
    )
)
@click.argument("dist", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option(
    "--to",
    type=click.Choice(["github", "s3", "directory"]),
    help="Where to, also where --manifest or --plan name no place.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of --to, as under `publish:` in a manifest (of a directory: folder); may be given several times.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Publish to this manifest's targets.",
)
@click.option(
    "--plan",
    metavar="FILE|JSON",
    help="Publish to this plan's targets (see the command plan), and only what it says: these models, this commit.",
)
@click.option(
    "--finalize",
    is_flag=True,
    help="Close a version in S3 whose parts are all there; needs no DIST, and may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, file by file, and change nothing.")
def publish(
    dist: Path | None,
    to: str | None,
    settings: tuple[str, ...],
    manifest: Path | None,
    plan: str | None,
    finalize: bool,
    dry_run: bool,
) -> int:
    """Put a finished output folder where people download it; what is there already is not sent again.

    DIST is `dist` unless said.
    """
    from converter import release
    from converter.plan import read_plan
    from converter.publish.targets import publishers_of

    planned = read_plan(plan) if plan else None
    publishers = publishers_of(to=to, settings=settings, manifest=manifest, plan=planned)
    if not finalize:
        release.release(dist or Path("dist"), publishers, planned, _step(), dry_run=dry_run)
    elif dist:
        raise ManifestError("--finalize takes no DIST: it closes what shards have published", fix=f"leave out {dist}")
    else:
        folder = manifest.parent if manifest else Path()
        release.finalize(publishers, folder, planned, _step(), dry_run=dry_run)
    return 0


def _build(
    manifest: Path,
    only: tuple[str, ...],
    shard: str | None,
    output: Path,
    jobs: int,
    cache: Path | None,
    store: str | None,
    anew: bool,
    explain: bool,
    update_baseline: bool,
    verbose: bool,
) -> int:
    from converter.console import Console
    from converter.manifest import read_manifest
    from converter.pipeline import Options, run
    from converter.workflow import results

    read = read_manifest(manifest)
    options = Options(
        output=output,
        cache=cache or _cache(),
        only=only,
        shard=_shard(shard),
        jobs=jobs,
        verbose=verbose,
        store=store,
        anew=anew,
        explain=explain,
        update_baseline=update_baseline,
    )
    with Console(jobs=jobs, verbose=verbose) as console:
        records = run(read, options, console)
        console.table(records)
        console.say(
            f"{output}: {sum(r.passed for r in records)} of {len(records)} models passed; see report.html there"
        )
    results.built(_step(), records, output, manifest)
    return shared_exit_code(record.exit_code for record in records if not record.passed)


def _shard(said: str | None) -> "Shard | None":
    """The shard that the command line names, else the batch engine; None where that is the whole manifest."""
    from converter.shards import shard_from, shard_of

    shard = shard_of(said) if said is not None else shard_from(os.environ)
    return shard if shard and shard.total > 1 else None


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "coreml-release"


@commands.command(
    epilog=_examples(
        "validate dist",
        "validate dist --engine coreml --artifacts xcode --record validation.json",
        "validate dist --baseline baseline.json --update-baseline",
    )
)
@click.argument("dist", type=click.Path(path_type=Path, exists=True, file_okay=False), default="dist")
@click.option(
    "--engine",
    type=click.Choice(["reference", "coreml"]),
    default="reference",
    show_default=True,
    help="What answers: the reference evaluator (any machine) or Core ML itself (macOS).",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="For one file on one compute unit under Core ML, its loading and all predictions together; a fifth of it "
    "where the compute unit is information only.",
)
@click.option(
    "--compute-units",
    multiple=True,
    type=click.Choice(get_args(ComputeUnits)),
    help="Where Core ML is asked to run a file, besides CPU_ONLY and what the manifest requires; may be given several "
    "times.  [default: all four]",
)
@click.option(
    "--memory-limit",
    "memory_limit_gb",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="Resident memory that one file may take under Core ML, in GB of 10**9 bytes.  [default: four fifths of "
    "this machine's memory]",
)
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the results as JSON, too."
)
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="With --engine coreml: let Xcode compile each file, too, into this folder, and ask classifiers by Vision.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Fail where a figure is worse than in this JSON file.",
)
@click.option(
    "--update-baseline",
    is_flag=True,
    help="Write what was measured to the baseline (baseline.json where none is named), instead of comparing with it.",
)
def validate(
    dist: Path,
    engine: "Engine",
    timeout_s: float,
    compute_units: tuple[ComputeUnits, ...],
    memory_limit_gb: float | None,
    record: Path | None,
    artifacts: Path | None,
    baseline: Path | None,
    update_baseline: bool,
) -> int:
    """Check a finished output folder again, against the references stored in it.

    Under Core ML a file has to pass on CPU_ONLY, and on what `compute_units_required` of the manifest names; what it
    does on other compute units is information.
    """
    import time

    from converter import baseline as known
    from converter.report.checked import total, words
    from converter.validate import xcode
    from converter.validate.apart import limits_for
    from converter.validate.dist import forget_validation, validate_dist, validation_record, write_validation
    from converter.workflow import results

    if artifacts:
        xcode.require(artifacts, engine)
    if update_baseline:
        baseline = baseline or Path("baseline.json")
    figures = known.read_baseline(baseline, may_be_new=update_baseline) if baseline else None
    if record:
        forget_validation(record)
    started, files = time.monotonic(), []
    limits = limits_for(timeout_s=timeout_s, memory_limit_gb=memory_limit_gb)
    checks = validate_dist(dist, engine, compute_units=compute_units, limits=limits)
    for checked in known.held_files(checks, None if update_baseline else figures, engine):
        click.echo(words(checked))
        files.append(checked)
    said = validation_record(dist, engine, files, time.monotonic() - started)
    if artifacts:
        said = xcode.with_xcode(said, dist, artifacts, timeout_s=timeout_s, say=click.echo)
    if record:
        write_validation(record, said)
    if update_baseline and baseline and figures:
        measured = known.figures_of_files(files)
        known.write_baseline(baseline, known.updated(figures, engine, measured))
        click.echo(f"{baseline}: the figures of {len(measured)} files are the baseline now; commit it")
    click.echo(total(said, str(dist)))
    results.checked(_step(), said, dist, record)
    return 0 if said.passed or not files else ValidationError.exit_code


@commands.command(epilog=_examples("predict mobilenet_v2.mlmodel --input image=photo.jpg"))
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "-i",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    help="A picture, an .npy or .npz file; of a model with one input the name may be left out.",
)
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to print.")
def predict(model: Path, inputs: tuple[str, ...], top: int) -> int:
    """Run a saved Core ML file on this machine and print its answer."""
    from converter.package.archive import unzipped
    from converter.predict import answer

    with unzipped(model) as path:
        for line in answer(path, _named(inputs), top):
            click.echo(line)
    return 0


def _named(inputs: tuple[str, ...]) -> dict[str, Path]:
    """`NAME=FILE` arguments; a FILE alone is named "", the only input."""
    named = {}
    for text in inputs:
        name, separator, file = text.partition("=")
        if not separator:
            name, file = "", text
        if not Path(file).is_file():
            raise EvaluationError(f"--input {text}: there is no file {file!r}", fix="write NAME=FILE")
        if name in named:
            raise ManifestError(f"--input {text}: {name or 'the input'} is given twice")
        named[name] = Path(file)
    return named


@commands.command(
    epilog=_examples(
        "debug resnet50",
        "debug resnet50 --format mlpackage --route onnx --html where.html",
        "debug resnet50 --file dist/resnet50/resnet50.mlpackage.zip",
        "debug resnet50 --fix",
    )
)
@click.argument("model")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    default="models.yml",
    show_default=True,
    help="The manifest that has MODEL.",
)
@click.option("--format", type=click.Choice(["mlmodel", "mlpackage"]), help="Only this file.  [default: all of them]")
@click.option("--route", type=click.Choice(["direct", "onnx"]), help="This route.  [default: as the manifest says]")
@click.option(
    "--sample",
    type=click.IntRange(0),
    metavar="N",
    help="Which sample, from 0.  [default: the one with the largest error]",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True),
    help="Hold this Core ML file against the source, and convert nothing.",
)
@click.option("--fix", is_flag=True, help="Look for the fewest operations in float32 with which the gates pass.")
@click.option("--json", "as_json", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JSON.")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a page with plots."
)
@_CACHE
def debug(
    model: str,
    manifest: Path,
    format: Any,
    route: Any,
    sample: int | None,
    file: Path | None,
    fix: bool,
    as_json: Path | None,
    html: Path | None,
    cache: Path | None,
) -> int:
    """Find where a converted model goes wrong: the first operation whose output differs from its source's.

    MODEL is a name in the manifest. Nothing is kept but what --json and --html name.
    """
    from converter.debug import debug, lines, page
    from converter.manifest import read_manifest
    from converter.plain import to_plain

    if file and (fix or route or format):
        raise ManifestError("--file takes no --format, --route or --fix: nothing is converted", fix="leave them out")
    found = []
    for one in debug(
        read_manifest(manifest),
        model,
        cache=cache or _cache(),
        say=partial(click.echo, err=True),
        format=format,
        route=route,
        sample=sample,
        file=file,
        wants_fix=fix,
    ):
        for line in lines(one):
            click.echo(line)
        found.append(one)
    if as_json:
        _write(as_json, json.dumps([to_plain(one) for one in found], ensure_ascii=False, indent=2) + "\n")
    if html:
        _write(html, page(tuple(found)))
    return ValidationError.exit_code if any(one.first is not None or one.missed for one in found) else 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fix = "name a file in a folder that is there"
        raise OutputError(f"{path} cannot be written: {error.strerror}", fix=fix) from error


@commands.command(
    epilog=_examples(
        "inspect mobilenet_v2.mlmodel", "inspect model.mlpackage --json", "inspect model.mlpackage.zip --check"
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--check", is_flag=True, help="Say what is wrong with the file instead; exits 7 if anything is.")
def inspect(model: Path, as_json: bool, check: bool) -> int:
    """Show what a Core ML file is: interface, ops, sizes, labels, metadata."""
    from converter.evaluate import check_file, describe
    from converter.package.archive import unzipped
    from converter.plain import to_plain

    if check:
        with unzipped(model) as path:
            faults = [replace(fault, file=str(model)) for fault in check_file(path)]
        told = "\n".join(map(str, faults)) or f"{model}: no faults found"
        click.echo(json.dumps([to_plain(f) for f in faults], ensure_ascii=False, indent=2) if as_json else told)
        return EvaluationError.exit_code if faults else 0
    with unzipped(model) as path:
        description = replace(describe(path), path=str(model))
    click.echo(json.dumps(to_plain(description), ensure_ascii=False, indent=2) if as_json else str(description))
    return 0


@commands.command(epilog=_examples("ops", "ops model.onnx"))
@click.argument("model", type=click.Path(path_type=Path), required=False)
def ops(model: Path | None) -> int:
    """List the ONNX ops that convert; of a MODEL.onnx, say op by op what does and what does not."""
    from converter.ops import listed, of_model

    lines, supported = (listed(), True) if model is None else of_model(model)
    for line in lines:
        click.echo(line)
    return 0 if supported else 4


@commands.command(epilog=_examples("schema > schema.json"))
def schema() -> int:
    """Print the manifest's JSON Schema, with which editors complete and check it."""
    from converter.manifest import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    return 0
