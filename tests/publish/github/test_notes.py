"""Release notes: the table, what changed, and nobody's words turned into something else."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.errors import PublishError
from converter.model import Attempt, Conversion, Gate, OutputMetrics, Target, Validation
from converter.package.record import read_record, to_json
from converter.publish import finished
from converter.publish.github.names import body_length
from converter.publish.github.notes import DRAFT, composed, section


def attempt(path, psnr_db=51.25):
    target = Target(format="mlpackage", deployment_target="iOS16", compute_precision="float16")
    metrics = OutputMetrics(
        output="y", on="values", psnr_db=psnr_db, max_abs_error=0.1, cosine=1.0, top1_agreement=0.995
    )
    gate = Gate(name="psnr_db", limit=35, measured=psnr_db, passed=True, words="")
    return Attempt(
        route="direct",
        format="mlpackage",
        conversion=Conversion(route="direct", target=target, path=Path(path), seconds=1.0, versions={}),
        validation=Validation(
            engine="", metrics=(metrics,), gates=(gate,), accuracy=0.97, reference_accuracy=0.97, seconds=1.0
        ),
    )


@pytest.fixture
def make_built(make_dist):
    """A dist whose record tells of a conversion, as a real one does: `make_built(psnr_db=50)`."""

    def make(files=None, psnr_db=51.25, **options):
        dist = make_dist(files or {"net/net.mlpackage.zip": b"weights" * 1000}, **options)
        record = read_record(dist)
        models = tuple(
            replace(model, attempts=tuple(attempt(a.path, psnr_db) for a in model.artifacts if a.path.endswith(".zip")))
            for model in record.models
        )
        (dist / "build.json").write_text(to_json(replace(record, models=models)))
        return dist

    return make


def test_the_table_shows_size_precision_metrics_systems_and_digest(make_built):
    whole = finished(make_built())
    rows = [line for line in section(whole, None, "").splitlines() if line.startswith("| `net")]
    (file,) = [f for f in whole.files if f.path.endswith(".zip")]
    systems = "iOS 16, macOS 13, tvOS 16, watchOS 9"
    cells = ("7.0 kB", "float16", "51.2 dB", "99.50 %", "97.00 %", systems)
    assert rows == [f"| `net.mlpackage.zip` | {' | '.join(cells)} | `{file.sha256}` |"]


def test_the_notes_tell_what_changed_since_the_release_before(hub, publish, make_built):
    publish(
        make_built({"net/net.mlpackage.zip": b"a", "net/old.txt": b"x", "net/same.txt": b"y"}, psnr_db=40), tag="v1"
    )
    new = {"net/net.mlpackage.zip": b"bb", "net/new.txt": b"z", "net/same.txt": b"y"}
    publish(make_built(new, psnr_db=45), tag="v2")
    body = hub.releases[max(hub.releases)]["body"]
    news = body.partition("### Since v1\n\n")[2].splitlines()
    assert news[:4] == [
        "- changed: `net.mlpackage.zip`, 1 B → 2 B, PSNR 40.0 dB → 45.0 dB",
        "- new: `new.txt`",
        "- gone: `old.txt`",
        "- 1 file is the same, byte for byte",
    ]


def test_a_second_run_writes_the_same_notes_even_after_a_newer_release(hub, publish, make_built):
    publish(make_built(), tag="v1")
    publish(make_built(psnr_db=45), tag="v2")
    publish(make_built(psnr_db=48), tag="v3")
    writes = hub.writes()
    publish(make_built(psnr_db=45), tag="v2")
    assert hub.writes() == writes


def test_a_release_without_a_readable_record_is_no_reason_to_fail(hub, publish, make_built):
    release = hub.add_release("v0", published_at="2020-01-01T00:00:00Z")
    hub.add_asset(release, "build.json", b"{not json")
    publish(make_built())
    assert "### Since" not in hub.releases[max(hub.releases)]["body"]


def test_a_prerelease_is_compared_to_only_by_prereleases(hub, publish, make_built):
    publish(make_built(), tag="v1")
    publish(make_built(psnr_db=45), tag="v2-rc", prerelease=True)
    publish(make_built(psnr_db=46), tag="v2-rc2", prerelease=True)
    assert "### Since v2-rc\n" in hub.releases[max(hub.releases)]["body"]
    publish(make_built(psnr_db=47), tag="v2")
    assert "### Since v1\n" in hub.releases[max(hub.releases)]["body"]


SECTION = "<!-- coreml-release:models -->\nnew\n<!-- coreml-release:end -->"
OLD = SECTION.replace("new", "old")

# notes option, what the release says (None: it is new), what it should say
BODIES = [
    ("append", None, SECTION),
    ("append", "", SECTION),
    ("append", "By hand.", f"By hand.\n\n{SECTION}"),
    ("append", f"By hand.\r\n\r\n{OLD}\r\n\r\nMore.", f"By hand.\n\n{SECTION}\n\nMore."),
    ("append", "<!-- coreml-release:models -->\nlost", f"<!-- coreml-release:models -->\nlost\n\n{SECTION}"),
    ("append", f"<!-- coreml-release:models -->\nkept {OLD}", f"<!-- coreml-release:models -->\nkept {SECTION}"),
    ("generate", None, SECTION),
    ("generate", "By hand.", SECTION),
    ("keep", None, SECTION),
    ("keep", "By hand.", "By hand."),
    ("Given **here**", None, "Given **here**"),
    ("Given **here**", "By hand.", "Given **here**"),
    ("append", f"{DRAFT}\nours", f"ours\n\n{SECTION}"),
]


@pytest.mark.parametrize(("notes", "existing", "expected"), BODIES)
def test_notes_are_kept_appended_or_generated(notes, existing, expected):
    assert composed(notes, existing, SECTION) == expected
    if notes != "generate" or existing is None:
        assert composed(notes, expected, SECTION) == expected  # a second run


@given(st.text())
def test_whatever_a_person_wrote_stays_and_a_second_run_changes_nothing(text):
    once = composed("append", text, SECTION)
    assert once.count(SECTION) == 1
    assert composed("append", once, SECTION) == once
    if "coreml-release" not in text:
        assert once.removesuffix(SECTION).strip() == text.replace("\r\n", "\n").strip()


ODD = [
    "<img src=x onerror=alert(1)>",
    "@everyone #1",
    "a|b",
    "``` x",
    "[x](javascript:y)",
    "-->",
    "\u202e\x07",
    "**b**",
]


@pytest.mark.parametrize("notes", [*ODD, "x" * 125_000, "🦊" * 62_500, " \n x"])
def test_given_notes_arrive_as_they_are(hub, publish, make_dist, notes):
    publish(make_dist(), notes=notes)
    (release,) = hub.releases.values()
    assert release["body"] == notes
    writes = hub.writes()
    publish(make_dist(), notes=notes)
    assert hub.writes() == writes


@pytest.mark.parametrize("name", ODD)
def test_names_read_as_text_in_the_table(hub, publish, make_built, name):
    publish(make_built(), tag=name.replace("\x07", ""))
    name = name.replace("/", "").replace("\x07", "")
    publish(make_built({f"net/{name}.zip": b"x", f"net/{name}.txt": b"y"}), tag="v2")
    body = hub.releases[max(hub.releases)]["body"]
    without_code = re.sub(r"`[^`\n]*`", "", body)
    assert re.sub(r"<!-- coreml-release:(models|end) -->", "", without_code).count("<") == without_code.count("\\<")
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {9}


def test_a_table_that_is_too_long_is_cut_and_says_so(make_built):
    files = {f"m{n}/model-{n}.mlpackage.zip": b"x" for n in range(900)}
    whole = finished(make_built({**files, "net/net.txt": b"x"}))
    text = section(whole, None, "")
    assert body_length(text) <= 125_000
    assert re.search(r"\n\d+ more: see the report", text)
    assert len(section(whole, None, "", 20_000)) <= 20_000


def test_a_body_that_is_full_already_is_refused_with_advice(hub, publish, make_dist):
    hub.add_release(draft=True, body="x" * 124_990)
    with pytest.raises(PublishError, match=r"leave no room.*\n.*notes: keep"):
        publish(make_dist())
    publish(make_dist(), notes="keep")
