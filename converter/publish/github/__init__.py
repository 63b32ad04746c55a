"""Publish to a release on GitHub: drafted, filled, checked, and only then published."""

import time
from collections.abc import Mapping, Sequence

from converter.manifest.publish import GithubOptions
from converter.model import Published, Step
from converter.publish import Finished, Progress
from converter.publish.github.client import Client, Clock, Pace
from converter.publish.github.options import Options, resolve
from converter.publish.github.publishing import Publication
from converter.publish.github.repository import Repository

__all__ = ["GitHub", "Options", "Pace", "github"]


class GitHub:
    """A release of `options.repository`, for its tag. Raises PublishError, with GitHub's request id."""

    def __init__(self, options: Options, *, pace: Pace | None = None, clock: Clock = time) -> None:
        self._options = options
        client = Client(options.api_url, options.token, pace=pace or Pace(), clock=clock)
        self._repository = Repository(client, options.repository)

    def plan(self, finished: Finished) -> Sequence[Step]:
        return Publication(self._repository, self._options, finished).plan()

    def publish(self, finished: Finished, progress: Progress) -> Published:
        """Fill the release and publish it; what is there already, byte for byte, is not uploaded again."""
        return Publication(self._repository, self._options, finished).publish(progress)


def github(options: GithubOptions, environment: Mapping[str, str]) -> GitHub:
    """The publisher of a manifest's entry; what it leaves out comes from the workflow's environment."""
    return GitHub(resolve(options, environment))
