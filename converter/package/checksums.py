"""SHA-256 of files, and SHA256SUMS under the flat names that a release page shows."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from converter.model import Artifact


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def artifact(path: Path, root: Path, *, published: bool = True) -> Artifact:
    """The record of a file under `root`."""
    return Artifact(
        path=path.relative_to(root).as_posix(),
        sha256=sha256(path),
        size_bytes=path.stat().st_size,
        published=published,
    )


def sums(artifacts: Iterable[Artifact]) -> str:
    """What `sha256sum --check` reads, where all published files lie side by side."""
    published = sorted((Path(a.path).name, a.sha256) for a in artifacts if a.published)
    return "".join(f"{digest}  {name}\n" for name, digest in published)
