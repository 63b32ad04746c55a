import importlib.util
import sys
from pathlib import Path

import pytest

from converter.manifest.publish import GithubOptions
from converter.publish import finished
from converter.publish.github import GitHub, Pace, resolve


def load(name):
    """A module beside this file; tests are no package."""
    full = f"publish_github_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


class FakeClock:
    """Time that passes only by sleeping; `slept` tells how."""

    def __init__(self):
        import time

        self.now = time.time()
        self.slept = []

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def fake():
    """The module of the fake GitHub."""
    return load("server")


@pytest.fixture(scope="session")
def described():
    return load("openapi").Described()


@pytest.fixture
def hub(fake, described, monkeypatch):
    """A fake GitHub, all of whose exchanges keep to GitHub's OpenAPI description."""
    for variable in ("GITHUB_TOKEN", "GH_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    described.complaints.clear()
    github = fake.FakeGitHub(described=described)
    yield github
    github.close()
    assert github.problems == []
    assert described.complaints == []


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def publisher(hub, fake, clock):
    """A publisher to the fake: `publisher(draft=True)`."""

    def make(environment=None, pace=None, **options):
        here = {"GITHUB_REPOSITORY": "owner/repo", "GITHUB_REF": "refs/tags/v1", "GITHUB_TOKEN": fake.TOKEN}
        options = GithubOptions(**options)
        environment = {**here, "GITHUB_API_URL": hub.api_url, **(environment or {})}
        return GitHub(resolve(options, environment), pace=pace or Pace(), clock=clock)

    return make


@pytest.fixture
def publish(publisher):
    """Publish a folder: `publish(dist, existing="skip")`; progress goes to the list `publish.sent`."""

    def run(dist, **options):
        run.sent = []
        return publisher(**options).publish(finished(dist), lambda *step: run.sent.append(step))

    return run


@pytest.fixture
def files():
    """What should be on a release: the published files of a dist, by name."""

    def read(dist):
        return {file.path.split("/")[-1]: finished(dist).path(file).read_bytes() for file in finished(dist).files}

    return read
