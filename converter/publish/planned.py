"""Publishing is held to the plan that was made before any model's code ran."""

from converter.errors import ManifestError, PublishError
from converter.manifest.publish import TARGETS, PublishTarget
from converter.model import BuildRecord, Plan
from converter.package.merge import listed


def targets(plan: Plan) -> list[PublishTarget]:
    """The places that the plan names. Raises ManifestError where they are none that a manifest could name."""
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[PublishTarget] = TypeAdapter(PublishTarget)
    try:
        return [adapter.validate_python(target) for target in plan.targets]
    except ValidationError as error:
        raise ManifestError(
            f"the plan names a place that is none of {', '.join(TARGETS)}: {error.errors()[0]['msg']}",
            fix="make the plan anew with `plan --json`",
        ) from None


def hold(record: BuildRecord, plan: Plan) -> None:
    """Refuse a folder that is not what was planned: another commit, a model more or less. Raises PublishError."""
    words = []
    if record.manifest != plan.manifest:
        words.append(f"the plan is of {plan.manifest}, this was built from {record.manifest}")
    if record.commit != plan.commit:
        words.append(f"the plan is of commit {plan.commit or 'none'}, this is of {record.commit or 'none'}")
    wanted = {name for shard in plan.shards for name in shard.models}
    if record.shard:
        own = [shard for shard in plan.shards if shard.shard == record.shard]
        wanted = set(own[0].models) if own else set()
        if not own:
            words.append(f"the plan has no shard {record.shard}, but {len(plan.shards)} shards")
    there = {model.name for model in record.models}
    if missing := sorted(wanted - there):
        words.append(f"{len(missing)} planned models are missing: {listed(missing)}")
    if strangers := sorted(there - wanted):
        words.append(f"{len(strangers)} models were not planned: {listed(strangers)}")
    if words:
        raise PublishError("\n".join(words), where=("plan",), fix="build what the plan says, or make the plan anew")


def left_out(record: BuildRecord) -> str:
    """Which of the manifest's models a whole folder does not hold: --only asked for others, or a run was killed."""
    absent = sorted(set(record.expected) - {model.name for model in record.models})
    if record.shard or not absent:
        return ""
    return f"{len(absent)} of {len(record.expected)} models of {record.manifest} are not published: {listed(absent)}"
