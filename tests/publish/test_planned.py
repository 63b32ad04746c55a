"""A folder, whole or a part, is held to the plan."""

import pytest

from converter.errors import PublishError
from converter.model import Plan, PlannedShard
from converter.publish import finished
from converter.publish.planned import hold

PLAN = Plan(
    manifest="models.yml",
    commit="abc",
    shards=(
        PlannedShard(shard="1/3", models=("a", "b"), size_bytes=1),
        PlannedShard(shard="2/3", models=(), size_bytes=0),
        PlannedShard(shard="3/3", models=("c",), size_bytes=1),
    ),
)


@pytest.fixture
def hold_dist(make_dist):
    def run(names, shard=""):
        files = {f"{name}/{name}.mlmodel": name.encode() for name in names}
        hold(finished(make_dist(files, shard=shard, expected=("a", "b", "c"))).record, PLAN)

    return run


@pytest.mark.parametrize(("names", "shard"), [("abc", ""), ("ab", "1/3"), ("", "2/3"), ("c", "3/3")])
def test_what_was_planned_may_be_published(hold_dist, names, shard):
    hold_dist(names, shard)


@pytest.mark.parametrize(
    ("names", "shard", "words"),
    [
        ("ab", "", "1 planned models are missing: c"),
        ("abcd", "", "1 models were not planned: d"),
        ("a", "1/3", "1 planned models are missing: b"),
        ("abc", "1/3", "1 models were not planned: c"),
        ("a", "2/3", "1 models were not planned: a"),
        ("ab", "1/2", "the plan has no shard 1/2, but 3 shards"),
    ],
)
def test_what_was_not_planned_is_refused(hold_dist, names, shard, words):
    with pytest.raises(PublishError, match=words):
        hold_dist(names, shard)
