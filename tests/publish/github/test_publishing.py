"""What becomes of a release, whatever state it is found in and whatever goes wrong on the way."""

import hashlib
import threading

import pytest

from converter.errors import PublishError
from converter.publish import finished
from converter.publish.github import Pace
from converter.publish.github.names import temporary_name

OTHER = {"net/net.mlmodel": b"new weights", "net/net.labels.txt": b"a\nb\n"}
CHANGED = {"net.mlmodel": "replaced", "net.labels.txt": "skipped", "report.md": "skipped"}
LONG_AGO = "2020-01-01T00:00:00Z"


def actions(published):
    return {file.name: file.action for file in published.files}


def test_a_release_is_drafted_filled_checked_and_only_then_published(hub, publish, make_dist, files):
    dist = make_dist()
    published = publish(dist)
    assert hub.files() == files(dist)
    (release,) = hub.releases.values()
    assert not release["draft"]
    assert release["tag_name"] == release["name"] == "v1"
    writes = [(s.method, s.path.rpartition("/")[2]) for s in hub.seen if s.method != "GET"]
    assert writes == [("POST", "releases"), *[("POST", "assets")] * 5, ("PATCH", str(release["id"]))]
    assert published.target == "github owner/repo v1"
    assert published.outputs["release_id"] == str(release["id"])
    assert published.outputs["release_url"].endswith("/releases/tag/v1")
    assert set(actions(published).values()) == {"uploaded"}
    assert all("/download/v1/" in file.url for file in published.files)


def test_a_second_run_writes_nothing_and_says_so(hub, publish, make_dist):
    dist = make_dist()
    publish(dist)
    writes = hub.writes()
    assert set(actions(publish(dist)).values()) == {"skipped"}
    assert hub.writes() == writes


@pytest.mark.parametrize("immutable", [False, True])
def test_the_same_files_from_another_run_leave_a_published_release_alone(hub, publish, make_dist, immutable):
    """Its build.json tells other times."""
    hub.immutable = immutable
    publish(make_dist(seconds=1.0))
    writes, there = hub.writes(), hub.files()
    assert set(actions(publish(make_dist(seconds=2.0), existing="fail")).values()) == {"skipped"}
    assert (hub.writes(), hub.files()) == (writes, there)


def test_where_a_file_differs_the_record_is_exchanged_with_it(hub, publish, make_dist, files):
    publish(make_dist(seconds=1.0))
    dist = make_dist(OTHER, seconds=2.0)
    assert {"net.mlmodel": "replaced", "build.json": "replaced"}.items() <= actions(publish(dist)).items()
    assert hub.files() == files(dist)


def test_a_draft_stays_one_when_asked_and_is_found_again(hub, publish, make_dist, files):
    dist = make_dist()
    assert publish(dist, draft=True).outputs["release_draft"] == "true"
    assert set(actions(publish(dist, draft=True)).values()) == {"skipped"}
    assert all(release["draft"] for release in hub.releases.values())
    assert hub.files() == files(dist)
    publish(dist)
    (release,) = hub.releases.values()
    assert not release["draft"]


def test_a_draft_of_other_files_is_brought_up_to_date(hub, publish, make_dist, files):
    publish(make_dist(), draft=True)
    dist = make_dist(OTHER)
    assert CHANGED.items() <= actions(publish(dist, existing="fail")).items()
    assert hub.files() == files(dist)


def test_of_several_drafts_the_oldest_is_filled_and_only_our_own_empty_ones_go(hub, publish, make_dist, files):
    mark = "<!-- coreml-release:draft -->"
    ours, empty = hub.add_release(draft=True, body="by hand"), hub.add_release(draft=True, body=mark)
    full = hub.add_release(draft=True, body=mark)
    hub.add_asset(full, "x.bin", b"x")
    by_hand = hub.add_release(draft=True, body="another one")
    publish(make_dist())
    assert set(hub.releases) == {ours, full, by_hand}
    assert hub.files(ours) == files(make_dist())
    assert [r["draft"] for r in hub.releases.values()] == [False, True, True]
    assert empty not in hub.releases


def test_drafts_and_assets_are_found_on_every_page(hub, publish, make_dist):
    release = hub.add_release(draft=True)
    for number in range(120):
        hub.add_asset(release, f"other-{number}.bin", b"x")
        hub.add_release(f"v0.{number}")
    publish(make_dist())
    assert set(actions(publish(make_dist())).values()) == {"skipped"}
    assert len(hub.files(release)) == 125


POLICIES = [
    ("replace", "replaced", b"new weights"),
    ("skip", "skipped", b"weights"),
]


@pytest.mark.parametrize(("existing", "action", "content"), POLICIES)
def test_a_published_release_is_changed_as_the_policy_says(hub, publish, make_dist, existing, action, content):
    publish(make_dist())
    assert actions(publish(make_dist(OTHER), existing=existing))["net.mlmodel"] == action
    assert hub.files()["net.mlmodel"] == content


def test_a_published_release_with_other_content_fails_before_anything_is_written(hub, publish, make_dist):
    publish(make_dist())
    writes = hub.writes()
    with pytest.raises(PublishError, match=r"other content in net\.mlmodel"):
        publish(make_dist({**OTHER, "net/more.txt": b"x"}), existing="fail")
    assert hub.writes() == writes


def test_replacing_keeps_both_contents_until_the_old_one_is_deleted(hub, fake, publish, make_dist):
    publish(make_dist())
    hub.seen.clear()
    publish(make_dist(OTHER))
    writes = [(s.method, s.path.split("/")[4]) for s in hub.seen if s.method != "GET"]
    # build.json and SHA256SUMS changed too: each is uploaded, deleted and renamed, and nothing lies between the two
    assert writes[:9] == [("POST", "releases"), ("DELETE", "releases"), ("PATCH", "releases")] * 3
    assert [name for name, *_ in hub.gaps] == ["net.mlmodel", "build.json", "SHA256SUMS"]


@pytest.mark.parametrize("dies_before", ["DELETE", "PATCH"])
def test_a_replacement_that_died_is_repaired_by_the_next_run(hub, publish, make_dist, files, dies_before):
    publish(make_dist())

    def die(method, path):
        if method == dies_before and "assets" in path:
            raise ConnectionAbortedError

    hub.before.append(die)
    with pytest.raises(PublishError, match="did not answer"):
        publish(make_dist(OTHER))
    hub.before.clear()
    publish(make_dist(OTHER))
    assert hub.files() == files(make_dist(OTHER))


def test_a_replacement_that_died_is_repaired_by_a_run_of_other_files_too(hub, publish, make_dist, files):
    publish(make_dist())
    (release,) = hub.releases
    (old,) = [i for i, a in hub.assets.items() if a["name"] == "net.mlmodel"]
    del hub.assets[old]
    content = b"of a run that died"
    digest = hashlib.sha256(content).hexdigest()
    hub.add_asset(release, temporary_name("net.mlmodel", digest), content, label="net.mlmodel")
    lost = hashlib.sha256(b"lost").hexdigest()
    hub.add_asset(release, temporary_name("gone.bin", lost), b"lost", label="gone.bin")
    with pytest.raises(PublishError, match="other content"):
        publish(make_dist(), existing="fail")
    assert hub.files()["net.mlmodel"] == content  # the name is back at once
    publish(make_dist())
    assert hub.files() == {**files(make_dist()), "gone.bin": b"lost"}


def test_an_immutable_release_with_the_same_files_is_done(hub, publish, make_dist):
    hub.immutable = True
    publish(make_dist())
    assert set(actions(publish(make_dist())).values()) == {"skipped"}


def test_an_immutable_release_that_differs_is_refused_with_advice(hub, publish, make_dist):
    hub.immutable = True
    publish(make_dist())
    writes = hub.writes()
    with pytest.raises(PublishError, match=r"immutable, and differs in net\.mlmodel.*\n.*new tag"):
        publish(make_dist(OTHER))
    assert hub.writes() == writes


def test_a_broken_upload_of_a_dead_run_is_removed(hub, publish, make_dist, files):
    release = hub.add_release(draft=True)
    hub.add_asset(release, "net.mlmodel", state="starter", digest=None, created_at=LONG_AGO)
    publish(make_dist())
    assert hub.files() == files(make_dist())


def test_an_upload_of_another_run_is_waited_for(hub, publish, make_dist, files):
    release = hub.add_release(draft=True)
    asset = hub.add_asset(release, "net.mlmodel", state="starter", digest=None)
    listings = []

    def complete(method, path):
        if path.endswith("/assets") and method == "GET":
            listings.append(path)
            if len(listings) == 6:
                sha256 = hashlib.sha256(b"weights").hexdigest()
                hub.assets[asset] |= {"state": "uploaded", "content": b"weights", "size": 7, "sha256": sha256}

    hub.before.append(complete)
    assert actions(publish(make_dist()))["net.mlmodel"] == "skipped"
    assert asset in hub.assets


@pytest.mark.parametrize("draft", [True, False])
def test_where_github_knows_no_digest_the_download_is_hashed(hub, publish, make_dist, files, draft):
    hub.null_digests = True
    publish(make_dist(), draft=draft)
    assert set(actions(publish(make_dist(), draft=draft)).values()) == {"skipped"}
    wrong = {"net/net.mlmodel": b"Weights", "net/net.labels.txt": b"a\nb\n"}  # the same size
    assert actions(publish(make_dist(wrong), draft=draft))["net.mlmodel"] == "replaced"
    assert hub.files() == files(make_dist(wrong))


def test_a_name_that_github_changes_is_found_again_by_its_label(hub, publish, make_dist):
    hub.rename = lambda name: name.replace("net", "NETZ")
    dist = make_dist()
    names = set(actions(publish(dist)))
    assert "NETZ.mlmodel" in names
    assert set(actions(publish(dist)).values()) == {"skipped"}
    assert set(hub.files()) == names


def test_the_tag_is_made_at_the_workflows_commit_only_where_it_does_not_exist(hub, publish, make_dist):
    sha = {"GITHUB_SHA": "1" * 40}
    publish(make_dist(), environment=sha)
    assert [r["target_commitish"] for r in hub.releases.values()] == ["1" * 40]
    hub.tags.add("v2")
    publish(make_dist(), environment=sha, tag="v2")
    assert [r["target_commitish"] for r in hub.releases.values()] == ["1" * 40, "main"]
    publish(make_dist(), environment={**sha, "GITHUB_REPOSITORY": "other/one"}, repository="owner/repo", tag="v3")
    assert hub.releases[max(hub.releases)]["target_commitish"] == "main"


LATEST = [
    ({}, "legacy"),
    ({"latest": True}, "true"),
    ({"latest": False}, "false"),
    ({"prerelease": True}, "false"),
]


@pytest.mark.parametrize(("options", "said"), LATEST)
def test_latest_is_said_as_a_string(hub, publish, make_dist, options, said):
    publish(make_dist(), **options)
    (release,) = hub.releases.values()
    assert release["make_latest"] == said
    assert release["prerelease"] == bool(options.get("prerelease"))


STATES = ["nothing", "draft", "published", "same", "immutable"]


@pytest.mark.parametrize("state", STATES)
def test_the_plan_says_what_publishing_then_does_and_changes_nothing(hub, publisher, publish, make_dist, state):
    dist = make_dist()
    if state in ("draft", "published"):
        publish(make_dist(OTHER), draft=state == "draft")
    elif state != "nothing":
        hub.immutable = state == "immutable"
        publish(dist)
    writes = hub.writes()
    steps = publisher().plan(finished(dist))
    assert hub.writes() == writes
    said = {step.name: step.action for step in steps}
    done = {"uploaded": "upload", "replaced": "replace", "skipped": "skip"}
    whole = [step.action for step in steps if step.name == "v1"]
    assert whole == {"nothing": ["create", "publish"], "draft": ["publish"]}.get(state, [])
    assert {name: done[action] for name, action in actions(publish(dist)).items()}.items() <= said.items()


def test_progress_tells_the_bytes_of_every_file(publish, make_dist):
    content = b"x" * 3_000_000
    dist = make_dist({"net/net.mlmodel": content})
    publish(dist)
    sent = [(so_far, of) for name, so_far, of in publish.sent if name == "net.mlmodel"]
    assert len(sent) >= 3
    assert sent == sorted(sent)
    assert sent[-1] == (3_000_000, 3_000_000)
    publish(dist)
    assert {name for name, so_far, of in publish.sent if so_far == of} == {
        "net.mlmodel", "report.md", "build.json", "SHA256SUMS",
    }  # fmt: skip


@pytest.mark.parametrize("state", ["nothing", "other files"])
def test_two_publishers_at_once_make_one_release_with_all_files(hub, fake, publisher, publish, make_dist, files, state):
    if state == "other files":
        publish(make_dist(OTHER))
    dist = finished(make_dist())
    outcomes, hub.fault_rate = [], 0.05
    fast = Pace(between_writes_s=0, first_wait_s=0.02, longest_wait_s=0.2, upload_grace_s=0.2, attempts=12)

    def run():
        try:
            outcomes.append(publisher(pace=fast).publish(dist, lambda *_: None))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [o for o in outcomes if isinstance(o, Exception)] == []
    assert hub.files() == files(make_dist())
    (release,) = hub.releases.values()
    assert not release["draft"]
