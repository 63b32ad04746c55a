"""One file of the manifest, {path | url, sha256}: where it lies on this machine, and the record of it."""

import difflib
import re
from pathlib import Path

from converter.errors import DownloadError, SourceError
from converter.load.download import LIMIT_BYTES, digest, download
from converter.load.https import shown
from converter.manifest.schema import File
from converter.model import SourceFile

_POINTER_BYTES = 1024  # the specification's bound: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = b"version https://git-lfs.github.com/spec/"


def locate(file: File, *, root: Path, cache: Path, limit_bytes: int = LIMIT_BYTES) -> tuple[Path, SourceFile]:
    """Where the file lies on this machine (a path is relative to `root`), its sha256 verified where one is given.

    Raises SourceError for a missing file, a wrong sha256 or an LFS pointer, DownloadError for what cannot be fetched.
    """
    sha256 = file.sha256.lower() if file.sha256 else None
    if file.url is not None:
        local = download(file.url, sha256=sha256, cache=cache, limit_bytes=limit_bytes)
        _refuse_pointer(local, shown(file.url), remote=True)
        return local, record(local, shown(file.url))
    path = str(file.path)
    local = root / path
    _require_file(local, path)
    _refuse_pointer(local, path, remote=False)
    found = record(local, path)
    if found.size_bytes > limit_bytes:
        raise SourceError(f"{path} is larger than {limit_bytes} bytes", fix="check that it is the file that was meant")
    if sha256 and found.sha256 != sha256:
        raise SourceError(
            f"{path} has sha256 {found.sha256}, not {sha256}",
            fix=f"restore the file; only if the new one is right, write sha256: {found.sha256}",
        )
    return local, found


def record(path: Path, origin: str) -> SourceFile:
    """What the build record keeps of a file that went into the model."""
    return SourceFile(origin=origin, sha256=digest(path), size_bytes=path.stat().st_size)


def _require_file(local: Path, path: str) -> None:
    if local.is_file():
        return
    if local.is_dir():
        raise SourceError(f"{path} is a folder, not a file", fix="name a file in it")
    beside = [entry.name for entry in local.parent.iterdir()] if local.parent.is_dir() else []
    nearest = difflib.get_close_matches(local.name, beside, n=1)
    meant = f"did you mean {(Path(path).parent / nearest[0]).as_posix()}? " if nearest else ""
    raise SourceError(
        f"there is no file {path}", fix=f"{meant}paths are relative to the manifest's folder; is the file committed?"
    )


def _refuse_pointer(local: Path, origin: str, *, remote: bool) -> None:
    if local.stat().st_size > _POINTER_BYTES:
        return
    content = local.read_bytes()
    if not content.startswith(_POINTER):
        return
    oid = re.search(rb"^oid sha256:([0-9a-f]{64})$", content, re.MULTILINE)
    size = re.search(rb"^size (\d+)$", content, re.MULTILINE)
    stands_for = f" (it stands for {int(size[1])} bytes with sha256 {oid[1].decode()})" if oid and size else ""
    problem = f"{origin} is a Git LFS pointer, not the file itself{stands_for}"
    if remote:
        raise DownloadError(
            problem, fix="give the address of the file itself: GitHub serves it from media.githubusercontent.com"
        )
    raise SourceError(problem, fix="run `git lfs pull`; in a workflow check out with `lfs: true`")
