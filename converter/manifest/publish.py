"""Where finished files go: an entry of `publish:`, told apart by its first key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from converter.manifest.record import Bool, Line, Record, Text, kind_of
from converter.manifest.s3 import S3Publish

REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$"
Repository = Annotated[Text, Field(pattern=REPOSITORY)]
Existing = Literal["skip", "replace", "fail"]


class DirectoryPublish(Record):
    """Copies what is published into a folder."""

    directory: Line = Field(description="Folder, relative to the manifest, inside the repository.")


class GithubOptions(Record):
    """A release on GitHub: filled as a draft, checked, and only then published."""

    repository: Repository | None = Field(
        None, description="OWNER/REPO. Default: GITHUB_REPOSITORY, the repository that the workflow runs in."
    )
    tag: Line | None = Field(None, description="Tag of the release. Default: the tag that the workflow runs for.")
    name: Line | None = Field(None, description="Title of the release. Default: the tag.")
    notes: Text = Field(
        "append",
        description="append (what the release says stays, the table of models is added), generate (the table alone), "
        "keep (an existing release's notes are left alone), or the notes themselves, as Markdown.",
    )
    draft: Bool = Field(False, description="Leave a new release as a draft, for a person to publish.")
    prerelease: Bool = Field(False, description="Mark the release as a pre-release.")
    latest: Bool | None = Field(
        None, description="Whether this becomes the latest release. Default: GitHub decides by version and date."
    )
    existing: Existing = Field(
        "replace",
        description="What happens to a file of a published release that has the same name and other content: skip "
        "(stays as it is), replace, or fail.",
    )


def _repository_as_options(value: Any) -> Any:
    return {} if value is None else {"repository": value} if isinstance(value, str) else value


class GithubPublish(Record):
    github: Annotated[
        GithubOptions,
        BeforeValidator(_repository_as_options, json_schema_input_type=GithubOptions | Repository | None),
    ] = Field(description="A GitHub release: options, OWNER/REPO, or nothing for the workflow's own repository.")


TARGETS: dict[str, type[Record]] = {"directory": DirectoryPublish, "github": GithubPublish, "s3": S3Publish}


def _target_kind(value: Any) -> str | None:
    return kind_of(value, TARGETS)


PublishTarget: TypeAlias = Annotated[
    Annotated[DirectoryPublish, Tag("<directory>")]
    | Annotated[GithubPublish, Tag("<github>")]
    | Annotated[S3Publish, Tag("<s3>")],
    Discriminator(_target_kind, custom_error_type="one_key", custom_error_message=", ".join(TARGETS)),
]
