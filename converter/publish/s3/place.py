"""Where in a bucket a version lies: its prefix, and beside it the index of all versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from converter.errors import PublishError
from converter.manifest.s3 import S3Options
from converter.model import BuildRecord

KEY_BYTES_MAX = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


@dataclass(frozen=True, kw_only=True)
class Place:
    """`root` holds index.json and latest.json, `prefix` the files; both end with a slash, and root may be empty."""

    root: str
    prefix: str
    name: str
    tag: str
    commit: str

    @property
    def version(self) -> str:
        return self.prefix[len(self.root) : -1]

    @property
    def index(self) -> str:
        return f"{self.root}index.json"

    @property
    def latest(self) -> str:
        return f"{self.root}latest.json"

    def key(self, name: str) -> str:
        """The key of a file of this version. Raises PublishError where S3 or its listings would not take it."""
        key = self.prefix + name
        if not name.isprintable():
            raise _refusal(f"{name!r} is no sound key", "rename the file, without control characters")
        if len(key.encode()) > KEY_BYTES_MAX:
            raise _refusal(f"the key {key} has more than {KEY_BYTES_MAX} bytes", "shorten the prefix or the tag")
        return key


def place(options: S3Options, record: BuildRecord, environment: Mapping[str, str]) -> Place:
    """Fill in the prefix. Raises PublishError where a value that it needs is not known, or makes no sound key."""
    values = {
        "tag": options.tag or _tag(environment),
        "sha": record.commit,
        "name": options.name or environment.get("GITHUB_REPOSITORY", "").rpartition("/")[2],
    }
    for name, value in values.items():
        if f"{{{name}}}" in options.prefix:
            _check(name, value)
    before = options.prefix[: min(i for p in ("{tag}", "{sha}") if (i := options.prefix.find(p)) >= 0)]
    root = before[: before.rfind("/") + 1]
    return Place(
        root=root.format(**values),
        prefix=options.prefix.format(**values),
        name=values["name"],
        tag=values["tag"],
        commit=values["sha"],
    )


_FIXES = {
    "tag": "run on a tag, or set `tag`",
    "sha": "build from a commit of a git repository, or use {tag}",
    "name": "set `name`, or take {name} out of the prefix",
}


def _tag(environment: Mapping[str, str]) -> str:
    kind, _, name = environment.get("GITHUB_REF", "").removeprefix("refs/").partition("/")
    return name if kind == "tags" else ""


def _check(name: str, value: str) -> None:
    if not value:
        raise _refusal(f"the prefix needs {{{name}}}, which is not known", _FIXES[name])
    if any(part in ("", ".", "..") for part in value.split("/")) or not value.isprintable():
        raise _refusal(f"{value!r} as {{{name}}} makes no sound key", "use letters, digits, dots, - and _")


def _refusal(problem: str, fix: str) -> PublishError:
    return PublishError(problem, where=("publish to s3",), fix=fix)
