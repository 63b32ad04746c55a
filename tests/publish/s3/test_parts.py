"""Shards publish their own files; the last one, or --finalize, names them, and nobody sees less than all."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from converter.errors import PublishError
from converter.model import Plan, PlannedShard
from converter.publish import finished
from converter.publish.s3 import parts as parts_module

NAMES = ("a", "b", "c")
CLOSING = [
    "net/index.json",
    "net/latest.json",
    "net/v1/SHA256SUMS",
    "net/v1/build.json",
    "net/v1/report.html",
    "net/v1/report.md",
]
PARTS = [f"net/v1/parts/{i}-of-3.json" for i in (1, 2, 3)]
MODELS = f"net/v1/parts/models-{hashlib.sha256(json.dumps(NAMES).encode()).hexdigest()}.json"
FILES = [f"net/v1/{name}.mlmodel" for name in NAMES]


@pytest.fixture
def make_parts(make_dist):
    """Three parts: a and c, none, b; `content` goes into every file."""

    def make(content=b"weights", shards=("ac", "", "b"), folder="part", **more):
        return [
            make_dist(
                {f"{name}/{name}.mlmodel": name.encode() + content for name in names},
                folder=f"{folder}-{index}-of-{len(shards)}",
                shard=f"{index}/{len(shards)}",
                expected=NAMES,
                **more,
            )
            for index, names in enumerate(shards, 1)
        ]

    return make


@pytest.fixture
def finalize(shelf):
    def run(commit="abc", plan=None, **options):
        return shelf.publisher(**options).finalize(commit, plan, lambda *_: None)

    return run


def planned(*shards, commit="abc"):
    return Plan(
        manifest="models.yml",
        commit=commit,
        shards=tuple(
            PlannedShard(shard=f"{i}/{len(shards)}", models=tuple(names), size_bytes=1)
            for i, names in enumerate(shards, 1)
        ),
    )


def refusal(call, *arguments, **options):
    with pytest.raises(PublishError) as error:
        call(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize(("commit", "is_closed"), [("abc", True), ("abc-dirty", True), ("", True), ("later", False)])
def test_parts_of_another_commit_are_not_closed(shelf, make_parts, finalize, commit, is_closed):
    for dist in make_parts():
        shelf.publish(dist)
    if is_closed:
        finalize(commit)
    else:
        assert "the parts are of commit abc, this is later" in refusal(finalize, commit)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_last_part_finishes_the_release_whichever_it_is(shelf, make_parts, order):
    dists = make_parts()
    for at in order[:-1]:
        published = shelf.publish(dists[at])
        assert "still missing: " in published.target
        assert not set(CLOSING) & set(shelf.listed())
    published = shelf.publish(dists[order[-1]])
    assert "which completes the version" in published.target
    assert sorted(shelf.listed()) == sorted([*CLOSING, *PARTS, *FILES, MODELS])
    assert shelf.read_latest() == "v1"
    latest = shelf.json("net/latest.json")
    assert [f["name"] for f in latest["files"]] == [
        "a.mlmodel",
        "b.mlmodel",
        "c.mlmodel",
        "build.json",
        "report.md",
        "report.html",
        "SHA256SUMS",
    ]
    assert latest["commit"] == "abc"


def test_a_finished_release_is_what_merge_makes_of_the_parts(shelf, make_parts, tmp_path):
    from converter.package.merge import merge

    dists = make_parts()
    for dist in dists:
        shelf.publish(dist)
    merge(dists, tmp_path / "merged")
    for name in ("build.json", "report.md", "report.html", "SHA256SUMS"):
        assert shelf.get(f"net/v1/{name}") == (tmp_path / "merged" / name).read_bytes()
    before = shelf.json("net/index.json")
    published = shelf.publish(tmp_path / "merged")  # the whole folder, afterwards: it is there already
    assert {file.action for file in published.files} == {"skipped"}
    assert shelf.json("net/index.json") == before


def test_parts_and_finalize_a_second_time_write_nothing(shelf, make_parts, finalize):
    dists = make_parts()
    for dist in dists:
        shelf.publish(dist)
    before = {key: (shelf.head(key)["LastModified"], shelf.head(key)["ETag"]) for key in shelf.listed()}
    for dist in dists:
        assert {file.action for file in shelf.publish(dist).files} == {"skipped"}
    assert {file.action for file in finalize().files} == {"skipped"}
    assert {key: (shelf.head(key)["LastModified"], shelf.head(key)["ETag"]) for key in shelf.listed()} == before


def test_a_part_built_again_with_other_timings_is_the_same_part(shelf, make_parts, finalize):
    for dist in make_parts():
        shelf.publish(dist)
    before = shelf.get("net/v1/build.json"), shelf.get(PARTS[0])
    for dist in make_parts(folder="again", seconds=77.0):
        shelf.publish(dist)
    finalize()
    assert (shelf.get("net/v1/build.json"), shelf.get(PARTS[0])) == before


def test_finalize_completes_what_a_killed_last_shard_left(shelf, make_parts, finalize, monkeypatch):
    dists = make_parts()
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "missing", lambda *_: ["killed"])  # after its own record, before it closes
        for dist in dists:
            shelf.publish(dist)
    assert not set(CLOSING) & set(shelf.listed())
    published = finalize()
    assert [file.name for file in published.files] == ["build.json", "report.md", "report.html", "SHA256SUMS"]
    assert shelf.read_latest() == "v1"


def test_missing_parts_are_listed(shelf, make_parts, finalize):
    assert "there are no parts" in refusal(finalize)
    dists = make_parts()
    shelf.publish(dists[1])
    assert "of 3 parts 2 are missing: 1/3, 3/3" in refusal(finalize)
    assert "of 3 parts 2 are missing: 1/3, 3/3" in refusal(finalize, plan=planned("ac", "", "b"))
    assert not set(CLOSING) & set(shelf.listed())


def test_two_finalizers_at_once_end_right(shelf, make_parts, finalize, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parts_module, "missing", lambda *_: ["killed"])
        for dist in make_parts():
            shelf.publish(dist)
    with ThreadPoolExecutor(4) as pool:
        assert len([done.result() for done in [pool.submit(finalize) for _ in range(4)]]) == 4
    assert shelf.read_latest() == "v1"
    assert len(shelf.json("net/index.json")["versions"]) == 1


def test_all_parts_at_once_end_in_a_release(shelf, make_parts):
    with ThreadPoolExecutor(3) as pool:
        done = [future.result() for future in [pool.submit(shelf.publish, dist) for dist in make_parts()]]
    assert any("which completes the version" in published.target for published in done)
    assert shelf.read_latest() == "v1"


def test_another_commit_under_the_same_tag_is_refused(shelf, make_parts, finalize):
    first, others = make_parts(), make_parts(b"changed", folder="other", commit="def")
    shelf.publish(first[0])
    assert "part 1/3 is there of commit abc, this one is of def" in refusal(shelf.publish, others[0])
    shelf.publish(others[1])  # nobody was there yet
    assert "part 2/3 is there of commit def, this one is of abc" in refusal(shelf.publish, first[1])
    published = shelf.publish(first[2])
    assert "still of another commit: 2/3" in published.target
    assert "different commits: abc" in refusal(finalize)
    assert not set(CLOSING) & set(shelf.listed())


def test_another_commit_with_other_shards_is_refused_or_right(shelf, make_parts):
    for dist in make_parts():
        shelf.publish(dist)
    before = {key: shelf.get(key) for key in CLOSING}
    other, same = (
        make_parts(content, shards=("ab", "c"), folder=folder, commit="def")
        for content, folder in ((b"changed", "other"), (b"weights", "same"))
    )
    assert "hold other bytes" in refusal(shelf.publish, other[0])
    shelf.publish(same[0])
    assert "hold other bytes" in refusal(shelf.publish, same[1])  # same models, but build.json tells the commit
    assert {key: shelf.get(key) for key in CLOSING} == before


def test_the_same_commit_with_other_shards_is_the_same_release(shelf, make_parts, finalize):
    for dist in make_parts():
        shelf.publish(dist)
    before = {key: shelf.get(key) for key in CLOSING}
    for dist in make_parts(shards=("ab", "c"), folder="two"):
        shelf.publish(dist)
    finalize()
    assert {key: shelf.get(key) for key in CLOSING} == before


def test_replace_takes_a_commit_over_once_all_its_parts_are_there(shelf, make_parts):
    for dist in make_parts():
        shelf.publish(dist)
    first, second, third = make_parts(b"changed", folder="other", commit="def")
    assert "still of another commit: 2/3, 3/3" in shelf.publish(first, existing="replace").target
    assert shelf.json("net/latest.json")["commit"] == "abc"
    shelf.publish(third, existing="replace")
    assert shelf.json("net/latest.json")["commit"] == "abc"
    shelf.publish(second, existing="replace")
    assert shelf.json("net/latest.json")["commit"] == "def"
    assert shelf.read_latest() == "v1"


def test_replace_needs_a_commit_to_tell_parts_apart(shelf, make_parts):
    dist = make_parts(commit="")[0]
    assert "told apart by their commit" in refusal(shelf.publish, dist, existing="replace")
    shelf.publish(dist)


def test_a_part_with_a_failed_model_is_not_published(shelf, make_parts):
    good, _, bad = make_parts()[0], *make_parts(folder="bad", error="psnr_db is too low")[1:]
    shelf.publish(good)
    assert "b did not pass" in refusal(shelf.publish, bad)
    assert PARTS[2] not in shelf.listed()


def test_a_part_that_records_a_failed_model_never_finalizes(shelf, make_parts, finalize):
    dists = make_parts()
    for dist in dists[:2]:
        shelf.publish(dist)
    record = json.loads((dists[2] / "build.json").read_text())
    record["models"][0]["error"] = "psnr_db is too low"
    shelf.put(PARTS[2], json.dumps(record).encode())
    assert "part 3/3: b did not pass" in refusal(finalize)
    assert not set(CLOSING) & set(shelf.listed())


def test_files_that_are_gone_keep_a_release_from_being_named(shelf, make_parts, finalize):
    dists = make_parts()
    for dist in dists[:2]:
        shelf.publish(dist)
    shelf.client.delete_object(Bucket=shelf.name, Key=FILES[0])
    shelf.put(FILES[2], b"short")
    assert "2 files that parts name are not there: a.mlmodel, c.mlmodel" in refusal(shelf.publish, dists[2])
    assert not set(CLOSING) & set(shelf.listed())


def test_finalize_is_held_to_the_plan(shelf, make_parts, finalize):
    for dist in make_parts():
        shelf.publish(dist)
    finalize(plan=planned("ac", "", "b"))
    said = refusal(finalize, plan=planned("ac", "d", "", commit="def"))
    for words in ("the plan is of commit def", "1 planned models are missing: d", "1 models were not planned: b"):
        assert words in said


def test_a_model_that_no_part_holds_is_said_by_the_last_part(shelf, make_parts):
    dists = make_parts(shards=("a", "", "b"))
    for dist in dists[:2]:
        shelf.publish(dist)
    assert "1 of 3 models missing: c" in refusal(shelf.publish, dists[2])
    assert not set(CLOSING) & set(shelf.listed())


def test_what_is_no_record_is_said_with_its_key(shelf, make_parts, finalize):
    dists = make_parts()
    shelf.put(PARTS[1], b"<html>")
    assert f"{PARTS[1]}: this is no record of a build" in refusal(shelf.publish, dists[1])


def test_other_files_among_the_parts_do_no_harm(shelf, make_parts):
    shelf.put("net/v1/parts/notes.txt", b"")
    for dist in make_parts():
        shelf.publish(dist)
    assert shelf.read_latest() == "v1"


def test_a_dry_run_says_what_a_part_would_do_and_changes_nothing(shelf, make_parts, finalize):
    dists = make_parts()
    assert shelf.plan(dists[0]) == [("upload", FILES[0]), ("upload", FILES[2]), ("publish", PARTS[0])]
    assert shelf.listed() == []
    for dist in dists[:2]:
        shelf.publish(dist)
    assert shelf.plan(dists[0]) == [("skip", FILES[0]), ("skip", FILES[2]), ("skip", PARTS[0])]
    assert shelf.plan(dists[2]) == [("upload", FILES[1]), ("publish", PARTS[2]), ("publish", "net/index.json")]
    shelf.publish(dists[2])
    steps = [(step.action, step.name) for step in shelf.publisher().plan_finalize("abc", None)]
    assert steps == [("skip", f"net/v1/{name}") for name in ("build.json", "report.md", "report.html", "SHA256SUMS")]


def test_the_prefix_may_name_the_commit(shelf, make_parts, finalize):
    options = {"prefix": "{name}/{sha}/", "tag": None}
    for dist in make_parts():
        shelf.publish(dist, **options)
    before = shelf.json("net/latest.json")
    assert before["version"] == "abc"
    finalize(**options)
    assert shelf.json("net/latest.json") == before


def test_unfinished_uploads_of_other_shards_are_left_alone_until_the_release_is_closed(shelf, make_parts):
    dists = make_parts()
    shelf.client.create_multipart_upload(Bucket=shelf.name, Key=FILES[1])
    shelf.publish(dists[0])
    assert len(shelf.unfinished()) == 1
    for dist in dists[1:]:
        shelf.publish(dist)
    assert shelf.unfinished() == []


def test_a_part_is_its_record_with_the_list_of_models_beside_it(shelf, make_parts):
    dist = make_parts()[0]
    shelf.publish(dist)
    stored = shelf.json(PARTS[0])
    own = json.loads((dist / "build.json").read_text())
    assert (stored.pop("expected"), own.pop("expected")) == ([f"sha256:{MODELS[-69:-5]}"], list(NAMES))
    assert stored == own
    assert shelf.json(MODELS) == list(NAMES)
    assert finished(dist).record.shard == "1/3"


def test_a_changed_list_of_models_closes_nothing(shelf, make_parts, finalize):
    dists = make_parts()
    for dist in dists[:2]:
        shelf.publish(dist)
    shelf.put(MODELS, b'["a"]')
    assert "the list of all models, is gone or was changed" in refusal(shelf.publish, dists[2])
    shelf.client.delete_object(Bucket=shelf.name, Key=MODELS)
    shelf.publish(make_parts(seconds=2.0, folder="again")[0])  # puts it back
    finalize()
    assert shelf.read_latest() == "v1"
