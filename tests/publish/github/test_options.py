import pytest

from converter.errors import PublishError
from converter.manifest.publish import GithubOptions, GithubPublish
from converter.publish.github import GitHub, resolve
from converter.publish.targets import publisher

TOKEN = "ghs_secretSECRETsecret"
HERE = {"GITHUB_REPOSITORY": "owner/repo", "GITHUB_REF": "refs/tags/v1", "GITHUB_TOKEN": TOKEN}

FOUND = [
    ({}, {}, "tag", "v1"),
    ({"tag": "v2"}, {}, "tag", "v2"),
    ({}, {"GITHUB_REF": "refs/tags/models/v1"}, "tag", "models/v1"),
    ({}, {"GITHUB_REF": "", "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v3"}, "tag", "v3"),
    ({}, {}, "repository", "owner/repo"),
    ({"repository": "other/models"}, {}, "repository", "other/models"),
    ({}, {}, "api_url", "https://api.github.com"),
    ({}, {"GITHUB_API_URL": "https://github.example.com/api/v3/"}, "api_url", "https://github.example.com/api/v3"),
    ({}, {"GITHUB_TOKEN": "", "GH_TOKEN": "other"}, "token", "other"),
    ({}, {"GITHUB_TOKEN": f" {TOKEN}\n"}, "token", TOKEN),
    ({}, {"GITHUB_SHA": "1" * 40}, "commit", "1" * 40),
    ({"repository": "Owner/Repo"}, {"GITHUB_SHA": "1" * 40}, "commit", "1" * 40),
    ({"repository": "other/models"}, {"GITHUB_SHA": "1" * 40}, "commit", None),
]


@pytest.mark.parametrize(("options", "environment", "name", "value"), FOUND)
def test_what_is_not_said_comes_from_the_environment(options, environment, name, value):
    assert getattr(resolve(GithubOptions(**options), {**HERE, **environment}), name) == value


MISSING = [
    ({}, {"GITHUB_REPOSITORY": ""}, "no repository is named"),
    ({}, {"GITHUB_REPOSITORY": "../.."}, "no repository is named"),
    ({}, {"GITHUB_REF": "refs/heads/main"}, "no tag is named"),
    ({}, {"GITHUB_TOKEN": ""}, "there is no token"),
    ({}, {"GITHUB_TOKEN": f"{TOKEN}\nX-Other: 1"}, "is not a token"),
    ({}, {"GITHUB_API_URL": "http://github.example.com/api/v3"}, "no https:// address"),
    ({"latest": True, "prerelease": True}, {}, "a pre-release cannot be the latest"),
]


@pytest.mark.parametrize(("options", "environment", "words"), MISSING)
def test_what_is_missing_is_said_without_the_token(options, environment, words):
    with pytest.raises(PublishError, match=words) as caught:
        resolve(GithubOptions(**options), {**HERE, **environment})
    assert "secret" not in str(caught.value)


def test_the_token_is_not_shown():
    assert TOKEN not in repr(resolve(GithubOptions(), HERE))


def test_a_manifests_entry_becomes_this_publisher(monkeypatch, tmp_path):
    for name, value in HERE.items():
        monkeypatch.setenv(name, value)
    assert isinstance(publisher(GithubPublish(github={}), tmp_path), GitHub)
