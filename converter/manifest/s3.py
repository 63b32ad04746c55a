"""Where in S3 finished files go, and with which properties."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from converter.manifest.record import Bool, Fault, Line, Record, Text

PLACEHOLDERS = ("tag", "sha", "name")
BUCKET = r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$"
BucketName = Annotated[Text, Field(pattern=BUCKET)]
TAG = r"[\w +=.:/@-]{{{},{}}}"
TAGS_MAX = 10  # of an object: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html

StorageClass = Literal[
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"
]
Acl = Literal["private", "public-read", "authenticated-read", "bucket-owner-read", "bucket-owner-full-control"]


class S3Options(Record):
    """A bucket, and how files lie in it. Credentials are never written here: they come from boto3's own chain."""

    bucket: BucketName = Field(description="Name of the bucket.")
    prefix: Line = Field(
        "{name}/{tag}/",
        description="Every file's key is this and its name. {tag} is the release's tag, {sha} the commit of the "
        "sources, {name} the project's name; at least one of {tag} and {sha}, so that each version has its own place. "
        "index.json and latest.json lie before the first part that holds one of these two.",
    )
    tag: Line | None = Field(None, description="Value of {tag}. Default: the tag that the workflow runs for.")
    name: Line | None = Field(None, description="Value of {name}. Default: the name of the workflow's repository.")
    endpoint: Line | None = Field(None, description="Address of a server that speaks S3. Default: Amazon's.")
    region: Line | None = Field(None, description="Region. Default: as the environment or AWS's settings say.")
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="Where an address names the bucket. auto: in the path at an endpoint, else as AWS prefers."
    )
    public_url: Line | None = Field(
        None, description="Address under which the bucket's keys are downloaded, where it is another one (a CDN)."
    )
    storage_class: StorageClass | None = Field(None, description="Storage class. Default: the bucket's.")
    encryption: Literal["AES256", "aws:kms"] | None = Field(
        None, description="AES256 (SSE-S3) or aws:kms (SSE-KMS). Default: the bucket's."
    )
    kms_key: Line | None = Field(None, description="Key for aws:kms: id, ARN or alias. Default: AWS's own.")
    acl: Acl | None = Field(None, description="Canned ACL. Default: none is sent; most buckets refuse them.")
    tags: dict[str, Line] = Field(default_factory=dict, description="Tags of every object, at most ten.")
    content_types: dict[str, Line] = Field(
        default_factory=dict, description="Content types by ending, {.mlmodel: application/x-coreml} for example."
    )
    cache_control: Line = Field(
        "public, max-age=31536000, immutable", description="Cache-Control of a version's files, which never change."
    )
    index_cache_control: Line = Field("no-cache", description="Cache-Control of index.json and latest.json.")
    checksums: Literal["on", "read-back"] = Field(
        "on",
        description="on: SHA-256 goes with every upload, and what the server does not confirm is read back. read-back: "
        "no checksum is sent, for servers that refuse the headers, and every file is read back.",
    )
    existing: Literal["fail", "replace"] = Field(
        "fail", description="What happens to a key that holds other bytes. The same bytes are always left alone."
    )
    latest: Bool = Field(True, description="Whether a new version becomes the one that latest.json names.")

    def rules(self) -> Iterator[Fault]:
        yield from self._prefix_rules()
        for key in ("endpoint", "public_url"):
            if address := getattr(self, key):
                yield from _address_rules(key, address)
        if self.kms_key and self.encryption != "aws:kms":
            yield Fault(("kms_key",), "a KMS key is given, but not used", "write encryption: aws:kms")
        if len(self.tags) > TAGS_MAX:
            yield Fault(("tags",), f"an object has at most {TAGS_MAX} tags, {len(self.tags)} are given", "remove some")
        for name, value in self.tags.items():
            if not (re.fullmatch(TAG.format(1, 128), name) and re.fullmatch(TAG.format(0, 256), value)):
                fix = "use letters, digits, blanks and + - = . _ : / @, at most 128 for a name and 256 for a value"
                yield Fault(("tags", name), f"{name!r} is no tag that S3 takes", fix)
        for suffix in self.content_types:
            if not suffix.startswith("."):
                yield Fault(("content_types", suffix), f"{suffix!r} is no ending of a name", f"write .{suffix}")

    def _prefix_rules(self) -> Iterator[Fault]:
        where = ("prefix",)
        try:
            parts = list(string.Formatter().parse(self.prefix))
        except ValueError:
            yield Fault(where, "the braces of the prefix do not match", "write {tag}, {sha} or {name}")
            return
        names = [name for _, name, _, _ in parts if name is not None]
        whole = all(not spec and not conversion for _, name, spec, conversion in parts if name is not None)
        if not whole or set(names) - set(PLACEHOLDERS):
            yield Fault(where, "the prefix has other placeholders than {tag}, {sha} and {name}", "take them out")
        elif not {"tag", "sha"} & set(names):
            problem = "the prefix holds neither {tag} nor {sha}, so that each version would overwrite the one before"
            yield Fault(where, problem, f"write {self.prefix.rstrip('/')}/{{tag}}/ for example")
        if not self.prefix.endswith("/"):
            yield Fault(where, "the prefix does not end with a slash", f"write {self.prefix}/")
        if any(part in ("", ".", "..") for part in self.prefix[:-1].split("/")):
            yield Fault(where, "a part of the prefix is empty, . or ..", "take it out; a prefix begins without a slash")


def _address_rules(key: str, address: str) -> Iterator[Fault]:
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        yield Fault((key,), f"the {key} is not an https:// or http:// address", "write https://host, and :port if any")
    elif parts.username is not None or parts.password is not None:
        yield Fault((key,), f"the {key} holds credentials", "take them out; credentials come from the environment")
    elif parts.query or parts.fragment:
        yield Fault((key,), f"the {key} has a query", "give the address without it")


def _bucket_as_options(value: Any) -> Any:
    return {"bucket": value} if isinstance(value, str) else value


class S3Publish(Record):
    """Uploads what is published to S3, each version under its own prefix."""

    s3: Annotated[S3Options, BeforeValidator(_bucket_as_options, json_schema_input_type=S3Options | BucketName)] = (
        Field(description="The bucket and how files lie in it, or the bucket alone.")
    )
