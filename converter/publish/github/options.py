"""What a release is to be: the manifest's options, completed from the workflow's environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from converter.errors import PublishError
from converter.manifest.publish import REPOSITORY, Existing, GithubOptions

PUBLIC_API = "https://api.github.com"


@dataclass(frozen=True, kw_only=True)
class Options:
    """A release, with nothing left to the environment; `commit` is where the tag is made if it does not exist."""

    repository: str
    tag: str
    name: str | None
    notes: str
    draft: bool
    prerelease: bool
    latest: bool | None
    existing: Existing
    commit: str | None
    api_url: str
    token: str = field(repr=False)

    @property
    def make_latest(self) -> str:
        """GitHub takes a string here; `legacy` lets it decide by version and date."""
        if self.prerelease or self.latest is False:
            return "false"
        return "legacy" if self.latest is None else "true"


def resolve(options: GithubOptions, environment: Mapping[str, str]) -> Options:
    """Complete the options from GITHUB_REPOSITORY, GITHUB_REF, GITHUB_SHA, GITHUB_API_URL and GITHUB_TOKEN (GH_TOKEN).

    Raises PublishError where something is missing.
    """
    own = environment.get("GITHUB_REPOSITORY", "").strip()
    repository = options.repository or own
    if not re.match(REPOSITORY, repository):
        raise _missing("no repository is named", "set `repository: OWNER/REPO`, or GITHUB_REPOSITORY")
    tag = options.tag or _tag(environment)
    if not tag:
        raise _missing("no tag is named, and the workflow does not run for one", "set `tag`, or run on tags only")
    if options.prerelease and options.latest:
        raise _missing("a pre-release cannot be the latest release", "take out `latest` or `prerelease`")
    token = (environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or "").strip()
    if not token:
        raise _missing("there is no token", "set GITHUB_TOKEN to one that may write releases (contents: write)")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise _missing("GITHUB_TOKEN is not a token", "set it to the token alone, without spaces or line breaks")
    return Options(
        repository=repository,
        tag=tag,
        name=options.name,
        notes=options.notes,
        draft=options.draft,
        prerelease=options.prerelease,
        latest=options.latest,
        existing=options.existing,
        # the commit of the workflow is one of its own repository only
        commit=environment.get("GITHUB_SHA") or None if repository.lower() == own.lower() else None,
        api_url=_api_url(environment),
        token=token,
    )


def _tag(environment: Mapping[str, str]) -> str:
    kind, separator, tag = environment.get("GITHUB_REF", "").partition("refs/tags/")
    if separator and not kind:
        return tag
    return environment.get("GITHUB_REF_NAME", "") if environment.get("GITHUB_REF_TYPE") == "tag" else ""


def _api_url(environment: Mapping[str, str]) -> str:
    url = (environment.get("GITHUB_API_URL") or PUBLIC_API).rstrip("/")
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise _missing("GITHUB_API_URL is no https:// address", "the token is sent there: write https://HOST/api/v3")
    return url


def _missing(problem: str, fix: str) -> PublishError:
    return PublishError(problem, where=("publish to github",), fix=fix)
