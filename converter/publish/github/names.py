"""Names as GitHub gives them to assets, and what it would refuse, said before the first request."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from converter.errors import PublishError
from converter.model import Artifact

LARGEST_BYTES = 2 * 1024**3 - 1  # "under 2 GiB"
MOST_ASSETS = 1000
LONGEST_BODY = 125_000
LONGEST_NAME = 255
_TEMPORARY = re.compile(r"coreml-release\.([0-9a-f]{12})\.([0-9a-f]{12})\.new")


def asset_name(name: str) -> str:
    """The name that an asset gets: the rule of GitHub's own command line, gh (sanitizeFileName).

    Diacritics go, a leading dot becomes `default.`, every run of other characters becomes one dot, a last one goes.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    dotted = re.sub(r"[^A-Za-z0-9\-_+@]+", ".", plain)
    named = f"default{dotted}" if dotted.startswith(".") else dotted
    return named.rstrip(".") or "default"


def flat_name(file: Artifact) -> str:
    return Path(file.path).name


def temporary_name(name: str, sha256: str) -> str:
    """Where new content waits until the old one is gone: the same for the same content, so a later run finds it."""
    return f"coreml-release.{_short(name.encode())}.{sha256[:12]}.new"


def temporary_parts(name: str) -> tuple[str, str] | None:
    """The short hashes of name and content that a temporary name is made of; None for any other name."""
    match = _TEMPORARY.fullmatch(name)
    return (match[1], match[2]) if match else None


def stands_for(temporary: str, name: str) -> bool:
    parts = temporary_parts(temporary)
    return parts is not None and parts[0] == _short(name.encode())


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def hold_limits(files: Sequence[Artifact], notes: str) -> None:
    """Raise PublishError with everything that GitHub would refuse, or would silently change."""
    complaints = list(_complaints(files, notes))
    if complaints:
        raise PublishError(
            "\n".join(problem for problem, _ in complaints),
            where=("publish to github",),
            fix="; ".join(dict.fromkeys(fix for _, fix in complaints)),
        )


def _complaints(files: Sequence[Artifact], notes: str) -> Iterator[tuple[str, str]]:
    owners: dict[str, str] = {}
    for file in files:
        flat = flat_name(file)
        name = asset_name(flat)
        first = owners.setdefault(name.lower(), flat)
        if first != flat:
            yield f"GitHub would call both {first!r} and {flat!r} {name}", "rename one of them"
        if len(name) > LONGEST_NAME:
            yield f"{name} has {len(name)} characters, GitHub takes {LONGEST_NAME}", "shorten the name"
        if temporary_parts(name):
            yield f"{name} is a name that publishing itself uses", "rename the file"
        if file.size_bytes > LARGEST_BYTES:
            yield f"{flat} has {file.size_bytes} bytes, GitHub takes less than 2 GiB", "publish it to s3"
        if file.size_bytes == 0:
            yield f"{flat} is empty, GitHub takes no empty files", "leave it out"
    if len(files) > MOST_ASSETS:
        yield f"there are {len(files)} files, a release holds {MOST_ASSETS}", "publish to several releases"
    if (length := body_length(notes)) > LONGEST_BODY:
        yield f"the notes have {length} characters, GitHub takes {LONGEST_BODY}", "shorten them"


def body_length(text: str) -> int:
    """Characters as UTF-16 counts them, the longer of the ways in which a server may count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
