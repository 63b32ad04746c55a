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
