"""report.html: one file that asks for nothing else, with pictures, plots and no script."""

import base64
import functools
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from converter.model import (
    Attempt,
    BuildRecord,
    CheckedFile,
    CompiledFile,
    Device,
    ModelRecord,
    Placement,
    Plot,
    Ranking,
    ShownSample,
    Validation,
    ValidationRecord,
    VisionCheck,
)
from converter.report import figures, growth, plots
from converter.report.changes import changes
from converter.report.interface import crop, features, scale

if TYPE_CHECKING:
    from jinja2 import Environment

DETAILED = 250
"""Models up to which each has a section of its own; of more only those that failed."""

_OPEN = 6  # models up to which answers and plots are unfolded
_PIXEL_ART = 64  # pictures up to this are enlarged with hard edges
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
_POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
_TEMPLATES = Path(__file__).parent / "templates"
_DEVICES: tuple[Device, ...] = ("CPU", "GPU", "Neural Engine")


class Column(NamedTuple):
    """Who answered: `file` is short, `engine` is empty for the source."""

    file: str
    engine: str


class Row(NamedTuple):
    """One class, and what each column gives it; `first` tells whose first class it is."""

    label: str
    scores: tuple[str, ...]
    first: tuple[bool, ...]


class Answer(NamedTuple):
    """One sample and its first classes side by side."""

    sample: ShownSample
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    verdict: str

    @property
    def picture(self) -> str:
        return self.sample.picture if _PICTURE.fullmatch(self.sample.picture) else ""

    @property
    def is_pixels(self) -> bool:
        return max(self.sample.size) <= _PIXEL_ART


class Judged(NamedTuple):
    """A file's validation by one engine, from the build or from a later check."""

    file: str
    short: str
    engine: str
    validation: Validation


class Checker(NamedTuple):
    """A machine that checked files later, and what with."""

    machine: str
    versions: str


class Drawing(NamedTuple):
    """Both plots of one output of one file."""

    judged: Judged
    plot: Plot
    psnr: str
    histogram: Any
    scatter: Any


class OnDevice(NamedTuple):
    """A file that was checked later, with the record of that check."""

    record: ValidationRecord
    file: CheckedFile


class PlacedOps(NamedTuple):
    """How many operations of one type Core ML would rather run where, and what they cost of the whole model."""

    op_type: str
    counts: tuple[int, ...]  # as _DEVICES
    unsaid: int
    cost: float | None


class Section(NamedTuple):
    """All that the page says of one model."""

    record: ModelRecord
    anchor: str
    answers: tuple[Answer, ...]
    drawings: tuple[Drawing, ...]
    judged: tuple[Judged, ...]
    on_device: tuple[OnDevice, ...]
    compiled: tuple[CompiledFile, ...]
    vision: tuple[VisionCheck, ...]


def render_page(record: BuildRecord, previous: BuildRecord | None = None) -> str:
    """The page of an output folder; `previous` is an earlier release's record to compare with."""
    sections = [_section(model, anchor, record) for model, anchor in zip(record.models, _anchors(record), strict=True)]
    detailed = len(sections) <= DETAILED
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            sections=sections,
            shown=[section for section in sections if detailed or not section.record.passed],
            detailed=detailed,
            is_open=len(sections) <= _OPEN,
            changes=changes(record, previous) if previous else None,
            checkers=_checkers(record),
            style=_safe(style),
            policy=f"{_POLICY}; style-src 'sha256-{digest}'",
        )
    )


def _checkers(record: BuildRecord) -> list[Checker]:
    """Each once, however many shards it checked."""
    found = (
        Checker(check.machine, ", ".join(f"{name} {version}" for name, version in sorted(check.versions.items())))
        for check in record.checks
    )
    return list(dict.fromkeys(found))


def _anchors(record: BuildRecord) -> Iterator[str]:
    seen = Counter[str]()
    for model in record.models:
        anchor = re.sub(r"[^A-Za-z0-9_.-]+", "-", model.name) or "model"
        seen[anchor] += 1
        yield f"model-{anchor}" + (f"-{seen[anchor]}" if seen[anchor] > 1 else "")


def _section(model: ModelRecord, anchor: str, record: BuildRecord) -> Section:
    on_device = tuple(
        OnDevice(check, file) for check in record.checks for file in check.files if file.model == model.name
    )
    judged = tuple(_judged(model, on_device))
    return Section(
        record=model,
        anchor=anchor,
        answers=tuple(_answers(model, judged)),
        drawings=tuple(_drawings(judged)),
        judged=judged,
        on_device=on_device,
        compiled=tuple(c for check in record.checks for c in check.compiled if c.model == model.name),
        vision=tuple(v for check in record.checks for v in check.vision if v.model == model.name),
    )


def _judged(model: ModelRecord, on_device: Sequence[OnDevice]) -> Iterator[Judged]:
    shorts = dict[str, str]()
    routes = {attempt.route for attempt in model.attempts}
    for attempt in model.attempts:
        file = attempt_file(model, attempt)
        shorts[file] = f"{attempt.format} {attempt.route}" if len(routes) > 1 else attempt.format
        if attempt.validation:
            yield Judged(file, shorts[file], "evaluator", attempt.validation)
    for _, checked in on_device:
        if checked.validation:
            file = figures.base(checked.file)
            engine = _engine(checked)
            yield Judged(file, shorts.get(file, file), engine, checked.validation)


def _engine(checked: CheckedFile) -> str:
    return f"{checked.engine.partition(' (')[0]}, {figures.units(checked.compute_units)}"


def attempt_file(model: ModelRecord, attempt: Attempt) -> str:
    """The flat name of what an attempt made, as dist or .failed has it."""
    artifact = figures.artifact_of(model, attempt)
    if artifact:
        return figures.base(artifact.path)
    return attempt.conversion.path.name if attempt.conversion else f"{attempt.format} ({attempt.route})"


def _answers(model: ModelRecord, judged: Sequence[Judged]) -> Iterator[Answer]:
    rankings = defaultdict[str, list[tuple[Column, Ranking]]](list)
    for one in judged:
        for ranking in one.validation.rankings:
            rankings[ranking.sample].append((Column(one.short, one.engine), ranking))
    for sample in model.samples:
        yield _answer(sample, rankings[sample.name])


def _answer(sample: ShownSample, ranked: Sequence[tuple[Column, Ranking]]) -> Answer:
    if not ranked:
        return Answer(sample, (), (), "")
    source = dict[str, float]()
    given = [dict(zip(r.labels, r.candidate, strict=True)) for _, r in ranked]
    for _, ranking in ranked:
        source |= dict(zip(ranking.labels, ranking.reference, strict=True))
    columns = (Column("source", ""), *(column for column, _ in ranked))
    asked = [source, *given]
    leaders = [max(scores, key=scores.__getitem__, default="") for scores in asked]
    show = figures.share if all(0 <= v <= 1 for scores in asked for v in scores.values()) else figures.number
    rows = tuple(
        Row(
            label,
            tuple(show(scores[label]) if label in scores else "" for scores in asked),
            tuple(label == leader for leader in leaders),
        )
        for label in sorted(source, key=lambda label: -source[label])
    )
    worst = [r.agreement for _, r in ranked]
    verdict = next((kind for kind in ("different", "near tie") if kind in worst), "same")
    return Answer(sample, columns, rows, verdict)


def _drawings(judged: Sequence[Judged]) -> Iterator[Drawing]:
    for one in judged:
        psnrs = {m.output: figures.psnr(m.psnr_db) for m in one.validation.metrics}
        for plot in one.validation.plots:
            limit = plots.limit_of(plot, one.validation.gates)
            yield Drawing(
                one, plot, psnrs.get(plot.output, ""), _safe(plots.histogram(plot, limit)), _safe(plots.scatter(plot))
            )


def placed(placements: Sequence[Placement]) -> list[PlacedOps]:
    """Operations by type, the costly and then the frequent ones first."""
    by_type = defaultdict[str, list[Placement]](list)
    for placement in placements:
        by_type[placement.op_type].append(placement)
    found = []
    for op_type, some in by_type.items():
        devices = Counter(p.preferred for p in some)
        costs = [p.cost for p in some if p.cost is not None]
        counts = tuple(devices[device] for device in _DEVICES)
        found.append(PlacedOps(op_type, counts, devices[None], sum(costs) if costs else None))
    return sorted(found, key=lambda p: (-(p.cost or 0), -sum(p.counts), p.op_type))


def core_ml(section: Section, file: str) -> tuple[str, str]:
    """What later checks of a file came to, those that count: a verdict (`passed`, `FAILED`, ``) and where."""
    checks = [one for one in section.on_device if figures.base(one.file.file) == file and one.file.required]
    if not checks:
        return "", ""
    machines = ", ".join(dict.fromkeys(one.record.machine for one in checks))
    return ("passed" if all(one.file.passed for one in checks) else "FAILED"), machines


def failing(section: Section) -> bool:
    """Whether a reader should look at a model first."""
    return (
        not section.record.passed
        or any(one.file.required and not one.file.passed for one in section.on_device)
        or any(not compiled.passed for compiled in section.compiled)
        or any(not vision.passed for vision in section.vision)
    )


def _safe(html: str) -> Any:
    from markupsafe import Markup

    return Markup(html)


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,  # whatever a user or a model wrote is text
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: Mapping[str, Callable[..., Any]] = {
        "base": figures.base,
        "milliseconds": figures.milliseconds,
        "number": figures.number,
        "psnr": figures.psnr,
        "runs_on": figures.runs_on,
        "seconds": figures.seconds,
        "share": figures.share,
        "size": figures.size,
        "units": figures.units,
    }
    environment.filters.update(filters)
    environment.tests["failing_section"] = failing
    environment.globals.update(
        artifact_of=figures.artifact_of,
        attempt_file=attempt_file,
        bound=figures.bound,
        causes_of=figures.causes_of,
        closest=figures.closest,
        core_ml=core_ml,
        crop=crop,
        devices=_DEVICES,
        failing=failing,
        growth=lambda found: _safe(growth.svg(found.ops, found.first, found.limit_db)),
        sentence=lambda words: f"{words[:1].upper()}{words[1:]}.",
        summary=growth.summary,
        features=features,
        measured=figures.measured,
        missed=figures.missed,
        notes=figures.notes,
        outcome=figures.outcome,
        placed=placed,
        scale=scale,
        why=figures.why,
    )
    return environment
