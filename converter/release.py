"""A finished output folder to the places that publish it."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from converter.commit import commit_of
from converter.console import Uploads, published
from converter.errors import ManifestError
from converter.model import Plan, Published, Step
from converter.publish import Progress, Publisher, finished, hold_whole
from converter.publish.planned import hold, left_out
from converter.publish.s3 import S3
from converter.workflow import Annotations, results
from converter.workflow.annotations import Annotation


def release(
    dist: Path, publishers: Sequence[Publisher], plan: Plan | None, step: Annotations, *, dry_run: bool = False
) -> None:
    """Put a finished output folder at every place, one after the other; with a plan only what it says.

    Raises PublishError, OutputError where the folder has no record.
    """
    whole = finished(dist)
    if plan:
        hold(whole.record, plan)
    if words := left_out(whole.record):
        print(f"note: {words}", file=sys.stderr)
        step.add(Annotation(level="warning", message=words))
    if any(not isinstance(publisher, S3) for publisher in publishers):  # before any of them is served
        hold_whole(whole)
    _serve([(partial(p.plan, whole), partial(p.publish, whole)) for p in publishers], step, dry_run)


def finalize(
    publishers: Sequence[Publisher], folder: Path, plan: Plan | None, step: Annotations, *, dry_run: bool = False
) -> None:
    """Close the version in S3 whose parts shards have published: of the plan's commit, else of that around `folder`.

    Raises ManifestError where no publisher is S3, PublishError where parts are missing.
    """
    ours = [publisher for publisher in publishers if isinstance(publisher, S3)]
    if not ours:
        raise ManifestError("--finalize: only S3 has parts, and no place is there", fix="say --to s3 with its --set")
    commit = plan.commit if plan else commit_of(folder)
    _serve([(partial(p.plan_finalize, commit, plan), partial(p.finalize, commit, plan)) for p in ours], step, dry_run)


def _serve(
    places: Sequence[tuple[Callable[[], Sequence[Step]], Callable[[Progress], Published]]],
    step: Annotations,
    dry_run: bool,
) -> None:
    """Publish to one place after another; of a dry run say the steps."""
    if dry_run:
        for plan, _ in places:
            for one in plan():
                print(f"would {one.action} {one.name}" + (f": {one.reason}" if one.reason else ""))
        return
    records: list[Published] = []
    try:
        with Uploads() as uploads:
            for _, publish in places:
                records.append(publish(uploads))
    finally:  # also of the targets before one that failed
        results.published(step, records)
    published(records)
