"""The command: a model of a manifest, every file that it would become, one after the other."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from converter.debug.fix import fix, manifest_lines
from converter.debug.look import Case, exported, look, look_at_file
from converter.errors import ConversionError, ManifestError
from converter.evaluate import describe
from converter.load import attachments, load
from converter.model import Divergence, Format, Route, Target
from converter.package.archive import unzipped
from converter.validate import Gates, reference_of

if TYPE_CHECKING:
    from converter.manifest.schema import Manifest, Model

Say = Callable[[str], None]


def debug(
    manifest: "Manifest",
    name: str,
    *,
    cache: Path,
    say: Say,
    format: Format | None = None,
    route: Route | None = None,
    sample: int | None = None,
    file: Path | None = None,
    wants_fix: bool = False,
) -> Iterator[Divergence]:
    """Hold each file that the manifest asks for against its source, or `file` alone.

    Raises ManifestError for what the manifest does not have; what loading, running and (of the last route) converting
    raise.
    """
    model = _model(manifest, name)
    targets = [target for target in model.targets if format in (None, target.format)]
    if not targets:
        formats = ", ".join(target.format for target in model.targets)
        raise ManifestError(f"--format {format}: {name} is built as {formats}", fix="take one of these")
    if route == "direct" and "direct" not in model.routes:
        raise ManifestError(f"--route direct: {name} goes by {', '.join(model.routes)} alone", fix="leave --route out")
    source = load(model, root=model.folder, cache=cache)
    say(f"{name}: {source.description}")
    files, asked = attachments(model, cache=cache), model.validation
    gates = Gates(**asked.limits)
    reference = reference_of(source, files, seeds=asked.seeds, task=asked.task, gates=gates)
    case = Case(source, reference, gates, labelled=files.labelled, names_causes=True)
    if file is not None:
        yield _of_file(case, file, sample)
        return
    for target in targets:
        if route is None and model.routes_to(target.format) == ("given",):
            say(f"{target.format}: running both sides, of a file that was converted elsewhere")
            found = _of_file(case, files.given[target.format], sample)
            no_fix = "--fix: it cannot be converted anew; take `file` out of the manifest, or convert it elsewhere"
            yield replace(found, suggestion=_added(found, no_fix)) if wants_fix and found.missed else found
        else:
            yield from _routes(case, model, target, route, sample, wants_fix, say)


def _of_file(case: Case, file: Path, sample: int | None) -> Divergence:
    with unzipped(file) as path:
        precision = describe(path).compute_precision
        return look_at_file(case, path, "float32" if precision == "float32" else "float16", sample=sample)


def _model(manifest: "Manifest", name: str) -> "Model":
    models = {model.name: model for model in manifest.models}
    if name not in models:
        raise ManifestError(f"debug {name}: no such model", fix=f"the manifest has {', '.join(models)}")
    return models[name]


def _routes(
    case: Case, model: "Model", target: Target, route: Route | None, sample: int | None, wants_fix: bool, say: Say
) -> Iterator[Divergence]:
    """With `auto` the second route only where the first one fails, as when the model is built."""
    routes = (route,) if route else model.routes
    for each in routes:
        say(f"{target.format}, route {each}: converting, and running both sides")
        try:
            found = _one(case, each, target, sample, wants_fix, say)
        except ConversionError as error:
            if each == routes[-1]:
                raise
            say(str(error))
            continue
        yield found
        if route is None and model.is_auto and not found.missed:
            return


def _one(case: Case, route: Route, target: Target, sample: int | None, wants_fix: bool, say: Say) -> Divergence:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = look(case, route, target, folder, sample=sample)
        if not wants_fix or not found.missed:
            return found
        if target.compute_precision == "float32":
            return replace(found, suggestion=_added(found, "--fix: all is in float32 already"))
        names = [one.name for one in case.reference.samples]
        fixed = fix(
            case, exported(case.source, folder) if route == "onnx" else case.source, route, target, folder,
            names.index(found.sample), say,
        )  # fmt: skip
        lines = f"--fix: {fixed.words}"
        if fixed.names:
            lines = f"{manifest_lines(target, fixed.names)}\n{lines}"
        return replace(found, float32_ops=fixed.names, suggestion=_added(found, lines))


def _added(found: Divergence, words: str) -> str:
    return f"{found.suggestion}\n{words}" if found.suggestion else words
