"""The commit that a build says it was made from."""

import subprocess

import pytest

from converter.commit import commit_of


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit, and its id."""

    def git(*words):
        name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(
            ["git", *name, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / "models.yml").write_text("models: []")
    git("add", ".")
    git("commit", "-q", "-m", "One")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_commit_is_named_and_what_differs_from_it_is_said(checkout):
    folder, commit = checkout
    assert commit_of(folder) == commit
    (folder / "models.yml").write_text("models: [another]")
    assert commit_of(folder) == f"{commit}-dirty"


def test_where_git_cannot_tell_nothing_is_promised(checkout):
    folder, commit = checkout
    (folder / ".git/index").write_bytes(b"broken")
    assert commit_of(folder) == f"{commit}-dirty"


def test_without_a_repository_github_names_the_commit(tmp_path, monkeypatch):
    assert commit_of(tmp_path) == ""
    monkeypatch.setenv("GITHUB_SHA", "abc")
    assert commit_of(tmp_path) == "abc"
