import os

import pytest

from converter.workflow.files import SUMMARY_LIMIT_BYTES, write_outputs, write_summary


def test_outputs_are_read_back_as_they_were_whatever_they_hold(tmp_path, monkeypatch, outputs):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    write_outputs({"release_url": "https://example.com/v1"})
    write_outputs({"s3_uris": "s3://a/b\ns3://a/c", "evil": "end-0\nother<<end-0\nx", "empty": ""})
    assert outputs((tmp_path / "output").read_text()) == {
        "release-url": "https://example.com/v1",
        "s3-uris": "s3://a/b\ns3://a/c",
        "evil": "end-0\nother<<end-0\nx",
        "empty": "",
    }


def test_a_path_that_is_no_text_is_written_byte_by_byte(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    write_outputs({"dist": os.fsdecode(b"/tmp/\xff")})
    assert b"\n/tmp/\xff\n" in (tmp_path / "output").read_bytes()


def test_outside_a_workflow_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_outputs({"a": "b"})
    write_summary(lambda room: "text")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def summary(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path / "summary.md"


def test_a_summary_is_appended_to_what_is_there(summary):
    write_summary(lambda room: "first")
    write_summary(lambda room: "é")
    assert summary.read_text(encoding="utf-8") == "first\né\n"


@pytest.mark.parametrize("earlier", [0, 1000, SUMMARY_LIMIT_BYTES - 1, SUMMARY_LIMIT_BYTES, SUMMARY_LIMIT_BYTES + 1])
def test_all_summaries_of_a_step_stay_within_the_limit(summary, earlier):
    summary.write_bytes(b"x" * earlier)
    write_summary(lambda room: "y" * room)
    assert summary.stat().st_size == max(earlier, SUMMARY_LIMIT_BYTES if earlier < SUMMARY_LIMIT_BYTES - 1 else 0)


def test_what_is_too_long_nevertheless_costs_nobody_the_rest(summary):
    write_summary(lambda room: "kept")
    write_summary(lambda room: "é" * (room // 2 + 1))
    assert summary.read_text() == "kept\n"
