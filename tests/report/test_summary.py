import os
from dataclasses import replace
from pathlib import Path

import pytest

from converter.model import (
    CheckedFile,
    Placement,
    Plan,
    PlannedShard,
    Published,
    PublishedFile,
    Times,
    ValidationRecord,
)
from converter.report import summary

GOLDEN = Path(__file__).parent / "golden"
MIB = 1024 * 1024


def assert_golden(name, text):
    """Equal to the committed file; UPDATE_GOLDEN=1 writes it anew, to be read before it is committed."""
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def file(name, url, action="uploaded"):
    return PublishedFile(name=name, size_bytes=13_600_000, sha256="a" * 64, url=url, action=action)


PUBLISHED = (
    Published(
        target="github owner/repo v1",
        files=(
            file("birds.mlmodel", "https://github.com/owner/repo/releases/download/v1/birds.mlmodel"),
            file("a|b.txt", "https://github.com/o/r/a|b>.txt", "skipped"),
        ),
        outputs={"release_url": "https://github.com/owner/repo/releases/tag/v1", "release_id": "7"},
    ),
    Published(
        target="s3 models/net/v1",
        files=(file("birds.mlmodel", "https://models.s3.amazonaws.com/net/v1/birds.mlmodel"),),
        outputs={
            "s3_prefix": "s3://models/net/v1",
            "s3_index_url": "https://models.s3.amazonaws.com/net/index.json",
            "s3_latest_url": "https://models.s3.amazonaws.com/net/latest.json",
        },
    ),
    Published(target="directory public", files=(file("birds.mlmodel", "file:///public/birds.mlmodel"),)),
)


def test_the_summary_of_a_run_is_the_golden_one(run):
    models = (replace(run.models[0], reused=True), *run.models[1:])
    assert_golden("summary.md", summary.fitted(summary.of_run(models, "dist"), MIB))


def test_the_summary_of_publishing_is_the_golden_one():
    assert_golden("summary-published.md", summary.fitted(summary.of_published(PUBLISHED), MIB))


def test_the_summary_of_a_plan_is_the_golden_one():
    shards = (
        PlannedShard(shard="1/2", models=("digits", "resnet18"), size_bytes=46_800_000),
        PlannedShard(shard="2/2", models=("mobilenet_v2",), size_bytes=14_000_000),
    )
    plan = Plan(manifest="models.yml", commit="abc123", shards=shards)
    assert_golden("summary-plan.md", summary.fitted(summary.of_plan(plan), MIB))


def test_the_summary_of_checking_again_is_the_golden_one(classifier, failed):
    files = [
        CheckedFile(
            model=record.name,
            file=f"{record.name}/{record.name}.mlpackage.zip",
            sha256="a" * 64,
            engine="Core ML (macOS 15.1, Apple M1)",
            validation=record.attempts[0].validation,
        )
        for record in (classifier, failed)
    ]
    files[0] = replace(
        files[0],
        times=Times(load_s=1.25, predict_s=0.00345, predictions=10),
        placements=(
            Placement(op_type="conv", name="features", preferred="CPU", supported=("CPU",), cost=0.9),
            Placement(op_type="softmax", name="probabilities", preferred="CPU", supported=("CPU",), cost=0.1),
        ),
    )
    files[1] = replace(files[1], drift=files[0].validation.metrics, at_fault="the conversion")
    files.append(
        replace(
            files[1], model="hangs", file="hangs/hangs.mlmodel", validation=None, error="no answer\nat all", at_fault=""
        )
    )
    files.append(replace(files[2], required=False, compute_units="ALL", error="no answer within 120 s"))
    files.append(replace(files[0], required=False, compute_units="ALL"))
    record = ValidationRecord(
        engine="coreml", machine="macOS 15.1, Apple M1", versions={}, commit="abc", files=tuple(files), seconds=1.0
    )
    assert_golden("summary-validation.md", summary.fitted(summary.of_validation(record), MIB))


def test_text_of_others_is_text(classifier):
    evil = replace(
        classifier,
        error="```\n</details><script>",
        source="<b>\n## heading | cell",
        notes=("<img src=x> [a](b) | ![c](d)\n\n# e",),
    )
    text = summary.fitted(summary.of_run([evil], "a`b"), MIB)
    assert "````text\n```\n</details><script>\n````" in text
    assert r"\<b\> \#\# heading \| cell" in text
    assert r"\<img src=x\> \[a\](b) \| !\[c\](d) \# e" in text
    assert "``a`b``" in text


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://a b", "file:///x", "s3://b/k", "https://a\n## b"])
def test_what_is_no_web_address_is_no_link(address):
    record = Published(target="somewhere", files=(file("a", address),), outputs={"release_url": address})
    text = summary.fitted(summary.of_published([record]), MIB)
    assert "](" not in text
    assert "\n## b" not in text


def test_a_summary_of_many_models_keeps_the_limit_and_the_failures(classifier, failed):
    models = [replace(classifier, name=f"model-{n}") for n in range(10_000)]
    models[9_999] = replace(failed, name="model-9999", error="é" * 100)
    text = summary.fitted(summary.of_run(models, "dist"), MIB)
    assert 0.99 * MIB < len(text.encode()) <= MIB
    assert "## 9999 of 10000 models passed" in text
    assert "### model-9999 failed" in text
    assert text.endswith("The log has everything.\n")
    assert "of 10000 entries are not here or not with all their details" in text
    rows = [line for line in text.splitlines() if line.startswith("| model-")]
    assert len(rows) % 4 == 0, "each model is shown whole"
    assert all(line.count("|") == 9 for line in rows)


@pytest.mark.parametrize("room", [0, 10, 300, 400, 1000, 2000, 3000, 5000])
def test_no_room_is_too_small(run, room):
    pieces = summary.of_run(run.models, "dist")
    text = summary.fitted(pieces, room)
    assert len(text.encode()) <= room
    if text:
        assert "shortened" in text or text == "".join(piece.text for piece in pieces)


def test_an_endless_error_leaves_room_for_the_others(failed):
    endless = replace(failed, name="endless", error="no\n" * 1_000_000)
    text = summary.fitted(summary.of_run([endless, failed], "dist"), MIB)
    assert "all of it is in the log" in text
    assert "### broken failed" in text
    assert "shortened" not in text
