"""What changed since an earlier record: models that came and went; of each file size, accuracy, PSNR, latency, ops."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from converter.model import Attempt, BuildRecord, CheckedFile, ModelRecord
from converter.report import figures

Verdict = Literal["better", "worse", ""]

_LATENCY = 0.10  # share by which a median moves between two runs on one machine without a cause
_PSNR_DB = 0.1


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number of one file; `verdict` is empty where more is neither better nor worse."""

    file: str
    what: str
    before: str
    after: str
    difference: str
    verdict: Verdict = ""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Everything that differs; a model that is in neither list and has no changes is as it was."""

    since: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    by_model: Mapping[str, tuple[Change, ...]]

    @property
    def some(self) -> bool:
        return bool(self.added or self.removed or self.by_model)


def changes(record: BuildRecord, previous: BuildRecord) -> Changes:
    """Compare files of the same name; models that failed on either side have no numbers to compare."""
    before, now = ({m.name: m for m in one.models} for one in (previous, record))
    found = {name: tuple(_of_model(before[name], now[name], previous, record)) for name in now if name in before}
    return Changes(
        since=previous.commit,
        added=tuple(name for name in now if name not in before),
        removed=tuple(name for name in before if name not in now),
        by_model={name: some for name, some in found.items() if some},
    )


def _of_model(old: ModelRecord, new: ModelRecord, previous: BuildRecord, record: BuildRecord) -> Iterator[Change]:
    if old.passed != new.passed:
        words = ("passed", "failed") if old.passed else ("failed", "passed")
        yield Change(
            file=new.name,
            what="result",
            before=words[0],
            after=words[1],
            difference="",
            verdict="better" if new.passed else "worse",
        )
    before, after = figures.files(old), figures.files(new)
    for path in before.keys() - after.keys():
        yield Change(file=figures.base(path), what="file", before="there", after="gone", difference="")
    for path, attempt in after.items():
        if path not in before:
            yield Change(file=figures.base(path), what="file", before="none", after="new", difference="")
        else:
            yield from _of_file(path, old, new, before[path], attempt)
            yield from _of_checks(path, previous, record)


def _of_file(path: str, old: ModelRecord, new: ModelRecord, before: Attempt, after: Attempt) -> Iterator[Change]:
    name = figures.base(path)
    sizes = [next(a.size_bytes for a in record.artifacts if a.path == path) for record in (old, new)]
    if sizes[0] != sizes[1]:
        yield Change(
            file=name,
            what="size",
            before=figures.size(sizes[0]),
            after=figures.size(sizes[1]),
            difference=_percent(*sizes),
            verdict=_lower(*sizes),
        )
    if before.validation and after.validation:
        was, now = before.validation.accuracy, after.validation.accuracy
        if was is not None and now is not None and was != now:
            yield Change(
                file=name,
                what="accuracy",
                before=figures.share(was),
                after=figures.share(now),
                difference=f"{100 * (now - was):+.2f} points".replace("-", "−"),
                verdict=_lower(-was, -now),
            )
        yield from _of_psnr(name, before, after)
    if before.contents and after.contents and before.contents.ops != after.contents.ops:
        yield _of_ops(name, before.contents.ops, after.contents.ops)


def _of_psnr(name: str, before: Attempt, after: Attempt) -> Iterator[Change]:
    worst = [min((m.psnr_db for m in a.validation.metrics), default=math.nan) for a in (before, after) if a.validation]
    if all(map(math.isfinite, worst)):
        if abs(worst[1] - worst[0]) >= _PSNR_DB:
            yield Change(
                file=name,
                what="PSNR",
                before=figures.psnr(worst[0]),
                after=figures.psnr(worst[1]),
                difference=f"{worst[1] - worst[0]:+.1f} dB".replace("-", "−"),
                verdict=_lower(-worst[0], -worst[1]),
            )
    elif worst[0] != worst[1] and not all(map(math.isnan, worst)):
        yield Change(
            file=name,
            what="PSNR",
            before=figures.psnr(worst[0]),
            after=figures.psnr(worst[1]),
            difference="",
            verdict=_lower(-worst[0], -worst[1]),
        )


def _of_ops(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> Change:
    moved = [(op, after.get(op, 0) - before.get(op, 0)) for op in sorted({*before, *after})]
    words = ", ".join(f"{op} {count:+d}".replace("-", "−") for op, count in moved if count)
    totals = sum(before.values()), sum(after.values())
    return Change(file=name, what="operations", before=f"{totals[0]:,}", after=f"{totals[1]:,}", difference=words)


def _of_checks(path: str, previous: BuildRecord, record: BuildRecord) -> Iterator[Change]:
    """Latency, where both were measured on the same machine with the same compute units."""
    before, after = (_timed(path, one) for one in (previous, record))
    for key, new in after.items():
        old = before.get(key)
        if old is None or not (old.times and new.times):
            continue
        was, now = old.times.predict_s, new.times.predict_s
        if abs(now - was) > _LATENCY * was:
            yield Change(
                file=figures.base(path),
                what=f"prediction, {figures.units(new.compute_units)}",
                before=figures.milliseconds(was),
                after=figures.milliseconds(now),
                difference=_percent(was, now),
                verdict=_lower(was, now),
            )


def _timed(path: str, record: BuildRecord) -> dict[tuple[str, str], CheckedFile]:
    return {
        (check.machine, file.compute_units): file
        for check in record.checks
        for file in check.files
        if file.file == path and file.times
    }


def _percent(before: float, after: float) -> str:
    return f"{100 * (after - before) / before:+.1f} %".replace("-", "−") if before else ""


def _lower(before: float, after: float) -> Verdict:
    return "better" if after < before else "worse"
