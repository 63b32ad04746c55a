"""What a release will hold, and which machine builds what; made without running any model's code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from converter.commit import commit_of
from converter.errors import ManifestError
from converter.model import Plan, PlannedShard
from converter.plain import from_plain, to_plain
from converter.report import figures
from converter.shards import SHARDS_MAX, Shard, balanced, size_bytes

if TYPE_CHECKING:
    from converter.manifest.schema import Manifest

AUTO_MAX = 20  # jobs that GitHub runs at the same time on its free plan
MATRIX_MAX = 256  # jobs of one matrix: https://docs.github.com/actions/reference/limits
OUTPUT_BYTES_MAX = 1 << 20  # of all outputs of a job, in UTF-16
_NAMED = 10  # models in the name of a job


def shards_for(said: str, models: int) -> int:
    """How many shards `--shards` asks for; `auto` is one for each model, at most AUTO_MAX. Raises ManifestError."""
    if said == "auto":
        return min(models, AUTO_MAX)
    if not (said.isascii() and said.isdigit()) or not 1 <= int(said[:9]) <= SHARDS_MAX:
        raise ManifestError(f"--shards {said}: this is no number of shards", fix=f"write 1 to {SHARDS_MAX}, or auto")
    return int(said)


def plan(manifest: "Manifest", shards: int) -> Plan:
    """The manifest's models, shared out; nothing is loaded, downloaded or hashed."""
    return Plan(
        manifest=manifest.path.name,
        commit=commit_of(manifest.folder),
        shards=tuple(
            PlannedShard(
                shard=str(Shard(index, shards)),
                models=tuple(model.name for model in share),
                size_bytes=sum(size_bytes(model) for model in share),
            )
            for index, share in enumerate(balanced(manifest.models, shards), 1)
        ),
        targets=tuple(target.model_dump(mode="json", exclude_unset=True) for target in manifest.publish),
    )


def to_json(plan: Plan) -> str:
    """One line, as short as it can be: it travels as an output."""
    return json.dumps(to_plain(plan), ensure_ascii=False, separators=(",", ":"))


def read_plan(said: str) -> Plan:
    """A plan that is given as JSON, or as a file that holds it. Raises ManifestError."""
    try:
        text = said if said.lstrip().startswith("{") else Path(said).read_text(encoding="utf-8")
        found: Plan = from_plain(Plan, json.loads(text))
    except OSError as error:
        raise ManifestError(f"--plan {said}: {error.strerror}", fix="name the file that `plan --json` wrote") from error
    except (ValueError, TypeError) as error:
        raise ManifestError(f"--plan holds no plan: {error}", fix="give what `plan --json` printed") from error
    return found


def matrix(plan: Plan) -> str:
    """`strategy.matrix` of a workflow, a job for each shard. Raises ManifestError where GitHub would refuse it."""
    if len(plan.shards) > MATRIX_MAX:
        raise ManifestError(
            f"a matrix has at most {MATRIX_MAX} jobs, {len(plan.shards)} shards are asked for",
            fix=f"take --shards {MATRIX_MAX} or fewer",
        )
    jobs = []
    for planned in plan.shards:
        more = len(planned.models) - _NAMED
        names = ", ".join(planned.models[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        shard = planned.shard
        jobs.append({"shard": shard, "artifact": shard.replace("/", "-of-"), "models": names})
    return json.dumps({"include": jobs}, ensure_ascii=False, separators=(",", ":"))


def outputs(plan: Plan) -> dict[str, str]:
    """What a workflow's next jobs need. Raises ManifestError where that is more than GitHub passes on."""
    found = {"matrix": matrix(plan), "plan": to_json(plan)}
    size = sum(len(value.encode("utf-16-le")) for value in found.values())
    if size > OUTPUT_BYTES_MAX:
        raise ManifestError(
            f"the plan takes {figures.size(size)}, and a job hands on at most {figures.size(OUTPUT_BYTES_MAX)}",
            fix="shorten the models' names, or split the manifest",
        )
    return found


def lines(manifest: "Manifest", plan: Plan) -> Iterator[str]:
    """The plan for people: a line for each model, in the order of the shards, then what it comes to."""
    models = {model.name: model for model in manifest.models}
    rows = [("shard", "model", "size", "source")]
    for planned in plan.shards:
        if not planned.models:
            rows.append((planned.shard, "–", "", ""))
        for name in planned.models:
            model = models[name]
            rows.append((planned.shard, name, figures.size(size_bytes(model)), model.source.description))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for shard, name, size, source in rows:
        yield f"{shard:<{widths[0]}}  {name:<{widths[1]}}  {size:>{widths[2]}}  {source}".rstrip()
    heaviest = max(plan.shards, key=lambda planned: planned.size_bytes)
    total = sum(planned.size_bytes for planned in plan.shards)
    yield (
        f"{_counted(len(models), 'model')}, {figures.size(total)}, in {_counted(len(plan.shards), 'shard')}; the "
        f"heaviest is {heaviest.shard}: {_counted(len(heaviest.models), 'model')}, {figures.size(heaviest.size_bytes)}"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
