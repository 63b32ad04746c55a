"""The command line against the fake GitHub: what a workflow's step does and sees."""

import pytest

from converter.cli import main


@pytest.fixture
def workflow(hub, fake, monkeypatch, tmp_path):
    """The environment of a step of a workflow that runs for the tag v1."""
    for name, value in {
        "GITHUB_TOKEN": fake.TOKEN,
        "GITHUB_REPOSITORY": "owner/repo",
        "GITHUB_REF": "refs/tags/v1",
        "GITHUB_API_URL": hub.api_url,
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITHUB_SHA", raising=False)
    return hub


def test_a_tag_becomes_a_release_and_a_second_run_sends_nothing(workflow, fake, make_dist, tmp_path, capsys):
    dist = str(make_dist())
    assert main(["publish", dist, "--to", "github", "--dry-run"]) == 0
    assert "would create" in capsys.readouterr().out
    assert not workflow.releases
    assert main(["publish", dist, "--to", "github"]) == 0
    said = capsys.readouterr()
    (release,) = workflow.releases.values()
    assert not release["draft"]
    assert release["tag_name"] == "v1"
    assert {asset["name"] for asset in workflow.assets.values()} >= {"net.mlmodel", "net.labels.txt", "SHA256SUMS"}
    assert "net.mlmodel" in said.out
    assert fake.TOKEN not in said.out + said.err
    outputs = (tmp_path / "output").read_text()
    assert "release-url<<" in outputs
    assert "release-id<<" in outputs
    assert main(["publish", dist, "--to", "github"]) == 0
    assert "0 of 5 files were sent; all were there already" in capsys.readouterr().out
    assert len(workflow.releases) == 1


def test_a_wrong_token_is_one_clear_error(workflow, make_dist, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_not_the_right_one")
    assert main(["publish", str(make_dist()), "--to", "github"]) == 8
    said = capsys.readouterr()
    assert "ghp_not_the_right_one" not in said.out + said.err
    assert "Traceback" not in said.err
    assert "fix:" in said.err


def test_in_a_workflow_a_release_is_noticed_and_summed_up_and_the_token_is_nowhere(
    workflow, fake, make_dist, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert main(["publish", str(make_dist()), "--to", "github"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    (notice,) = [line for line in said.out.splitlines() if line.startswith("::")]
    summary, outputs = (tmp_path / "summary.md").read_text(), (tmp_path / "output").read_text()
    lines = outputs.splitlines()
    (address,) = [lines[n + 1] for n, line in enumerate(lines) if line.startswith("release-url<<")]
    assert notice == f"::notice title=released%3A github owner/repo v1::{address}"
    assert f"](<{address}>)" in summary
    assert "net.mlmodel" in summary
    assert fake.TOKEN not in said.out + summary + outputs


def test_in_a_workflow_a_wrong_token_is_annotated_without_it(workflow, make_dist, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_not_the_right_one")
    assert main(["publish", str(make_dist()), "--to", "github"]) == 8
    said = capsys.readouterr().out
    summary = (tmp_path / "summary.md").read_text()
    assert sum(line.startswith("::error::") for line in said.splitlines()) == 1
    assert "fix:" in summary
    assert "ghp_not_the_right_one" not in said + summary
